//! Metadata: what a model file says about itself, key by key.

use alloc::string::String;
use alloc::vec::Vec;

/// A value of the metadata.
///
/// Integers and floating-point numbers of all widths are kept in the widest, so that a reader need
/// not care how a converter wrote them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer of any width.
    Integer(i128),
    /// A floating-point number of any width.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// The first 256 bytes of a string, without control characters.
    Text(String),
    /// A list, which stays in the file.
    Array(Array),
}

/// Where a file has an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array {
    /// The type of the elements, by its number in GGUF.
    pub(crate) element: u32,
    /// How many elements there are.
    pub count: u64,
    /// Offset of the first element in the file.
    pub(crate) offset: u64,
}

/// Why a key's value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is not {expected}")]
pub struct WrongType {
    /// The key.
    pub key: &'static str,
    /// What its value should be.
    pub expected: &'static str,
}

/// The metadata of a model file: keys, in GGUF's names, and their values.
///
/// ```
/// use bootllm_model_file::{Metadata, Value};
///
/// let metadata = Metadata::from_iter([("llama.block_count", Value::Integer(12))]);
/// assert_eq!(metadata.get("llama.block_count"), Some(&Value::Integer(12)));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Sorted by key, no key twice.
    values: Vec<(String, Value)>,
}

impl<'a> FromIterator<(&'a str, Value)> for Metadata {
    /// Of equal keys the last counts.
    fn from_iter<I: IntoIterator<Item = (&'a str, Value)>>(values: I) -> Self {
        let mut metadata = Metadata::default();
        for (key, value) in values {
            match metadata.position(key) {
                Ok(index) => metadata.values[index].1 = value,
                Err(index) => metadata.values.insert(index, (key.into(), value)),
            }
        }
        metadata
    }
}

impl Metadata {
    /// Takes keys in any order. The error is the first key that appears twice.
    pub(crate) fn from_entries(mut values: Vec<(String, Value)>) -> Result<Self, String> {
        values.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        match values.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(pair[0].0.clone()),
            None => Ok(Metadata { values }),
        }
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.values.binary_search_by(|(own, _)| own.as_str().cmp(key))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).ok().map(|index| &self.values[index].1)
    }

    /// All keys with their values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    fn typed<'a, T>(
        &'a self,
        key: &'static str,
        expected: &'static str,
        of: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WrongType> {
        let value = self.get(key).map(|value| of(value).ok_or(WrongType { key, expected }));
        value.transpose()
    }

    /// The integer of this key, if the key is there.
    pub fn integer(&self, key: &'static str) -> Result<Option<i128>, WrongType> {
        self.typed(key, "a whole number", Value::as_integer)
    }

    /// The string of this key, if the key is there.
    pub fn text(&self, key: &'static str) -> Result<Option<&str>, WrongType> {
        self.typed(key, "a text", Value::as_text)
    }

    /// The boolean of this key, if the key is there.
    pub fn bool(&self, key: &'static str) -> Result<Option<bool>, WrongType> {
        self.typed(key, "true or false", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// The list of this key, if the key is there. Its elements must have one of these types.
    pub(crate) fn array(
        &self,
        key: &'static str,
        elements: &[u32],
        expected: &'static str,
    ) -> Result<Option<Array>, WrongType> {
        self.typed(key, expected, |value| match value {
            Value::Array(array) if elements.contains(&array.element) => Some(*array),
            _ => None,
        })
    }
}

impl Value {
    /// The integer that it is.
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The floating-point number that it is, rounded to `f32`.
    pub fn as_float(&self) -> Option<f32> {
        match self {
            Value::Float(number) => Some(*number as f32),
            _ => None,
        }
    }

    /// The string that it is.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}
