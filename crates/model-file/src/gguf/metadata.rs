//! Reading the metadata at the beginning of a file.

use super::GgufError;
use super::cursor::Cursor;
use crate::description::Budget;
use crate::{Array, Metadata, ReadError, Value};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of the longest key that is kept.
const LONGEST_KEY: usize = 256;
/// Bytes of a string that are kept.
const LONGEST_TEXT: usize = 256;
/// Characters of a name in a message.
const SHOWN: usize = 48;
/// How deep lists may be nested. Files have one level.
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

/// Reads `count` keys with their values.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    count: u64,
    budget: &mut Budget,
) -> Result<Metadata, ReadError> {
    let mut values = Vec::new();
    for _ in 0..count {
        let entry = Entry::read(cursor)?;
        let key = String::from_utf8_lossy(&entry.key).into_owned();
        let value = read_value(cursor, &entry)?;
        let text = value.as_text().map_or(0, str::len);
        budget.take(size_of::<(String, Value)>() + key.len() + text)?;
        values.try_reserve(1).map_err(|_| GgufError::OutOfMemory)?;
        values.push((key, value));
    }
    let twice = |key: String| GgufError::Twice { key: shown(key.as_bytes()) };
    Ok(Metadata::from_entries(values).map_err(twice)?)
}

/// The beginning of a key, and the type of its value, which follows.
struct Entry {
    key: Vec<u8>,
    kind: u32,
}

impl Entry {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let key = cursor.string(LONGEST_KEY)?.0.to_vec();
        Ok(Entry { key, kind: cursor.u32()? })
    }
}

/// Skips `count` keys with their values, telling `each` where they begin and end.
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

fn read_value(cursor: &mut Cursor<'_>, Entry { key, kind }: &Entry) -> Result<Value, ReadError> {
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
        STRING => Value::Text(printable(cursor.string(LONGEST_TEXT)?.0, LONGEST_TEXT)),
        ARRAY => {
            let (element, count) = (cursor.u32()?, cursor.u64()?);
            let array = Array { element, count, offset: cursor.position() };
            skip_elements(cursor, element, count, DEPTH, key)?;
            Value::Array(array)
        }
        found => return Err(GgufError::ValueType { key: shown(key), found }.into()),
    })
}

/// Bytes of a value, if all values of its type have the same size.
fn size_of_value(kind: u32) -> Option<u64> {
    match kind {
        U8 | I8 | BOOL => Some(1),
        U16 | I16 => Some(2),
        U32 | I32 | F32 => Some(4),
        U64 | I64 | F64 => Some(8),
        _ => None,
    }
}

/// Skips a value. Every list that is entered takes bytes of the file, so this ends.
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

/// A key or tensor name as a message shows it: without control characters, and not too long.
pub(super) fn shown(bytes: &[u8]) -> String {
    printable(bytes, SHOWN)
}

/// The first `most` characters of a string, without control characters.
fn printable(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}
