#![no_std]
#![forbid(unsafe_code)]
//! Model files: untrusted bytes in, checked descriptions out, and back again.
//!
//! A model file is a container: [`Metadata`] by key, and [`Tensor`]s by name with their format,
//! dimensions and place. [`read`] recognises a file by its content, checks every number against the
//! file's size, and returns a [`ModelFile`]; it reads no weights. Both kinds of files are described
//! in GGUF's keys and tensor names, so nothing above this crate knows which kind a file was.
//!
//! A [`RowBuffer`] then takes a tensor's rows range by range, or [`for_each_row`] row by row.
//! [`write()`], [`write_gguf`] and [`convert`] produce files.
//!
//! Formats so far: GGUF ([`GgufError`] says what of it cannot be read), and the three of llama2.c
//! ([`Version`]), as its `export.py` writes them and its `run.c` and `runq.c` read them.
//!
//! ```
//! # fn main() -> Result<(), bootllm_model_file::ReadError> {
//! use bootllm_model_file::{ModelFile, ReadError, read};
//!
//! // Anything that implements `ReadAt` is a file; bytes in memory do.
//! let mut bytes: &[u8] = b"once upon a time there was a file that is not a model";
//! assert_eq!(read(&mut bytes).unwrap_err(), ReadError::NotAModel);
//! # Ok(())
//! # }
//! ```

extern crate alloc;

mod convert;
mod description;
mod error;
mod gguf;
mod llama2c;
mod metadata;
mod rows;
mod tensor;
mod write;

pub use convert::convert;
pub use error::ReadError;
pub use gguf::{
    GgufError, OffsetProblem, Token, TokenKind, TokenRules, Tokens, Vocabulary, write_gguf,
};
pub use llama2c::{Config, ConfigError, TensorRole, Version, largest_group, write};
pub use metadata::{Array, Metadata, Value, WrongType};
pub use rows::{RowBuffer, RowError, RowRange, for_each_f32_row, for_each_row};
pub use tensor::{DIMENSIONS, Plane, Tensor, UnknownEncoding};
pub use write::{OutputFormat, Rows, Sink, WriteError};

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::ReadAt;
use bootllm_quant::Encoding;

/// The container format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// One of llama2.c's.
    Llama2c(Version),
    /// GGUF.
    Gguf,
}

/// The description of a model file. It is shared (`Arc`), never copied.
#[derive(Debug, PartialEq)]
pub struct ModelFile {
    /// The container.
    pub format: FileFormat,
    /// Bytes in the file.
    pub size: u64,
    /// What the file says about the model.
    pub metadata: Metadata,
    /// The vocabulary inside it, if there is one.
    pub vocabulary: Option<Vocabulary>,
    /// In the order of the file's description.
    tensors: Vec<Tensor>,
    /// Indices of the tensors, sorted by name.
    by_name: Vec<u32>,
}

impl ModelFile {
    /// The error is the name of a tensor that appears twice.
    fn new(
        format: FileFormat,
        metadata: Metadata,
        tensors: Vec<Tensor>,
        vocabulary: Option<Vocabulary>,
        size: u64,
    ) -> Result<Self, String> {
        let mut by_name: Vec<u32> = (0..tensors.len() as u32).collect();
        let name = |index: &u32| tensors[*index as usize].name.as_str();
        by_name.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        if let Some(pair) = by_name.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
            return Err(name(&pair[0]).into());
        }
        Ok(ModelFile { format, size, metadata, vocabulary, tensors, by_name })
    }

    /// All tensors, in the order of the file's description.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.index_of(name).map(|index| &self.tensors[index])
    }

    /// The index of a name among [`tensors`](ModelFile::tensors).
    pub fn index_of(&self, name: &str) -> Option<usize> {
        let name_at = |index: &u32| self.tensors[*index as usize].name.as_str();
        let place = self.by_name.binary_search_by(|index| name_at(index).cmp(name)).ok()?;
        Some(self.by_name[place] as usize)
    }

    /// The architecture that the file names (`general.architecture`).
    pub fn architecture(&self) -> Option<&str> {
        self.metadata.get("general.architecture").and_then(Value::as_text)
    }

    /// Positions that the model was trained for, as the metadata of its architecture says.
    pub fn context(&self) -> Option<usize> {
        let key = format!("{}.context_length", self.architecture()?);
        self.metadata.get(&key).and_then(Value::as_integer)?.try_into().ok()
    }

    /// The model's name (`general.name`), if the file gives one.
    pub fn name(&self) -> Option<&str> {
        self.metadata.get("general.name").and_then(Value::as_text).filter(|name| !name.is_empty())
    }

    /// Tokens that the model has embeddings for: the rows of the tensor that every architecture has.
    pub fn vocab_size(&self) -> Option<usize> {
        self.tensor(&TensorRole::TokenEmbedding.name(0)).map(Tensor::rows)
    }

    /// The container, and in GGUF the format of most weights: `GGUF (q8_0)`.
    pub fn format_name(&self) -> String {
        match self.format {
            FileFormat::Llama2c(version) => version.name().into(),
            FileFormat::Gguf => format!("GGUF ({})", self.main_format()),
        }
    }

    /// The name of the format that most bytes of the matrices have.
    pub fn main_format(&self) -> &'static str {
        let matrices = || self.tensors.iter().filter(|tensor| !tensor.is_vector());
        let bytes = |name: &str| -> u128 {
            let own = matrices().filter(|tensor| tensor.format_name() == name);
            own.map(|tensor| u128::from(tensor.bytes())).sum()
        };
        let mut names: Vec<&str> = matrices().map(Tensor::format_name).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().max_by_key(|name| bytes(name)).unwrap_or(Encoding::F32.name())
    }

    /// Bytes of all tensors in the file.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(Tensor::bytes).fold(0, u64::saturating_add)
    }

    /// How many parameters the model has.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().map(Tensor::elements).fold(0, u64::saturating_add)
    }
}

/// Reads the description of a model file and checks that it and the file's size make sense.
///
/// # Errors
/// What is wrong with the file.
pub fn read(file: &mut dyn ReadAt) -> Result<ModelFile, ReadError> {
    let mut magic = [0; 4];
    if file.size() >= magic.len() as u64 {
        file.read_at(0, &mut magic)?;
    }
    if magic == gguf::MAGIC { gguf::read(file) } else { llama2c::read(file) }
}
