//! llama2.c's three formats.
//!
//! All numbers are little-endian. The sources of these facts are llama2.c's `export.py`, `run.c`
//! and `runq.c`.
//!
//! | | header | tensors |
//! |---|---|---|
//! | v0 | 7 × i32: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: the output projection is a tensor of its own), seq_len | f32, among them two RoPE tables that nothing reads |
//! | v1 | `24ka` (the number 0x616b3432), i32 version, the 7 × i32, u8 tied embeddings, zeros up to byte 256 | f32 |
//! | v2 | as v1, then i32 group size after the flag | norms f32; the others each as i8 values, then f32 scales |
//!
//! The order of the tensors is in [`Version::order`]; a tensor that every layer has is there for all
//! layers in a row. A file is described in GGUF's keys and tensor names, so that nothing above this
//! crate has to know which kind it was.

mod config;
mod error;
mod read;
mod write;

pub use config::{Config, TensorRole};
pub use error::ConfigError;
pub(crate) use read::read;
pub use write::write;

use crate::{FileFormat, Metadata, ModelFile, Plane, Tensor};
use bootllm_quant::{Encoding, LARGEST_GROUP, PlaneBytes, Shape};
use core::fmt;

/// The number that v1 and v2 begin with.
const MAGIC: u32 = 0x616b_3432;
/// Bytes of the header of v1 and v2.
const HEADER: u64 = 256;
/// Bytes of the header of v0.
const HEADER_V0: u64 = 28;

/// Which of llama2.c's formats a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The legacy format: f32, no magic number.
    V0,
    /// f32 after a proper header.
    V1,
    /// int8 in groups after a proper header.
    V2 {
        /// Values per group.
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
    fn check(self, config: &Config) -> Result<(), ConfigError> {
        let other = |what: &str| Err(ConfigError::NotInLlama2c { what: what.into() });
        if config.norm_epsilon != Config::NORM_EPSILON {
            return other("the norms' epsilon");
        }
        if config.rope_base != Config::ROPE_BASE {
            return other("the base of the rotary frequencies");
        }
        self.check_group(config)
    }

    /// Checks that groups can be computed with and do not cross the ends of rows.
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

    /// The tensors in the file's order.
    pub fn order(self) -> [TensorRole; 12] {
        use TensorRole::*;
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
    fn header_bytes(self) -> u64 {
        match self {
            Version::V0 => HEADER_V0,
            Version::V1 | Version::V2 { .. } => HEADER,
        }
    }

    /// The shape and format of a tensor.
    fn shape(self, config: &Config, role: TensorRole) -> Shape {
        let (rows, columns) = role.shape(config);
        let encoding = match self {
            Version::V2 { group } if !role.is_norm() => Encoding::Int8 { group },
            _ => Encoding::F32,
        };
        Shape { rows, columns, encoding }
    }

    /// The tensors that a model has, in the order of the file.
    fn roles(self, config: &Config) -> impl Iterator<Item = TensorRole> + use<> {
        let tied = config.tied_embeddings;
        self.order().into_iter().filter(move |role| !(tied && *role == TensorRole::Output))
    }

    /// Bytes that follow a tensor and belong to none: v0's RoPE tables.
    fn gap_after(self, config: &Config, role: TensorRole) -> u64 {
        match (self, role) {
            (Version::V0, TensorRole::OutputNorm) => {
                // Two tables of (seq_len, head_size / 2) f32. Both numbers are below 2^31, so the
                // product is below 2^64.
                config.context as u64 * (config.head_size() / 2) as u64 * 2 * 4
            }
            _ => 0,
        }
    }
}

/// The largest group of up to 64 values that divides every row of this model; 64 is the size that
/// llama2.c's `export.py` starts from.
pub fn largest_group(config: &Config) -> usize {
    (1..=64).rev().find(|&group| Version::V2 { group }.check_group(config).is_ok()).unwrap_or(1)
}

/// How many layers have a tensor.
fn layers_of(role: TensorRole, config: &Config) -> usize {
    if role.in_layers() { config.layers } else { 1 }
}

/// Bytes of a row in each plane. A row has less than 2^31 values, so the numbers fit.
fn row_bytes(shape: &Shape) -> PlaneBytes {
    shape.plane_bytes().unwrap_or([u64::MAX, 0])
}

/// A tensor whose planes begin at these offsets.
fn tensor(role: TensorRole, layer: usize, shape: Shape, offsets: [u64; 2]) -> Tensor {
    let bytes = row_bytes(&shape);
    let plane = |plane: usize| Plane { offset: offsets[plane], row_bytes: bytes[plane] };
    Tensor {
        name: role.name(layer),
        dimensions: [shape.columns, shape.rows, 1, 1],
        encoding: Ok(shape.encoding),
        planes: [plane(0), plane(1)],
    }
}

impl ModelFile {
    /// Describes a Llama 2 model that need not be in a file: `place` returns each tensor's format and
    /// the offsets of its planes. Numbers are not checked.
    pub fn describe(
        config: &Config,
        mut place: impl FnMut(TensorRole) -> (Encoding, [u64; 2]),
    ) -> Self {
        let tensors = TensorRole::of(config).map(|(role, layer)| {
            let ((rows, columns), (encoding, offsets)) = (role.shape(config), place(role));
            tensor(role, layer, Shape { rows, columns, encoding }, offsets)
        });
        let tensors: alloc::vec::Vec<Tensor> = tensors.collect();
        let size = tensors.iter().map(Tensor::bytes).fold(0, u64::saturating_add);
        let metadata: Metadata = config.metadata();
        match ModelFile::new(FileFormat::Gguf, metadata, tensors, None, size) {
            Ok(file) => file,
            Err(name) => unreachable!("{name} is there once"),
        }
    }
}
