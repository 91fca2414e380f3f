//! The shape of a Llama 2 model as llama2.c's files give it, in GGUF's keys and tensor names.

use super::ConfigError;
use crate::{Metadata, ModelFile, Value};
use alloc::format;
use alloc::string::String;

/// The numbers in the header of llama2.c's files (its `Config`), and two that it fixes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Width of the residual stream: values per token between layers.
    pub dim: usize,
    /// Width of the feed-forward block.
    pub hidden_dim: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads; they divide `dim` into heads of an even size.
    pub heads: usize,
    /// Key and value heads, each shared by `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Whether the output projection is the token embedding (tied embeddings).
    pub tied_embeddings: bool,
    /// Added to the mean square in every norm.
    pub norm_epsilon: f32,
    /// Base of the frequencies of the rotary position embedding.
    pub rope_base: f32,
}

/// The numbers' names in llama2.c.
const FIELDS: [&str; 7] =
    ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];

/// The architecture that all of llama2.c's models have, in GGUF's name.
const ARCHITECTURE: &str = "llama";

/// GGUF's keys of the numbers (llama.cpp's `llama-arch.cpp`), in the order of [`FIELDS`].
const KEYS: [&str; 7] = [
    "llama.embedding_length",
    "llama.feed_forward_length",
    "llama.block_count",
    HEADS,
    KV_HEADS,
    VOCAB_SIZE,
    "llama.context_length",
];
const HEADS: &str = "llama.attention.head_count";
const KV_HEADS: &str = "llama.attention.head_count_kv";
const VOCAB_SIZE: &str = "llama.vocab_size";
const NORM_EPSILON: &str = "llama.attention.layer_norm_rms_epsilon";
const ROPE_BASE: &str = "llama.rope.freq_base";
const ROPE_DIMENSIONS: &str = "llama.rope.dimension_count";
impl Config {
    /// llama2.c's epsilon, the same for all its models.
    pub const NORM_EPSILON: f32 = 1e-5;
    /// llama2.c's base of the rotary frequencies, the same for all its models.
    pub const ROPE_BASE: f32 = 10_000.0;

    /// Values per head.
    pub fn head_size(&self) -> usize {
        self.dim / self.heads
    }

    /// Values in all key heads, or all value heads, of one position and layer.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_size()
    }

    /// Checks a configuration that was made, not read.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let &Config { norm_epsilon, rope_base, .. } = self;
        let numbers = self.numbers().map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        Config::check(numbers, self.tied_embeddings)?;
        if !(0.0..1.0).contains(&norm_epsilon) {
            return Err(ConfigError::NormEpsilon { found: norm_epsilon });
        }
        if !(1.0..f32::INFINITY).contains(&rope_base) {
            return Err(ConfigError::RopeBase { found: rope_base });
        }
        Ok(())
    }

    pub(super) fn numbers(&self) -> [usize; 7] {
        let &Config { dim, hidden_dim, layers, heads, kv_heads, vocab_size, context, .. } = self;
        [dim, hidden_dim, layers, heads, kv_heads, vocab_size, context]
    }

    /// Checks the seven numbers as they come from a file.
    pub(super) fn check(numbers: [i64; 7], tied_embeddings: bool) -> Result<Self, ConfigError> {
        let mut checked = [0; 7];
        for ((checked, number), field) in checked.iter_mut().zip(numbers).zip(FIELDS) {
            *checked = match usize::try_from(number) {
                Ok(_) if number > i64::from(i32::MAX) => {
                    return Err(ConfigError::TooLarge { field, found: number });
                }
                Ok(number) if number > 0 => number,
                _ => return Err(ConfigError::NotPositive { field, found: number }),
            };
        }
        let [dim, hidden_dim, layers, heads, kv_heads, vocab_size, context] = checked;
        if dim % heads != 0 {
            return Err(ConfigError::HeadsDoNotDivide { dim, heads });
        }
        if dim / heads % 2 != 0 {
            return Err(ConfigError::OddHead { head_size: dim / heads });
        }
        if heads % kv_heads != 0 {
            return Err(ConfigError::KvHeadsDoNotDivide { heads, kv_heads });
        }
        Ok(Config {
            dim,
            hidden_dim,
            layers,
            heads,
            kv_heads,
            vocab_size,
            context,
            tied_embeddings,
            norm_epsilon: Config::NORM_EPSILON,
            rope_base: Config::ROPE_BASE,
        })
    }

    /// The metadata of a model of this shape.
    pub fn metadata(&self) -> Metadata {
        let integer = |(key, number): (&'static str, usize)| (key, Value::Integer(number as i128));
        let numbers = KEYS.into_iter().zip(self.numbers()).map(integer);
        let others = [
            ("general.architecture", Value::Text(ARCHITECTURE.into())),
            (ROPE_DIMENSIONS, Value::Integer(self.head_size() as i128)),
            (NORM_EPSILON, Value::Float(self.norm_epsilon.into())),
            (ROPE_BASE, Value::Float(self.rope_base.into())),
        ];
        numbers.chain(others).collect()
    }

    /// The shape of a model, if llama2.c's formats can hold one like it.
    ///
    /// # Errors
    /// What llama2.c's formats cannot say of the model: another architecture, other tensors, or a
    /// key that changes the computation.
    pub fn of(file: &ModelFile) -> Result<Self, ConfigError> {
        let metadata = &file.metadata;
        let other = |what: &str| ConfigError::NotInLlama2c { what: what.into() };
        if file.architecture() != Some(ARCHITECTURE) {
            return Err(other("general.architecture"));
        }
        let integer = |key: &str| metadata.get(key).and_then(Value::as_integer);
        let tied_embeddings = file.tensor(&TensorRole::Output.name(0)).is_none();
        let embedding = file.tensor(&TensorRole::TokenEmbedding.name(0));
        let embedding = embedding.ok_or_else(|| other("token_embd.weight"))?;
        let mut numbers = [0; 7];
        for (number, key) in numbers.iter_mut().zip(KEYS) {
            let found = match key {
                VOCAB_SIZE => Some(embedding.rows() as i128),
                KV_HEADS => integer(KV_HEADS).or(integer(HEADS)),
                key => integer(key),
            };
            *number = i64::try_from(found.ok_or_else(|| other(key))?).unwrap_or(i64::MAX);
        }
        let float = |key: &str, default| match metadata.get(key) {
            None => Ok(default),
            Some(value) => value.as_float().ok_or_else(|| other(key)),
        };
        let config = Config {
            norm_epsilon: float(NORM_EPSILON, Config::NORM_EPSILON)?,
            rope_base: float(ROPE_BASE, Config::ROPE_BASE)?,
            ..Config::check(numbers, tied_embeddings)?
        };
        let own = config.metadata();
        let says_more = |&(key, value): &(&str, &Value)| {
            let head_size = Value::Integer(config.head_size() as i128);
            key.starts_with("llama.")
                && own.get(key).is_none()
                && !says_nothing(value)
                && !(key.ends_with("_length") && *value == head_size)
        };
        if let Some((key, _)) = metadata.iter().find(says_more) {
            return Err(other(key));
        }
        let expected = || TensorRole::of(&config);
        for (role, layer) in expected() {
            let name = role.name(layer);
            let (rows, columns) = role.shape(&config);
            let tensor = file.tensor(&name).map(|tensor| (tensor.rows(), tensor.columns()));
            if tensor != Some((rows, columns)) {
                return Err(other(&name));
            }
        }
        if file.tensors().len() != expected().count() {
            let known = |name: &str| expected().any(|(role, layer)| role.name(layer) == name);
            let unknown = file.tensors().iter().find(|tensor| !known(&tensor.name));
            return Err(other(unknown.map_or("", |tensor| &tensor.name)));
        }
        Ok(config)
    }
}

/// Whether a value is the one that means that there is no such thing.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Integer(number) => *number == 0,
        Value::Float(number) => *number == 0.0 || *number == 1.0,
        Value::Text(text) => text == "none" || text == "linear",
        Value::Bool(value) => !value,
        Value::Array(_) => false,
    }
}

/// What a tensor of a Llama 2 model is for. The order is that of the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorRole {
    /// One row per token.
    TokenEmbedding,
    /// Weights of the norm before attention.
    AttentionNorm,
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Output projection of attention.
    AttentionOutput,
    /// Weights of the norm before the feed-forward block.
    FeedForwardNorm,
    /// Gate projection of the feed-forward block; llama2.c's `w1`.
    Gate,
    /// Up projection; llama2.c's `w3`.
    Up,
    /// Down projection; llama2.c's `w2`.
    Down,
    /// Weights of the norm before the output projection.
    OutputNorm,
    /// The output projection; missing with tied embeddings.
    Output,
}

impl TensorRole {
    /// All roles, in their order.
    pub const ALL: [TensorRole; 12] = [
        TensorRole::TokenEmbedding,
        TensorRole::AttentionNorm,
        TensorRole::Query,
        TensorRole::Key,
        TensorRole::Value,
        TensorRole::AttentionOutput,
        TensorRole::FeedForwardNorm,
        TensorRole::Gate,
        TensorRole::Up,
        TensorRole::Down,
        TensorRole::OutputNorm,
        TensorRole::Output,
    ];

    /// Every tensor of a model with its layer, in the order of the computation.
    pub fn of(config: &Config) -> impl Iterator<Item = (TensorRole, usize)> + use<> {
        let (layers, tied) = (config.layers, config.tied_embeddings);
        let in_layer = |layer| {
            Self::ALL.into_iter().filter(|role| role.in_layers()).map(move |role| (role, layer))
        };
        let last = [(TensorRole::OutputNorm, 0), (TensorRole::Output, 0)].into_iter();
        [(TensorRole::TokenEmbedding, 0)]
            .into_iter()
            .chain((0..layers).flat_map(in_layer))
            .chain(last.take(if tied { 1 } else { 2 }))
    }

    /// Whether every layer has one.
    pub fn in_layers(self) -> bool {
        !matches!(self, Self::TokenEmbedding | Self::OutputNorm | Self::Output)
    }

    /// Whether it is the weights of a norm, one per column.
    pub fn is_norm(self) -> bool {
        matches!(self, Self::AttentionNorm | Self::FeedForwardNorm | Self::OutputNorm)
    }

    /// Rows and columns of the tensor in one layer.
    pub fn shape(self, config: &Config) -> (usize, usize) {
        let &Config { dim, hidden_dim, vocab_size, .. } = config;
        match self {
            Self::TokenEmbedding | Self::Output => (vocab_size, dim),
            Self::AttentionNorm | Self::FeedForwardNorm | Self::OutputNorm => (1, dim),
            Self::Query | Self::AttentionOutput => (dim, dim),
            Self::Key | Self::Value => (config.kv_dim(), dim),
            Self::Gate | Self::Up => (hidden_dim, dim),
            Self::Down => (dim, hidden_dim),
        }
    }

    /// Its name in GGUF (llama.cpp's `llama-arch.cpp`): `blk.3.attn_q.weight`.
    pub fn name(self, layer: usize) -> String {
        let name = match self {
            Self::TokenEmbedding => "token_embd",
            Self::AttentionNorm => "attn_norm",
            Self::Query => "attn_q",
            Self::Key => "attn_k",
            Self::Value => "attn_v",
            Self::AttentionOutput => "attn_output",
            Self::FeedForwardNorm => "ffn_norm",
            Self::Gate => "ffn_gate",
            Self::Up => "ffn_up",
            Self::Down => "ffn_down",
            Self::OutputNorm => "output_norm",
            Self::Output => "output",
        };
        match self.in_layers() {
            true => format!("blk.{layer}.{name}.weight"),
            false => format!("{name}.weight"),
        }
    }
}
