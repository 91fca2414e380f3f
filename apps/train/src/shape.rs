//! Model shapes and presets.

use bootllm_model_file::Config;
use serde::{Deserialize, Serialize};

/// The hyperparameters of a model, as a run stores them. See [`Config`] for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Embedding dimension.
    pub dim: usize,
    /// Feed-forward dimension.
    pub hidden_dim: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Vocabulary size.
    pub vocab_size: usize,
    /// Context length in tokens.
    pub context: usize,
    /// Whether the output projection is the token embedding. Checkpoints of the first version call
    /// it `shared_classifier`.
    #[serde(rename = "shared_classifier")]
    pub tied_embeddings: bool,
}

impl Shape {
    /// The hyperparameters of a model file.
    pub fn config(&self) -> Config {
        let &Shape { dim, hidden_dim, layers, heads, kv_heads, vocab_size, context, .. } = self;
        Config {
            dim,
            hidden_dim,
            layers,
            heads,
            kv_heads,
            vocab_size,
            context,
            tied_embeddings: self.tied_embeddings,
            norm_epsilon: Config::NORM_EPSILON,
            rope_base: Config::ROPE_BASE,
        }
    }
}

impl From<&Config> for Shape {
    fn from(config: &Config) -> Self {
        let &Config { dim, hidden_dim, layers, heads, kv_heads, vocab_size, context, .. } = config;
        let tied_embeddings = config.tied_embeddings;
        Shape { dim, hidden_dim, layers, heads, kv_heads, vocab_size, context, tied_embeddings }
    }
}

/// A named shape. Its vocabulary size is replaced by the tokenizer's.
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Its shape.
    pub shape: Shape,
}

const fn preset(
    name: &'static str,
    [dim, layers, heads, kv_heads, hidden_dim, vocab_size, context]: [usize; 7],
) -> Preset {
    let tied_embeddings = true;
    let shape =
        Shape { dim, hidden_dim, layers, heads, kv_heads, vocab_size, context, tied_embeddings };
    Preset { name, shape }
}

/// `nano`, which trains in minutes, the shape of the built-in model, and llama2.c's (its README and
/// published models). Columns: dim, layers, heads, kv_heads, hidden_dim, vocab_size, context.
pub const PRESETS: &[Preset] = &[
    preset("nano", [64, 3, 4, 2, 176, 512, 256]),
    preset("story", [256, 6, 8, 4, 688, 2048, 384]),
    preset("260K", [64, 5, 8, 4, 172, 512, 512]),
    preset("15M", [288, 6, 6, 6, 768, 32_000, 256]),
    preset("42M", [512, 8, 8, 8, 1376, 32_000, 1024]),
    preset("110M", [768, 12, 12, 12, 2048, 32_000, 1024]),
];
