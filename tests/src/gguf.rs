//! A naive reader and writer of GGUF files, the reference for the crate's.

use std::iter::repeat_n;

/// A file in parts, which need not be valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Gguf {
    /// The version of the format.
    pub version: u32,
    /// Names, and values with their types before them.
    pub values: Vec<(String, Vec<u8>)>,
    /// The tensors.
    pub tensors: Vec<GgufTensor>,
    /// Where tensors may begin.
    pub alignment: usize,
}

/// A tensor of a [`Gguf`].
#[derive(Clone, Debug, PartialEq)]
pub struct GgufTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, columns first.
    pub dimensions: Vec<u64>,
    /// The number of its format.
    pub kind: u32,
    /// Its weights.
    pub bytes: Vec<u8>,
}

/// Values with their types before them.
pub mod value {
    /// A u32.
    pub fn u32(number: u32) -> Vec<u8> {
        [4u32.to_le_bytes(), number.to_le_bytes()].concat()
    }

    /// An f32.
    pub fn f32(number: f32) -> Vec<u8> {
        [6u32.to_le_bytes(), number.to_le_bytes()].concat()
    }

    /// A bool.
    pub fn bool(value: bool) -> Vec<u8> {
        [7u32.to_le_bytes().as_slice(), &[value.into()]].concat()
    }

    /// A text.
    pub fn text(text: &str) -> Vec<u8> {
        [8u32.to_le_bytes().as_slice(), &super::string(text)].concat()
    }

    /// An array of `count` elements of this type, with their bytes.
    pub fn array(element: u32, count: u64, bytes: &[u8]) -> Vec<u8> {
        let head = [9u32.to_le_bytes(), element.to_le_bytes()].concat();
        [head.as_slice(), &count.to_le_bytes(), bytes].concat()
    }
}

/// A text as a file has it.
pub fn string(text: &str) -> Vec<u8> {
    [(text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

impl Gguf {
    /// Reads a valid file.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut at = Place { bytes, offset: 4 };
        assert_eq!(&bytes[..4], b"GGUF");
        let version = at.u32();
        let (tensors, values) = (at.u64(), at.u64());
        let values: Vec<_> = (0..values)
            .map(|_| {
                let key = at.string();
                let start = at.offset;
                let kind = at.u32();
                at.skip_value(kind);
                (key, bytes[start..at.offset].to_vec())
            })
            .collect();
        let infos: Vec<_> = (0..tensors)
            .map(|_| {
                let name = at.string();
                let count = at.u32();
                let dimensions: Vec<u64> = (0..count).map(|_| at.u64()).collect();
                (name, dimensions, at.u32(), at.u64() as usize)
            })
            .collect();
        let alignment = 32;
        let weights = &bytes[at.offset.next_multiple_of(alignment)..];
        let tensors = infos.into_iter().map(|(name, dimensions, kind, offset)| {
            let elements: u64 = dimensions.iter().product();
            let bytes = match kind {
                0 => elements * 4,
                1 | 30 => elements * 2,
                8 => elements / 32 * 34,
                2 => elements / 32 * 18,
                kind => panic!("format {kind}"),
            };
            let bytes = weights[offset..][..bytes as usize].to_vec();
            GgufTensor { name, dimensions, kind, bytes }
        });
        Gguf { version, values, tensors: tensors.collect(), alignment }
    }

    /// Writes the file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.values.len() as u64).to_le_bytes());
        for (key, value) in &self.values {
            file.extend(string(key));
            file.extend(value);
        }
        let mut weights: Vec<u8> = Vec::new();
        for tensor in &self.tensors {
            file.extend(string(&tensor.name));
            file.extend((tensor.dimensions.len() as u32).to_le_bytes());
            file.extend(tensor.dimensions.iter().flat_map(|dimension| dimension.to_le_bytes()));
            file.extend(tensor.kind.to_le_bytes());
            file.extend((weights.len() as u64).to_le_bytes());
            weights.extend(&tensor.bytes);
            weights.resize(weights.len().next_multiple_of(self.alignment), 0);
        }
        let padding = file.len().next_multiple_of(self.alignment) - file.len();
        file.extend(repeat_n(0, padding).chain(weights));
        file
    }

    /// The value of this name.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_slice())
    }

    /// The same file with this value replaced or added.
    pub fn with(mut self, key: &str, value: Vec<u8>) -> Self {
        match self.values.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.values.push((key.into(), value)),
        }
        self
    }

    /// The same file without this value.
    pub fn without(mut self, key: &str) -> Self {
        let before = self.values.len();
        self.values.retain(|(name, _)| name != key);
        assert_eq!(self.values.len() + 1, before, "there was no {key}");
        self
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// The same file with its tensors changed.
    pub fn tensors(mut self, change: impl FnOnce(&mut Vec<GgufTensor>)) -> Self {
        change(&mut self.tensors);
        self
    }
}

struct Place<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Place<'_> {
    fn u32(&mut self) -> u32 {
        self.offset += 4;
        u32::from_le_bytes(self.bytes[self.offset - 4..self.offset].try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        self.offset += 8;
        u64::from_le_bytes(self.bytes[self.offset - 8..self.offset].try_into().unwrap())
    }

    fn string(&mut self) -> String {
        let length = self.u64() as usize;
        self.offset += length;
        String::from_utf8(self.bytes[self.offset - length..self.offset].into()).unwrap()
    }

    fn skip_value(&mut self, kind: u32) {
        match kind {
            0 | 1 | 7 => self.offset += 1,
            2 | 3 => self.offset += 2,
            4..=6 => self.offset += 4,
            8 => drop(self.string()),
            9 => {
                let (kind, count) = (self.u32(), self.u64());
                (0..count).for_each(|_| self.skip_value(kind));
            }
            10..=12 => self.offset += 8,
            kind => panic!("type {kind}"),
        }
    }
}
