//! The activations of some tokens on their way through the layers.

use crate::attention::Head;
use crate::kv_cache::zeros;
use crate::pass::Rows;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_model_file::Config;
use bootllm_quant::InputBuffer;

/// Tokens that go through the layers at once. Weights are read from memory once for all of them:
/// with this many, reading takes less time than computing. A multiple of every product's tile.
pub const BATCH: usize = 96;

/// The activations of up to [`BATCH`] tokens; llama2.c's `RunState`. All but the last three have a
/// row a token.
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
    /// What the heads found (dim).
    pub(crate) heads: Vec<f32>,
    /// The gate of the feed-forward block (hidden_dim).
    pub(crate) gate: Vec<f32>,
    /// Its other input (hidden_dim).
    pub(crate) up: Vec<f32>,
    /// Room for attention scores: (head, [`Head::scores`]).
    pub(crate) scores: Vec<f32>,
    /// One number a token of the vocabulary.
    pub(crate) logits: Vec<f32>,
    /// Room for prepared vectors.
    pub(crate) input: InputBuffer,
}

impl Buffers {
    /// `input_words` is what the products need for [`tokens`] vectors.
    pub(crate) fn new(
        config: &Config,
        context: usize,
        input_words: usize,
    ) -> Result<Self, TryReserveError> {
        let &Config { dim, hidden_dim, heads, vocab_size, .. } = config;
        let rows = |width: usize| zeros(tokens(context).saturating_mul(width));
        Ok(Buffers {
            x: rows(dim)?,
            normed: rows(dim)?,
            branch: rows(dim)?,
            query: rows(dim)?,
            key: rows(config.kv_dim())?,
            value: rows(config.kv_dim())?,
            heads: rows(dim)?,
            gate: rows(hidden_dim)?,
            up: rows(hidden_dim)?,
            scores: zeros(heads.saturating_mul(Head::scores(context)))?,
            logits: zeros(vocab_size)?,
            input: InputBuffer::new(input_words)?,
        })
    }

    /// Bytes that [`Buffers::new`] allocates.
    pub(crate) fn bytes(config: &Config, context: usize, input_words: usize) -> u64 {
        let &Config { dim, hidden_dim, heads, vocab_size, .. } = config;
        let row = 5 * dim + 2 * config.kv_dim() + 2 * hidden_dim;
        let rows = (row as u64).saturating_mul(tokens(context) as u64);
        let scores = (heads as u64).saturating_mul(Head::scores(context) as u64);
        [scores, vocab_size as u64, input_words as u64]
            .into_iter()
            .fold(rows, u64::saturating_add)
            .saturating_mul(size_of::<f32>() as u64)
    }
}

impl Buffers {
    /// The rows of `tokens` tokens, and room for logits.
    pub(crate) fn rows(&mut self, config: &Config, tokens: usize) -> (Rows<'_>, &mut [f32]) {
        let (dim, kv_dim, hidden_dim) =
            (tokens * config.dim, tokens * config.kv_dim(), tokens * config.hidden_dim);
        let rows = Rows {
            x: &mut self.x[..dim],
            normed: &mut self.normed[..dim],
            branch: &mut self.branch[..dim],
            query: &mut self.query[..dim],
            key: &mut self.key[..kv_dim],
            value: &mut self.value[..kv_dim],
            heads: &mut self.heads[..dim],
            gate: &mut self.gate[..hidden_dim],
            up: &mut self.up[..hidden_dim],
            scores: &mut self.scores,
            input: &mut self.input,
        };
        (rows, &mut self.logits)
    }
}

/// How many tokens at most go through the layers at once in a context of `context`.
pub(crate) fn tokens(context: usize) -> usize {
    context.min(BATCH)
}
