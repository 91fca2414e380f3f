//! GGUF, the format of llama.cpp and of most models that people publish.
//!
//! All numbers are little-endian, and a string is a u64 length and its bytes. The sources of these
//! facts are ggml's `docs/gguf.md` and `gguf.cpp`, and llama.cpp's `llama-arch.cpp` for the names.
//!
//! | | |
//! |---|---|
//! | header | `GGUF`, u32 version, u64 tensors, u64 values |
//! | values | name, u32 type, value; an array is u32 type, u64 count, elements |
//! | tensors | name, u32 dimensions, so many u64 (columns first), u32 format, u64 offset |
//! | weights | from the next multiple of `general.alignment` (32) on; offsets count from there |
//!
//! Versions 2 and 3 are alike but for what 3 says about big-endian machines.
//!
//! So far one architecture is read, `llama`. Its queries and keys have the order of llama2.c's: pairs
//! that are rotated lie side by side (`LLAMA_ROPE_TYPE_NORM`); whoever converts a model from the
//! order of Hugging Face's permutes them.

mod cursor;
mod error;
mod keys;
mod metadata;
mod tensors;
mod vocabulary;
mod write;

pub use error::GgufError;
pub use vocabulary::{Token, TokenKind, TokenRules, Tokens, Vocabulary};
pub(crate) use write::Writer;
pub use write::write_gguf;

use crate::{Config, FileFormat, ModelFile, ReadError, Tensor};
use alloc::string::ToString;
use bootllm_platform::ReadAt;
use bootllm_quant::Encoding;
use cursor::Cursor;
use metadata::Metadata;

/// What a file begins with.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";
/// The architecture that is read and written.
const ARCHITECTURE: &str = "llama";
/// The version that is written, and the oldest that is read.
const VERSIONS: [u32; 2] = [3, 2];
/// The alignment of files that do not say one, and of those that are written.
const ALIGNMENT: u64 = 32;

/// How much is described.
struct Header {
    tensors: u64,
    values: u64,
}

/// Reads a file and checks that all its numbers and its size make sense.
pub(crate) fn read(file: &mut dyn ReadAt) -> Result<ModelFile, ReadError> {
    let size = file.size();
    let mut cursor = Cursor::new(file, 0)?;
    let header = read_header(&mut cursor)?;
    let metadata = Metadata::read(&mut cursor, header.values, &keys::MODEL)?;
    check_supported(&metadata)?;
    let infos = tensors::read(&mut cursor, header.tensors)?;
    let alignment = alignment(&metadata)?;
    let start = cursor.position().checked_next_multiple_of(alignment).ok_or(GgufError::CutShort)?;

    let config = config(&metadata, tensors::vocabulary(&infos)?)?;
    let tensors = tensors::place(infos, &config, (start, alignment, size))?;
    let vocabulary = Vocabulary::of(&metadata)?;
    if let Some(vocabulary) = &vocabulary
        && vocabulary.count() != config.vocab_size as u64
    {
        let (found, expected) = (vocabulary.count(), config.vocab_size as u64);
        return Err(GgufError::VocabularySize { key: keys::TOKENS, found, expected }.into());
    }
    let format = FileFormat::Gguf { weights: most_weights(&tensors) };
    Ok(ModelFile { format, config, size, vocabulary, tensors })
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

/// Checks for what this program would have to compute in another way.
fn check_supported(metadata: &Metadata) -> Result<(), GgufError> {
    match metadata.text(keys::ARCHITECTURE)? {
        Some(ARCHITECTURE) => {}
        Some(found) => return Err(GgufError::Architecture { found: found.into() }),
        None => return Err(GgufError::Missing { key: keys::ARCHITECTURE }),
    }
    let unsupported = |key, found: &dyn ToString, supported| {
        Err(GgufError::Unsupported { key, found: found.to_string(), supported })
    };
    if let Some(files) = metadata.integer(keys::SPLIT_COUNT)?.filter(|&files| files > 1) {
        let supported = "join the parts with llama.cpp's `llama-gguf-split --merge`";
        return unsupported(keys::SPLIT_COUNT, &files, supported);
    }
    if let Some(experts) = metadata.integer(keys::EXPERTS)?.filter(|&experts| experts != 0) {
        return unsupported(keys::EXPERTS, &experts, "only models without experts can");
    }
    let supported = "only models without scaled rotary embedding can";
    let scaling = metadata.text(keys::ROPE_SCALING)?;
    if let Some(scaling) = scaling.filter(|scaling| !["none", "linear"].contains(scaling)) {
        return unsupported(keys::ROPE_SCALING, &scaling, supported);
    }
    for key in [keys::ROPE_FACTOR, keys::ROPE_FACTOR_OLD, keys::ROPE_ATTENTION_FACTOR] {
        // A factor of 0 means none; a scaling of none has none, whatever the factor.
        let factor = metadata.float(key)?.filter(|&factor| factor != 0.0 && factor != 1.0);
        if let Some(factor) = factor.filter(|_| scaling != Some("none")) {
            return unsupported(key, &factor, supported);
        }
    }
    Ok(())
}

fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    let found = metadata.integer(keys::ALIGNMENT)?.unwrap_or(ALIGNMENT.into());
    let power = u32::try_from(found).ok().filter(|alignment| alignment.is_power_of_two());
    power.map(u64::from).ok_or(GgufError::Alignment { found })
}

/// The shape of a model. The tensors say how many tokens there are and whether the classifier is the
/// embedding.
fn config(
    metadata: &Metadata,
    (vocab_size, shared_classifier): (u64, bool),
) -> Result<Config, ReadError> {
    const FIELDS: [&str; 7] = [
        keys::DIM,
        keys::HIDDEN_DIM,
        keys::LAYERS,
        keys::HEADS,
        keys::KV_HEADS,
        "the number of rows of token_embd.weight",
        keys::CONTEXT,
    ];
    let number = |key| metadata.integer(key)?.ok_or(GgufError::Missing { key });
    let heads = number(keys::HEADS)?;
    let kv_heads = metadata.integer(keys::KV_HEADS)?.unwrap_or(heads);
    let [dim, hidden_dim] = [number(keys::DIM)?, number(keys::HIDDEN_DIM)?];
    let [layers, context] = [number(keys::LAYERS)?, number(keys::CONTEXT)?];
    let numbers = [dim, hidden_dim, layers, heads, kv_heads, vocab_size.into(), context];
    let numbers = numbers.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
    let config = Config::check(numbers, &FIELDS, shared_classifier)?;

    let head_size = config.head_size();
    for key in [keys::ROPE_DIMENSIONS, keys::KEY_LENGTH, keys::VALUE_LENGTH] {
        let size = metadata.integer(key)?.filter(|&size| size != head_size as i128);
        if let Some(size) = size {
            let found = size.to_string();
            let supported = "it must be the size of a head, the dimension divided by the heads";
            return Err(GgufError::Unsupported { key, found, supported }.into());
        }
    }
    let key = keys::NORM_EPSILON;
    let norm_epsilon = metadata.float(key)?.ok_or(GgufError::Missing { key })?;
    let rope_base = metadata.float(keys::ROPE_BASE)?.unwrap_or(Config::ROPE_BASE);
    let config = Config { norm_epsilon, rope_base, ..config };
    config.check_floats()?;
    Ok(config)
}

/// The format that most bytes of the matrices have.
fn most_weights(tensors: &[Tensor]) -> Encoding {
    let bytes = |encoding: &Encoding| -> u128 {
        let matrices = tensors.iter().filter(|tensor| !tensor.part.is_norm());
        let own = matrices.filter(|tensor| tensor.shape.encoding == *encoding);
        own.map(|tensor| u128::from(tensor.bytes())).sum()
    };
    Encoding::IN_GGUF.into_iter().max_by_key(bytes).unwrap_or(Encoding::F32)
}
