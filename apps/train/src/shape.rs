//! The shapes that models can have.

use bootllm_model_file::Config;
use serde::{Deserialize, Serialize};

/// The numbers of a model's architecture, as they are kept with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// See [`Config`], as for the others.
    pub dim: usize,
    /// Values inside a feed-forward block.
    pub hidden_dim: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Tokens that the model knows.
    pub vocab_size: usize,
    /// Positions.
    pub context: usize,
    /// Whether the classifier is the token embedding.
    #[serde(rename = "shared_classifier")]
    pub tied_embeddings: bool,
}

impl Shape {
    /// The same numbers as a model file's.
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

/// A shape with a name. The vocabulary comes from the tokenizer.
pub struct Preset {
    /// What it is called.
    pub name: &'static str,
    /// Its numbers.
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

/// A minute on a laptop, the shape of the built-in model, and llama2.c's shapes (its README and the
/// models it published). The numbers: dim, layers, heads, kv_heads, hidden_dim, vocabulary, context.
pub const PRESETS: &[Preset] = &[
    preset("nano", [64, 3, 4, 2, 176, 512, 256]),
    preset("story", [256, 6, 8, 4, 688, 2048, 384]),
    preset("260K", [64, 5, 8, 4, 172, 512, 512]),
    preset("15M", [288, 6, 6, 6, 768, 32_000, 256]),
    preset("42M", [512, 8, 8, 8, 1376, 32_000, 1024]),
    preset("110M", [768, 12, 12, 12, 2048, 32_000, 1024]),
];
