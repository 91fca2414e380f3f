//! Why a model could not be loaded.

use alloc::string::{String, ToString};
use bootllm_model_file::RowError;

/// Why a model could not be loaded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// The weights could not be read, or are not numbers.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The machine does not have the memory.
    #[error("cannot allocate {} for {what}", bootllm_units::bytes(*bytes))]
    OutOfMemory {
        /// What for.
        what: String,
        /// Bytes that were asked for.
        bytes: u64,
    },
    /// A factor that scales a frequency of RoPE is out of bounds.
    #[error("a factor of the rotary frequencies is {found}; it must be 1 or more")]
    RopeFactor {
        /// Its value.
        found: f32,
    },
    /// The user stopped it.
    #[error("loading was stopped")]
    Stopped,
}

pub(crate) fn out_of_memory(what: impl ToString, bytes: u64) -> LoadError {
    LoadError::OutOfMemory { what: what.to_string(), bytes }
}
