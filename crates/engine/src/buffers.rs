//! The activations of one token on its way through the layers.

use crate::kv_cache::{TILE, zeros};
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_model_file::Config;
use bootllm_quant::InputBuffer;

/// One token's activations; llama2.c's `RunState`.
pub(crate) struct Buffers {
    /// The residual stream (dim).
    pub(crate) x: Vec<f32>,
    /// `x` after a norm (dim).
    pub(crate) normed: Vec<f32>,
    /// What a block adds to `x` (dim).
    pub(crate) branch: Vec<f32>,
    /// Queries (dim).
    pub(crate) query: Vec<f32>,
    /// Keys (kv_dim).
    pub(crate) key: Vec<f32>,
    /// Values (kv_dim).
    pub(crate) value: Vec<f32>,
    /// Attention scores (heads, positions in whole tiles).
    pub(crate) scores: Vec<f32>,
    /// What the heads found (dim).
    pub(crate) heads: Vec<f32>,
    /// The gate of the feed-forward block (hidden_dim).
    pub(crate) gate: Vec<f32>,
    /// Its other input (hidden_dim).
    pub(crate) up: Vec<f32>,
    /// One number a token of the vocabulary.
    pub(crate) logits: Vec<f32>,
    /// Room for a quantized vector.
    pub(crate) input: InputBuffer,
}

impl Buffers {
    pub(crate) fn new(config: &Config, context: usize) -> Result<Self, TryReserveError> {
        let &Config { dim, hidden_dim, heads, vocab_size, .. } = config;
        Ok(Buffers {
            x: zeros(dim)?,
            normed: zeros(dim)?,
            branch: zeros(dim)?,
            query: zeros(dim)?,
            key: zeros(config.kv_dim())?,
            value: zeros(config.kv_dim())?,
            scores: zeros(heads.saturating_mul(context.next_multiple_of(TILE)))?,
            heads: zeros(dim)?,
            gate: zeros(hidden_dim)?,
            up: zeros(hidden_dim)?,
            logits: zeros(vocab_size)?,
            input: InputBuffer::new(dim.max(hidden_dim))?,
        })
    }

    /// Bytes that [`Buffers::new`] allocates.
    pub(crate) fn bytes(config: &Config, context: usize) -> u64 {
        let &Config { dim, hidden_dim, heads, vocab_size, .. } = config;
        let scores = (heads as u64).saturating_mul(context as u64 + TILE as u64);
        let vectors = 5 * dim + 2 * config.kv_dim() + 2 * hidden_dim + vocab_size;
        scores
            .saturating_add(vectors as u64)
            .saturating_mul(size_of::<f32>() as u64)
            .saturating_add(InputBuffer::bytes(dim.max(hidden_dim)))
    }
}
