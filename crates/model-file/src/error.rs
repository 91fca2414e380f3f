//! What can be wrong with a model file.

use crate::{ConfigError, GgufError, WrongType};
use bootllm_platform::StorageError;
use bootllm_units::bytes;

/// Why a file is not a model that can be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// The device or its driver failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file is empty.
    #[error("the file is empty; copy the model again")]
    Empty,
    /// The file is shorter than any header.
    #[error("the file has only {}, less than a header; copy the model again", bytes(*found))]
    TooShort {
        /// Bytes in the file.
        found: u64,
    },
    /// The file is of another, known kind.
    #[error("this is {kind}, not a model in llama2.c's format or GGUF; {advice}")]
    Foreign {
        /// What it is.
        kind: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The file's numbers have their bytes in the other order.
    #[error("the file was written on a big-endian machine; export it again on a little-endian one")]
    BigEndian,
    /// llama2.c's magic number is there, with an unknown version.
    #[error("llama2.c's format, but version {found}; versions 0, 1 and 2 can be read")]
    Version {
        /// The version that the header says.
        found: i32,
    },
    /// The numbers of a header with llama2.c's magic do not make a model.
    #[error("the header is invalid: {0}")]
    Config(#[from] ConfigError),
    /// There is no known magic number, and the size is not that of a v0 file either.
    #[error("not a model in GGUF or in one of llama2.c's formats")]
    NotAModel,
    /// The header and the size of the file contradict each other.
    #[error(
        "the header describes {expected} bytes, the file has {found}: it is {}",
        if u128::from(*found) < *expected {
            "cut short; copy or download it again"
        } else {
            "too long, or not a model at all"
        }
    )]
    Size {
        /// Bytes that the header describes.
        expected: u128,
        /// Bytes in the file.
        found: u64,
    },
    /// Something is wrong with a GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The description of the model would take too much memory.
    #[error(
        "its description takes more than {} MiB: the file is damaged or made to do harm",
        limit >> 20
    )]
    DescriptionTooLarge {
        /// Bytes that a description may take.
        limit: u64,
    },
    /// The description cannot be allocated.
    #[error("cannot allocate the description of {tensors} tensors")]
    OutOfMemory {
        /// How many there are.
        tensors: usize,
    },
}

impl From<WrongType> for ReadError {
    fn from(error: WrongType) -> Self {
        GgufError::from(error).into()
    }
}
