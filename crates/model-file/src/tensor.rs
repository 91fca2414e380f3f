//! Tensors: what a model consists of.

use crate::Config;
use bootllm_quant::{PlaneBytes, Shape};
use core::fmt;

/// What a tensor is for. The order is that of the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// One row a token.
    TokenEmbedding,
    /// Weights of the norm before attention.
    AttentionNorm,
    /// Queries.
    Query,
    /// Keys.
    Key,
    /// Values.
    Value,
    /// From the heads back to the dimension.
    AttentionOutput,
    /// Weights of the norm before the feed-forward block.
    FeedForwardNorm,
    /// The gate of the feed-forward block; llama2.c's `w1`.
    Gate,
    /// The block's other input; llama2.c's `w3`.
    Up,
    /// Out of the block; llama2.c's `w2`.
    Down,
    /// Weights of the norm before the classifier.
    OutputNorm,
    /// The classifier; missing if it is the token embedding.
    Output,
}

impl Part {
    /// All parts, in their order.
    pub const ALL: [Part; 12] = [
        Part::TokenEmbedding,
        Part::AttentionNorm,
        Part::Query,
        Part::Key,
        Part::Value,
        Part::AttentionOutput,
        Part::FeedForwardNorm,
        Part::Gate,
        Part::Up,
        Part::Down,
        Part::OutputNorm,
        Part::Output,
    ];

    /// Whether every layer has one.
    pub fn in_layers(self) -> bool {
        !matches!(self, Part::TokenEmbedding | Part::OutputNorm | Part::Output)
    }

    /// Whether it is one row of weights for a norm.
    pub fn is_norm(self) -> bool {
        matches!(self, Part::AttentionNorm | Part::FeedForwardNorm | Part::OutputNorm)
    }

    /// Rows and columns of the tensor in one layer.
    pub fn shape(self, config: &Config) -> (usize, usize) {
        let &Config { dim, hidden_dim, vocab_size, .. } = config;
        match self {
            Part::TokenEmbedding | Part::Output => (vocab_size, dim),
            Part::AttentionNorm | Part::FeedForwardNorm | Part::OutputNorm => (1, dim),
            Part::Query | Part::AttentionOutput => (dim, dim),
            Part::Key | Part::Value => (config.kv_dim(), dim),
            Part::Gate | Part::Up => (hidden_dim, dim),
            Part::Down => (dim, hidden_dim),
        }
    }

    /// Its name in GGUF, without the layer.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::TokenEmbedding => "token_embd",
            Part::AttentionNorm => "attn_norm",
            Part::Query => "attn_q",
            Part::Key => "attn_k",
            Part::Value => "attn_v",
            Part::AttentionOutput => "attn_output",
            Part::FeedForwardNorm => "ffn_norm",
            Part::Gate => "ffn_gate",
            Part::Up => "ffn_up",
            Part::Down => "ffn_down",
            Part::OutputNorm => "output_norm",
            Part::Output => "output",
        }
    }

    /// Its name in GGUF: `blk.3.attn_q.weight`.
    pub(crate) fn name_in(self, layer: usize) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            if self.in_layers() {
                write!(f, "blk.{layer}.")?;
            }
            write!(f, "{}.weight", self.name())
        })
    }
}

/// A tensor: what it is, its shape and format, and where its rows lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// What it is for.
    pub part: Part,
    /// Its layer; 0 if it belongs to none.
    pub layer: usize,
    /// Rows, columns and format. A norm is one row.
    pub shape: Shape,
    /// Where its rows lie. A second plane with 0 bytes a row is none.
    pub planes: [Plane; 2],
}

/// A run of rows, or of parts of rows, in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Where the first row begins.
    pub offset: u64,
    /// Bytes from one row to the next.
    pub row_bytes: u64,
}

impl Tensor {
    /// Bytes of one row in each plane.
    pub fn row_bytes(&self) -> PlaneBytes {
        self.planes.map(|plane| plane.row_bytes)
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        self.row_bytes().iter().sum::<u64>() * self.shape.rows as u64
    }
}

/// The name that GGUF gives the tensor: `blk.3.attn_q.weight`.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part.name_in(self.layer).fmt(f)
    }
}
