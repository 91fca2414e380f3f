//! What a planner hands out, and what it collects.

use super::RopeConfig;
use crate::state::KvLayer;
use alloc::vec::Vec;

/// A weight matrix of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatrixId(pub(crate) usize);

/// A vector of weights: a norm's, or biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VectorId(pub(crate) usize);

/// Activations: one vector per row of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer(pub(crate) usize);

/// A table of RoPE's rotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RopeId(pub(crate) usize);

/// A layer of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvId(pub(crate) usize);

/// What a model is, for people and for the parts around the engine. All numbers are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// The name of the architecture: `llama`.
    pub architecture: &'static str,
    /// Width of the residual stream: values per token between layers.
    pub width: usize,
    /// Width of the feed-forward block.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Values per head.
    pub head_size: usize,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Whether the output projection is the token embedding.
    pub tied_embeddings: bool,
}

/// How the weights of a tensor are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Packed, in its own format.
    Matrix(MatrixId),
    /// As `f32`, whatever the file has.
    Vector(VectorId),
}

/// A tensor that is loaded: its index in the file, and how it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedTensor {
    pub(crate) index: usize,
    pub(crate) weight: Weight,
    /// Whether a decoded token reads all of it; of an embedding it reads a row.
    pub(crate) read_per_token: bool,
}

/// What a planner collected.
pub(crate) struct Planned {
    pub(crate) tensors: Vec<PlannedTensor>,
    pub(crate) buffers: Vec<usize>,
    pub(crate) ropes: Vec<RopeConfig>,
    pub(crate) kv_layers: Vec<KvLayer>,
    /// The most query heads of any layer.
    pub(crate) heads: usize,
}
