//! The shape of a model.

use crate::ConfigError;

/// The numbers that make a model's architecture, all checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Values that stand for one token between layers.
    pub dim: usize,
    /// Values inside a feed-forward block.
    pub hidden_dim: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads; they divide `dim` into heads of an even size.
    pub heads: usize,
    /// Key and value heads, each shared by `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Tokens that the model knows.
    pub vocab_size: usize,
    /// Positions that the model was made for.
    pub context: usize,
    /// Whether the classifier is the token embedding, used a second time.
    pub shared_classifier: bool,
    /// What is added to the mean square in every norm.
    pub norm_epsilon: f32,
    /// The base of the frequencies of the rotary position embedding.
    pub rope_base: f32,
}

/// The names of the numbers in llama2.c.
pub(crate) const LLAMA2C_FIELDS: [&str; 7] =
    ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];

impl Config {
    /// llama2.c's `norm_epsilon`, the same for all its models.
    pub const NORM_EPSILON: f32 = 1e-5;
    /// llama2.c's `rope_base`, the same for all its models.
    pub const ROPE_BASE: f32 = 10_000.0;

    /// Values in a head.
    pub fn head_size(&self) -> usize {
        self.dim / self.heads
    }

    /// Values in all key heads, or all value heads, of one position and layer.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_size()
    }

    /// Checks a configuration that was made and not read.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let &Config { dim, hidden_dim, layers, heads, kv_heads, vocab_size, context, .. } = self;
        let numbers = [dim, hidden_dim, layers, heads, kv_heads, vocab_size, context];
        let numbers = numbers.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        Config::check(numbers, &LLAMA2C_FIELDS, self.shared_classifier)?;
        self.check_floats()
    }

    /// Checks numbers as they come from a file, which calls them `fields`. The others are llama2.c's.
    pub(crate) fn check(
        numbers: [i64; 7],
        fields: &[&'static str; 7],
        shared_classifier: bool,
    ) -> Result<Self, ConfigError> {
        let mut checked = [0; 7];
        for ((checked, number), field) in checked.iter_mut().zip(numbers).zip(*fields) {
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
            shared_classifier,
            norm_epsilon: Config::NORM_EPSILON,
            rope_base: Config::ROPE_BASE,
        })
    }

    /// Checks the numbers with fractions.
    pub(crate) fn check_floats(&self) -> Result<(), ConfigError> {
        let &Config { norm_epsilon, rope_base, .. } = self;
        if !(0.0..1.0).contains(&norm_epsilon) {
            return Err(ConfigError::NormEpsilon { found: norm_epsilon });
        }
        if !(1.0..f32::INFINITY).contains(&rope_base) {
            return Err(ConfigError::RopeBase { found: rope_base });
        }
        Ok(())
    }
}
