//! The formats that files have.

use crate::Version;
use alloc::format;
use alloc::string::String;
use bootllm_quant::Encoding;
use core::fmt;

/// In which format a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// One of llama2.c's.
    Llama2c(Version),
    /// GGUF, whose tensors may differ in their formats.
    Gguf {
        /// The format of most of its weights.
        weights: Encoding,
    },
}

impl FileFormat {
    /// Its name, without what differs between files of the format.
    pub fn name(self) -> String {
        match self {
            FileFormat::Llama2c(version) => version.name().into(),
            FileFormat::Gguf { weights } => format!("GGUF ({})", weights.name()),
        }
    }
}

impl From<Version> for FileFormat {
    fn from(version: Version) -> Self {
        FileFormat::Llama2c(version)
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileFormat::Llama2c(version) => version.fmt(f),
            FileFormat::Gguf { .. } => f.write_str(&self.name()),
        }
    }
}
