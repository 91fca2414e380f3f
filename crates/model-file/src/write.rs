//! What the writers of all formats share.

use crate::{ConfigError, ReadError, RowError, Version};
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_quant::Encoding;
use core::fmt;

/// What a file is written as: a container and the format of its matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// One of llama2.c's.
    Llama2c(Version),
    /// GGUF, with matrices in this format.
    Gguf(Encoding),
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputFormat::Llama2c(version) => version.fmt(f),
            OutputFormat::Gguf(weights) => write!(f, "GGUF ({})", weights.name()),
        }
    }
}

impl From<Version> for OutputFormat {
    fn from(version: Version) -> Self {
        OutputFormat::Llama2c(version)
    }
}

impl From<Encoding> for OutputFormat {
    fn from(weights: Encoding) -> Self {
        OutputFormat::Gguf(weights)
    }
}

/// Where a file is written to, from its first byte to its last.
pub trait Sink {
    /// Takes the next bytes of the file, or says why it cannot.
    fn write(&mut self, bytes: &[u8]) -> Result<(), String>;
}

/// A file in memory.
impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Gives rows to be written: calls the function with each row, in order, of the tensor of this name.
pub type Rows<'a> = dyn FnMut(&str, &mut dyn FnMut(&[f32]) -> Result<(), WriteError>) -> Result<(), WriteError>
    + 'a;

/// Why a file could not be written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// The format cannot hold the model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The rows of the source could not be read.
    #[error(transparent)]
    Read(#[from] RowError),
    /// The description of the source could not be read again.
    #[error(transparent)]
    Description(#[from] ReadError),
    /// A weight is too large for the format.
    #[error("a weight in {tensor} is too large for {format}; choose another format")]
    TooLarge {
        /// Its tensor.
        tensor: String,
        /// The name of the format.
        format: &'static str,
    },
    /// The format can be read but not written.
    #[error("{0} files can be read but not written; choose another format")]
    ReadOnly(&'static str),
    /// The sink could not take the bytes.
    #[error("writing: {0}")]
    Sink(String),
    /// Memory that writing needs cannot be allocated.
    #[error("cannot allocate the memory that writing needs")]
    OutOfMemory,
    /// The source has no such tensor.
    #[error("the model has no {tensor}, which the format needs")]
    Missing {
        /// Its name.
        tensor: String,
    },
}
