#![no_std]
#![forbid(unsafe_code)]
//! Model files: untrusted bytes in, checked descriptions out, and back again.
//!
//! [`read`] recognises a file by its content, checks every number in its header and returns a
//! [`ModelFile`]: the shape of the model and, for each tensor, its format and where in the file its
//! rows lie. It reads nothing else; a [`Chunk`] of memory then takes a tensor's rows piece by piece,
//! or [`for_each_row`] row by row. [`write`] and [`convert`] produce files.
//!
//! Formats so far: the three of llama2.c ([`Version`]), as its `export.py` writes them and its
//! `run.c` and `runq.c` read them; and GGUF ([`GgufError`] says what of it cannot be read yet), which
//! may also hold a [`Vocabulary`].

extern crate alloc;

mod config;
mod error;
mod format;
mod gguf;
mod llama2c;
mod rows;
mod tensor;
mod write;

pub use config::Config;
pub use error::{ConfigError, ReadError};
pub use format::FileFormat;
pub use gguf::{GgufError, Token, TokenKind, TokenRules, Tokens, Vocabulary, write_gguf};
pub use llama2c::{Version, largest_group};
pub use rows::{Chunk, Piece, RowError, for_each_row};
pub use tensor::{Part, Plane, Tensor};
pub use write::{Rows, Sink, Target, WriteError, convert, write};

use alloc::vec::Vec;
use bootllm_platform::ReadAt;
use bootllm_quant::{Encoding, Shape};

/// What a model file holds.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// The file's own format.
    pub format: FileFormat,
    /// The shape of the model.
    pub config: Config,
    /// Bytes in the file.
    pub size: u64,
    /// The vocabulary inside it, if there is one.
    pub vocabulary: Option<Vocabulary>,
    /// Ordered by layer and part.
    tensors: Vec<Tensor>,
}

impl ModelFile {
    /// Describes a model that need not lie in a file: `place` says for each tensor its format and
    /// where its planes begin. Numbers are not checked.
    pub fn describe(
        format: FileFormat,
        config: Config,
        mut place: impl FnMut(Part) -> (Encoding, [u64; 2]),
    ) -> Self {
        let mut tensors = Vec::new();
        for layer in 0..config.layers {
            for part in Part::ALL.into_iter().filter(|part| layer == 0 || part.in_layers()) {
                if part == Part::Output && config.shared_classifier {
                    continue;
                }
                let ((rows, columns), (encoding, offsets)) = (part.shape(&config), place(part));
                let shape = Shape { rows, columns, encoding };
                let bytes = shape.plane_bytes().unwrap_or_default();
                let plane =
                    |plane: usize| Plane { offset: offsets[plane], row_bytes: bytes[plane] };
                tensors.push(Tensor { part, layer, shape, planes: [plane(0), plane(1)] });
            }
        }
        tensors.sort_by_key(|tensor| (tensor.layer, tensor.part));
        let size = tensors.iter().map(Tensor::bytes).fold(0, u64::saturating_add);
        ModelFile { format, config, size, vocabulary: None, tensors }
    }

    /// All tensors.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// One tensor; those that belong to no layer are found with layer 0.
    pub fn tensor(&self, part: Part, layer: usize) -> Option<&Tensor> {
        self.index_of(part, layer).map(|index| &self.tensors[index])
    }

    /// Where among [`tensors`](ModelFile::tensors) it is.
    pub fn index_of(&self, part: Part, layer: usize) -> Option<usize> {
        self.tensors.binary_search_by_key(&(layer, part), |t| (t.layer, t.part)).ok()
    }

    /// Bytes of all tensors in the file.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(Tensor::bytes).sum()
    }

    /// How many numbers the model has learnt.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().map(|t| t.shape.rows as u64 * t.shape.columns as u64).sum()
    }
}

/// Reads the header of a model file and checks that it and the file's size make sense.
pub fn read(file: &mut dyn ReadAt) -> Result<ModelFile, ReadError> {
    let mut magic = [0; 4];
    if file.size() >= magic.len() as u64 {
        file.read_at(0, &mut magic)?;
    }
    if magic == gguf::MAGIC { gguf::read(file) } else { llama2c::read(file) }
}
