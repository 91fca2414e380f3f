//! llama2.c's three formats.
//!
//! All numbers are little-endian. The sources of these facts are llama2.c's `export.py`, `run.c`
//! and `runq.c`.
//!
//! | | header | tensors |
//! |---|---|---|
//! | v0 | 7 × i32: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: the classifier is a tensor of its own), seq_len | f32, among them two RoPE tables that nobody reads |
//! | v1 | `24ka` (the number 0x616b3432), i32 version, the 7 × i32, u8 shared classifier, zeros up to byte 256 | f32 |
//! | v2 | as v1, then i32 group size after the flag | norms f32; the others each as i8 values, then f32 scales |
//!
//! The order of the tensors is in [`Version::order`]; a tensor that every layer has lies there for
//! all layers in a row.

use crate::config::LLAMA2C_FIELDS;
use crate::error::{ConfigError, ReadError};
use crate::{Config, ModelFile, Part, Plane, Tensor};
use alloc::vec::Vec;
use bootllm_platform::ReadAt;
use bootllm_quant::{Encoding, LARGEST_GROUP, PlaneBytes, Shape};
use core::fmt;

/// The number that v1 and v2 begin with.
pub(crate) const MAGIC: u32 = 0x616b_3432;
/// Bytes of the header of v1 and v2.
pub(crate) const HEADER: u64 = 256;
/// Bytes of the header of v0.
const HEADER_V0: u64 = 28;
/// Numbers in a header.
const NUMBERS: usize = 7;

/// Which of llama2.c's formats a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The legacy format: f32, no magic number.
    V0,
    /// f32 behind a proper header.
    V1,
    /// int8 in groups behind a proper header.
    V2 {
        /// Values in a group.
        group: usize,
    },
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Version::V0 | Version::V1 => Ok(()),
            Version::V2 { group } => write!(f, ", groups of {group}"),
        }
    }
}

impl Version {
    /// Its name, without what differs between files of the format.
    pub fn name(self) -> &'static str {
        match self {
            Version::V0 => "llama2.c v0 (f32)",
            Version::V1 => "llama2.c v1 (f32)",
            Version::V2 { .. } => "llama2.c v2 (int8)",
        }
    }

    /// Checks that a file of this version can hold such a model.
    pub(crate) fn check(self, config: &Config) -> Result<(), ConfigError> {
        let epsilon = (config.norm_epsilon, Config::NORM_EPSILON, "the norms' epsilon");
        let base = (config.rope_base, Config::ROPE_BASE, "the base of the rotary frequencies");
        for (found, expected, what) in [epsilon, base] {
            if found != expected {
                return Err(ConfigError::NotInLlama2c { what, found, expected });
            }
        }
        self.check_group(config)
    }

    /// Checks that groups can be computed with and do not run across the ends of rows.
    fn check_group(self, config: &Config) -> Result<(), ConfigError> {
        let Version::V2 { group } = self else {
            return Ok(());
        };
        if !(1..=LARGEST_GROUP).contains(&group) {
            let found = i64::try_from(group).unwrap_or(i64::MAX);
            return Err(ConfigError::GroupSize { found, largest: LARGEST_GROUP });
        }
        match [config.dim, config.hidden_dim].into_iter().find(|n| !n.is_multiple_of(group)) {
            None => Ok(()),
            Some(columns) => Err(ConfigError::GroupDoesNotDivide { group, columns }),
        }
    }

    /// The tensors in the order in which they lie in the file.
    pub fn order(self) -> [Part; 12] {
        use Part::*;
        match self {
            Version::V0 => [
                TokenEmbedding,
                AttentionNorm,
                Query,
                Key,
                Value,
                AttentionOutput,
                FeedForwardNorm,
                Gate,
                Down,
                Up,
                OutputNorm,
                Output,
            ],
            Version::V1 | Version::V2 { .. } => [
                AttentionNorm,
                FeedForwardNorm,
                OutputNorm,
                TokenEmbedding,
                Query,
                Key,
                Value,
                AttentionOutput,
                Gate,
                Down,
                Up,
                Output,
            ],
        }
    }

    /// Bytes before the first tensor.
    pub(crate) fn header_bytes(self) -> u64 {
        match self {
            Version::V0 => HEADER_V0,
            Version::V1 | Version::V2 { .. } => HEADER,
        }
    }

    /// The shape and format of a tensor.
    pub(crate) fn shape(self, config: &Config, part: Part) -> Shape {
        let (rows, columns) = part.shape(config);
        let encoding = match self {
            Version::V2 { group } if !part.is_norm() => Encoding::Int8 { group },
            _ => Encoding::F32,
        };
        Shape { rows, columns, encoding }
    }

    /// Bytes that lie after a tensor and belong to none: v0's RoPE tables.
    pub(crate) fn gap_after(self, config: &Config, part: Part) -> u64 {
        match (self, part) {
            (Version::V0, Part::OutputNorm) => {
                // Two tables of (seq_len, head_size / 2) f32. Both numbers are below 2^31, so the
                // product is below 2^64.
                config.context as u64 * (config.head_size() / 2) as u64 * 2 * 4
            }
            _ => 0,
        }
    }
}

/// The largest group of up to 64 values that divides every row of this model; 64 is the size
/// that llama2.c's `export.py` starts from.
pub fn largest_group(config: &Config) -> usize {
    (1..=64).rev().find(|&group| Version::V2 { group }.check_group(config).is_ok()).unwrap_or(1)
}

/// Reads a header and checks it against the size of the file.
pub(crate) fn read(file: &mut dyn ReadAt) -> Result<ModelFile, ReadError> {
    let size = file.size();
    if size == 0 {
        return Err(ReadError::Empty);
    }
    let mut header = [0; HEADER as usize];
    let length = size.min(HEADER) as usize;
    file.read_at(0, &mut header[..length])?;
    reject_foreign(&header)?;
    if size < HEADER_V0 {
        return Err(ReadError::TooShort { found: size });
    }
    let (version, config) = match i32_at(&header, 0).cast_unsigned() {
        MAGIC if size < HEADER => return Err(ReadError::TooShort { found: size }),
        MAGIC => read_header(&header)?,
        _ => (Version::V0, read_header_v0(&header, size)?),
    };
    let expected = file_bytes(version, &config);
    if expected != u128::from(size) {
        return Err(ReadError::Size { expected, found: size });
    }
    let tensors = place_tensors(version, &config)?;
    Ok(ModelFile { format: version.into(), config, size, vocabulary: None, tensors })
}

fn i32_at(bytes: &[u8], offset: usize) -> i32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[offset..offset + 4]);
    i32::from_le_bytes(number)
}

fn numbers_at(header: &[u8], offset: usize) -> [i32; NUMBERS] {
    core::array::from_fn(|i| i32_at(header, offset + 4 * i))
}

/// Files that people mistake for models of this kind.
fn reject_foreign(header: &[u8]) -> Result<(), ReadError> {
    let foreign = |kind, advice| Err(ReadError::Foreign { kind, advice });
    match header {
        [b'a', b'k', b'4', b'2', ..] => Err(ReadError::BigEndian),
        [b'P', b'K', 3, 4, ..] => {
            foreign("a zip archive or a PyTorch checkpoint", "convert it with llama2.c's export.py")
        }
        // An operation follows, never 0; in v0, 0x0280 to 0x0580 are fine dimensions.
        [0x80, 2..=5, 1..=255, ..] => {
            foreign("a Python pickle", "convert it with llama2.c's export.py")
        }
        [0x1f, 0x8b, ..] => foreign("gzip data", "unpack it first"),
        [_, _, _, _, _, 0, 0, 0, b'{', b'"', ..] => {
            foreign("a safetensors file", "convert it with llama2.c's export.py")
        }
        _ => Ok(()),
    }
}

/// The header of v1 and v2.
fn read_header(header: &[u8]) -> Result<(Version, Config), ReadError> {
    let version = match i32_at(header, 4) {
        1 => Version::V1,
        2 => {
            let found = i32_at(header, 37);
            let group = usize::try_from(found).map_err(|_| ConfigError::GroupSize {
                found: found.into(),
                largest: LARGEST_GROUP,
            })?;
            Version::V2 { group }
        }
        found => return Err(ReadError::Version { found }),
    };
    let shared_classifier = match header[36] {
        0 => false,
        1 => true,
        found => return Err(ConfigError::SharedFlag { found }.into()),
    };
    let numbers = numbers_at(header, 8).map(i64::from);
    let config = Config::check(numbers, &LLAMA2C_FIELDS, shared_classifier)?;
    version.check_group(&config)?;
    Ok((version, config))
}

/// The header of v0, whose vocabulary is negative if the classifier is a tensor of its own.
fn read_header_v0(header: &[u8], size: u64) -> Result<Config, ReadError> {
    let check = |numbers: [i32; NUMBERS]| {
        let mut numbers = numbers.map(i64::from);
        let shared_classifier = numbers[5] > 0;
        numbers[5] = numbers[5].abs();
        Config::check(numbers, &LLAMA2C_FIELDS, shared_classifier)
    };
    let fits = |config: &Config| file_bytes(Version::V0, config) == u128::from(size);
    let numbers = numbers_at(header, 0);
    match check(numbers) {
        Ok(config) if fits(&config) => Ok(config),
        // No magic number shows the order of the bytes. But if the numbers make sense the other
        // way round, down to the last byte of the file, it is that way.
        _ if check(numbers.map(i32::swap_bytes)).is_ok_and(|config| fits(&config)) => {
            Err(ReadError::BigEndian)
        }
        checked => checked.map_err(ReadError::NotAModel),
    }
}

/// The tensors that a model has, in the order of the file.
fn parts(version: Version, config: &Config) -> impl Iterator<Item = Part> + use<> {
    let shared = config.shared_classifier;
    version.order().into_iter().filter(move |part| !(shared && *part == Part::Output))
}

fn layers_of(part: Part, config: &Config) -> usize {
    if part.in_layers() { config.layers } else { 1 }
}

/// Bytes of a row in each plane. A row has less than 2^31 values, so the numbers fit.
fn row_bytes(shape: &Shape) -> PlaneBytes {
    shape.plane_bytes().unwrap_or([u64::MAX, 0])
}

/// Bytes that a file of this shape has. The numbers of a header are below 2^31, so no sum of 12
/// products of three of them comes near 2^128.
fn file_bytes(version: Version, config: &Config) -> u128 {
    let tensors = parts(version, config).map(|part| {
        let shape = version.shape(config, part);
        let row: u64 = row_bytes(&shape).iter().sum();
        u128::from(row) * shape.rows as u128 * layers_of(part, config) as u128
            + u128::from(version.gap_after(config, part))
    });
    u128::from(version.header_bytes()) + tensors.sum::<u128>()
}

/// Says where each tensor lies. The size of the file has been checked, so that every offset is
/// within it.
fn place_tensors(version: Version, config: &Config) -> Result<Vec<Tensor>, ReadError> {
    let count = parts(version, config).map(|part| layers_of(part, config)).sum();
    let mut tensors = Vec::new();
    tensors.try_reserve_exact(count).map_err(|_| ReadError::OutOfMemory { tensors: count })?;
    let mut offset = version.header_bytes();
    for part in parts(version, config) {
        let shape = version.shape(config, part);
        for layer in 0..layers_of(part, config) {
            let planes = row_bytes(&shape).map(|row_bytes| {
                let plane = Plane { offset, row_bytes };
                offset += row_bytes * shape.rows as u64;
                plane
            });
            tensors.push(Tensor { part, layer, shape, planes });
        }
        offset += version.gap_after(config, part);
    }
    tensors.sort_unstable_by_key(|tensor| (tensor.layer, tensor.part));
    Ok(tensors)
}

/// Writes the header of a file.
pub(crate) fn header(version: Version, config: &Config) -> Vec<u8> {
    let &Config { dim, hidden_dim, layers, heads, kv_heads, vocab_size, context, .. } = config;
    // `Config::validate` has seen that all of them fit.
    let mut numbers =
        [dim, hidden_dim, layers, heads, kv_heads, vocab_size, context].map(|n| n as i32);
    if version == Version::V0 && !config.shared_classifier {
        numbers[5] = -numbers[5];
    }
    let numbers = numbers.into_iter().flat_map(i32::to_le_bytes);
    let (number, group) = match version {
        Version::V0 => return numbers.collect(),
        Version::V1 => (1, None),
        Version::V2 { group } => (2, Some(group as i32)),
    };
    let mut header: Vec<u8> = MAGIC.to_le_bytes().into();
    header.extend(i32::to_le_bytes(number));
    header.extend(numbers);
    header.push(config.shared_classifier.into());
    header.extend(group.into_iter().flat_map(i32::to_le_bytes));
    header.resize(HEADER as usize, 0);
    header
}
