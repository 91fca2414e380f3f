//! Reading llama2.c's headers.

use super::{
    Config, ConfigError, HEADER, HEADER_V0, MAGIC, TensorRole, Version, layers_of, row_bytes,
    tensor,
};
use crate::description::Budget;
use crate::{FileFormat, ModelFile, ReadError, Tensor};
use alloc::vec::Vec;
use bootllm_platform::ReadAt;
use bootllm_quant::{LARGEST_GROUP, Shape};

/// Numbers in a header.
const NUMBERS: usize = 7;

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
    let (tensors, metadata) = (place_tensors(version, &config)?, config.metadata());
    match ModelFile::new(FileFormat::Llama2c(version), metadata, tensors, None, size) {
        Ok(file) => Ok(file),
        Err(name) => unreachable!("{name} is there once"),
    }
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
    let tied_embeddings = match header[36] {
        0 => false,
        1 => true,
        found => return Err(ConfigError::TiedFlag { found }.into()),
    };
    let config = Config::check(numbers_at(header, 8).map(i64::from), tied_embeddings)?;
    version.check_group(&config)?;
    Ok((version, config))
}

/// The header of v0, whose vocabulary is negative if the output projection is a tensor of its own.
fn read_header_v0(header: &[u8], size: u64) -> Result<Config, ReadError> {
    let check = |numbers: [i32; NUMBERS]| {
        let mut numbers = numbers.map(i64::from);
        let tied_embeddings = numbers[5] > 0;
        numbers[5] = numbers[5].abs();
        Config::check(numbers, tied_embeddings)
    };
    let fits = |config: &Config| file_bytes(Version::V0, config) == u128::from(size);
    let numbers = numbers_at(header, 0);
    match check(numbers) {
        Ok(config) if fits(&config) => Ok(config),
        // There is no magic number to tell the byte order. But if the numbers make sense the other
        // way round, down to the last byte of the file, it is that way.
        _ if check(numbers.map(i32::swap_bytes)).is_ok_and(|config| fits(&config)) => {
            Err(ReadError::BigEndian)
        }
        // A file that was cut short, say. Its size is told.
        Ok(config) => Ok(config),
        // Four bytes of any text make "1819570031 heads": a message that helps nobody.
        Err(_) => Err(ReadError::NotAModel),
    }
}

/// Bytes that a file of this shape has. The numbers of a header are below 2^31, so no sum of 12
/// products of three of them comes near 2^128.
fn file_bytes(version: Version, config: &Config) -> u128 {
    let tensors = version.roles(config).map(|role| {
        let shape = version.shape(config, role);
        let row: u64 = row_bytes(&shape).iter().sum();
        u128::from(row) * shape.rows as u128 * layers_of(role, config) as u128
            + u128::from(version.gap_after(config, role))
    });
    u128::from(version.header_bytes()) + tensors.sum::<u128>()
}

/// Returns the tensors with their offsets, in the order of the computation. The size of the file has
/// been checked, so every offset is within it.
fn place_tensors(version: Version, config: &Config) -> Result<Vec<Tensor>, ReadError> {
    const LONGEST_NAME: usize = 64;
    let count: usize = version.roles(config).map(|role| layers_of(role, config)).sum();
    Budget::new().take(count.saturating_mul(size_of::<Tensor>() + LONGEST_NAME))?;
    let mut tensors = Vec::new();
    let reserved = tensors.try_reserve_exact(count);
    reserved.map_err(|_| ReadError::OutOfMemory { tensors: count })?;
    // Where each role's first tensor begins; that of the next layer follows it.
    let mut starts = [0; TensorRole::ALL.len()];
    let mut offset = version.header_bytes();
    let bytes = |shape: &Shape| row_bytes(shape).map(|bytes| bytes * shape.rows as u64);
    for role in version.roles(config) {
        let layer: u64 = bytes(&version.shape(config, role)).iter().sum();
        starts[role as usize] = offset;
        offset += layer * layers_of(role, config) as u64 + version.gap_after(config, role);
    }
    tensors.extend(TensorRole::of(config).map(|(role, layer)| {
        let shape = version.shape(config, role);
        let [first, second] = bytes(&shape);
        let start = starts[role as usize] + (first + second) * layer as u64;
        tensor(role, layer, shape, [start, start + first])
    }));
    Ok(tensors)
}
