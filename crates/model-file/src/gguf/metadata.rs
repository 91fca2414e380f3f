//! The names and values at the beginning of a file.

use super::GgufError;
use super::cursor::Cursor;
use crate::ReadError;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of the longest name that is looked at; those that matter are shorter.
const LONGEST_KEY: usize = 64;
/// Bytes of a text that are kept.
const LONGEST_TEXT: usize = 64;
/// Characters of a name in a message.
const SHOWN: usize = 48;
/// How deep arrays may lie within arrays. Files have one level.
const DEPTH: usize = 4;

/// Types of values, by their numbers in a file.
pub(super) mod value_type {
    pub(crate) const U8: u32 = 0;
    pub(crate) const I8: u32 = 1;
    pub(crate) const U16: u32 = 2;
    pub(crate) const I16: u32 = 3;
    pub(crate) const U32: u32 = 4;
    pub(crate) const I32: u32 = 5;
    pub(crate) const F32: u32 = 6;
    pub(crate) const BOOL: u32 = 7;
    pub(crate) const STRING: u32 = 8;
    pub(crate) const ARRAY: u32 = 9;
    pub(crate) const U64: u32 = 10;
    pub(crate) const I64: u32 = 11;
    pub(crate) const F64: u32 = 12;
}
use value_type::*;

/// A value of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    /// The beginning of a text, cleaned so that it can be shown.
    Text(String),
    Array(Array),
}

/// Where an array lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Array {
    /// The type of its elements.
    pub(super) element: u32,
    pub(super) count: u64,
    /// Where the first element begins.
    pub(super) offset: u64,
}

/// The values that somebody asks for.
pub(super) struct Metadata {
    values: BTreeMap<&'static str, Value>,
}

impl Metadata {
    /// Reads `count` names with their values and keeps those that `known` names.
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        count: u64,
        known: &[&'static str],
    ) -> Result<Self, ReadError> {
        let mut values = BTreeMap::new();
        for _ in 0..count {
            let entry = Entry::read(cursor)?;
            let Some(key) = known.iter().find(|known| known.as_bytes() == entry.key) else {
                skip(cursor, entry.kind, DEPTH, &entry.key)?;
                continue;
            };
            if values.insert(*key, Value::read(cursor, &entry)?).is_some() {
                return Err(GgufError::Twice { key: (*key).into() }.into());
            }
        }
        Ok(Metadata { values })
    }

    fn get<'a, T>(
        &'a self,
        key: &'static str,
        expected: &'static str,
        of: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        of(value).map(Some).ok_or(GgufError::NotA { key, expected })
    }

    /// A whole number, if it is there.
    pub(super) fn integer(&self, key: &'static str) -> Result<Option<i128>, GgufError> {
        self.get(key, "a whole number", |value| match value {
            Value::Integer(number) => Some(*number),
            _ => None,
        })
    }

    /// A number, if it is there.
    pub(super) fn float(&self, key: &'static str) -> Result<Option<f32>, GgufError> {
        self.get(key, "a number with a fraction", |value| match value {
            Value::Float(number) => Some(*number as f32),
            _ => None,
        })
    }

    /// A text, if it is there.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<&str>, GgufError> {
        self.get(key, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Yes or no, if it is there.
    pub(super) fn bool(&self, key: &'static str) -> Result<Option<bool>, GgufError> {
        self.get(key, "true or false", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// An array whose elements have one of these types, if it is there.
    pub(super) fn array(
        &self,
        key: &'static str,
        elements: &[u32],
        expected: &'static str,
    ) -> Result<Option<Array>, GgufError> {
        self.get(key, expected, |value| match value {
            Value::Array(array) if elements.contains(&array.element) => Some(*array),
            _ => None,
        })
    }
}

/// The beginning of a name with its value.
struct Entry {
    key: Vec<u8>,
    /// The type of the value, which follows.
    kind: u32,
}

impl Entry {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let key = cursor.string(LONGEST_KEY)?.0.to_vec();
        Ok(Entry { key, kind: cursor.u32()? })
    }
}

/// Passes `count` names with their values over, telling `each` where they begin and end.
pub(super) fn ranges(
    cursor: &mut Cursor<'_>,
    count: u64,
    each: &mut dyn FnMut(&[u8], Range<u64>),
) -> Result<(), ReadError> {
    for _ in 0..count {
        let start = cursor.position();
        let entry = Entry::read(cursor)?;
        skip(cursor, entry.kind, DEPTH, &entry.key)?;
        each(&entry.key, start..cursor.position());
    }
    Ok(())
}

impl Value {
    fn read(cursor: &mut Cursor<'_>, Entry { key, kind }: &Entry) -> Result<Self, ReadError> {
        Ok(match *kind {
            U8 => Value::Integer(u8::from_le_bytes(cursor.bytes()?).into()),
            I8 => Value::Integer(i8::from_le_bytes(cursor.bytes()?).into()),
            U16 => Value::Integer(u16::from_le_bytes(cursor.bytes()?).into()),
            I16 => Value::Integer(i16::from_le_bytes(cursor.bytes()?).into()),
            U32 => Value::Integer(cursor.u32()?.into()),
            I32 => Value::Integer(i32::from_le_bytes(cursor.bytes()?).into()),
            U64 => Value::Integer(cursor.u64()?.into()),
            I64 => Value::Integer(i64::from_le_bytes(cursor.bytes()?).into()),
            F32 => Value::Float(f32::from_le_bytes(cursor.bytes()?).into()),
            F64 => Value::Float(f64::from_le_bytes(cursor.bytes()?)),
            BOOL => Value::Bool(cursor.bytes::<1>()? != [0]),
            STRING => Value::Text(shown(cursor.string(LONGEST_TEXT)?.0)),
            ARRAY => {
                let (element, count) = (cursor.u32()?, cursor.u64()?);
                let array = Array { element, count, offset: cursor.position() };
                skip_elements(cursor, element, count, DEPTH, key)?;
                Value::Array(array)
            }
            found => return Err(GgufError::ValueType { key: shown(key), found }.into()),
        })
    }
}

/// Bytes of a value of a type whose values all have the same.
fn size_of_value(kind: u32) -> Option<u64> {
    match kind {
        U8 | I8 | BOOL => Some(1),
        U16 | I16 => Some(2),
        U32 | I32 | F32 => Some(4),
        U64 | I64 | F64 => Some(8),
        _ => None,
    }
}

/// Passes a value over. Every array that is entered takes bytes of the file, so this ends.
fn skip(cursor: &mut Cursor<'_>, kind: u32, depth: usize, key: &[u8]) -> Result<(), ReadError> {
    match (size_of_value(kind), kind) {
        (Some(bytes), _) => cursor.skip(bytes),
        (None, STRING) => {
            let length = cursor.u64()?;
            cursor.skip(length)
        }
        (None, ARRAY) if depth > 0 => {
            let (element, count) = (cursor.u32()?, cursor.u64()?);
            skip_elements(cursor, element, count, depth - 1, key)
        }
        (None, found) => Err(GgufError::ValueType { key: shown(key), found }.into()),
    }
}

fn skip_elements(
    cursor: &mut Cursor<'_>,
    element: u32,
    count: u64,
    depth: usize,
    key: &[u8],
) -> Result<(), ReadError> {
    if let Some(bytes) = size_of_value(element) {
        return cursor.skip(count.checked_mul(bytes).ok_or(GgufError::CutShort)?);
    }
    (0..count).try_for_each(|_| skip(cursor, element, depth, key))
}

/// A name or text of the file as it may be shown: without what would do things to a console, and
/// not too long.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}
