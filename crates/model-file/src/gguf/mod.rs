//! GGUF, the format of llama.cpp and of most models that people publish.
//!
//! All numbers are little-endian, and a string is a u64 length and its bytes. The sources of these
//! facts are ggml's `docs/gguf.md` and `gguf.cpp`.
//!
//! | | |
//! |---|---|
//! | header | `GGUF`, u32 version, u64 count of tensors, u64 count of keys |
//! | metadata | per key: name, u32 type, value; a list is u32 type, u64 count, elements |
//! | tensors | per tensor: name, u32 count of dimensions, one u64 each (columns first), u32 format, u64 offset |
//! | weights | from the next multiple of `general.alignment` (32) on; offsets count from there |
//!
//! Versions 2 and 3 differ only in what 3 says about big-endian machines.

mod cursor;
mod error;
mod keys;
mod metadata;
mod tensors;
mod types;
mod vocabulary;
mod write;

pub use error::GgufError;
pub use tensors::OffsetProblem;
pub use vocabulary::{Token, TokenKind, TokenRules, Tokens, Vocabulary};
pub use write::write_gguf;
pub(crate) use write::{Source, write_from};

use crate::description::Budget;
use crate::{FileFormat, Metadata, ModelFile, ReadError};
use bootllm_platform::ReadAt;
use cursor::Cursor;

/// What a file begins with.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";
/// The versions that can be read; the first is written.
const VERSIONS: [u32; 2] = [3, 2];
/// The alignment of files that do not name one, and of those that are written.
const ALIGNMENT: u64 = 32;

/// How much is described.
struct Header {
    tensors: u64,
    values: u64,
}

/// Reads a file's description and checks every number against the file's size.
pub(crate) fn read(file: &mut dyn ReadAt) -> Result<ModelFile, ReadError> {
    let size = file.size();
    let mut cursor = Cursor::new(file, 0)?;
    let mut budget = Budget::new();
    let header = read_header(&mut cursor)?;
    let metadata = metadata::read(&mut cursor, header.values, &mut budget)?;
    let split = metadata.integer(keys::SPLIT_COUNT).map_err(GgufError::from)?;
    if let Some(files) = split.filter(|&files| files > 1) {
        return Err(GgufError::Split { files }.into());
    }
    let mut tensors = tensors::read(&mut cursor, header.tensors, &mut budget)?;
    let alignment = alignment(&metadata)?;
    let start = cursor.position().checked_next_multiple_of(alignment).ok_or(GgufError::CutShort)?;
    tensors::place(&mut tensors, (start, alignment, size))?;
    let vocabulary = Vocabulary::of(&metadata)?;
    ModelFile::new(FileFormat::Gguf, metadata, tensors, vocabulary, size)
        .map_err(|tensor| GgufError::TensorTwice { tensor }.into())
}

fn read_header(cursor: &mut Cursor<'_>) -> Result<Header, ReadError> {
    if cursor.bytes()? != MAGIC {
        return Err(GgufError::NoVocabulary.into());
    }
    let version = cursor.u32()?;
    if VERSIONS.contains(&version.swap_bytes()) {
        return Err(ReadError::BigEndian);
    }
    if !VERSIONS.contains(&version) {
        return Err(GgufError::Version { found: version }.into());
    }
    Ok(Header { tensors: cursor.u64()?, values: cursor.u64()? })
}

fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    let found = metadata.integer(keys::ALIGNMENT)?.unwrap_or(ALIGNMENT.into());
    let power = u32::try_from(found).ok().filter(|alignment| alignment.is_power_of_two());
    power.map(u64::from).ok_or(GgufError::Alignment { found })
}
