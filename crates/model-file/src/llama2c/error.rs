//! Which numbers do not make a Llama 2 model.

use alloc::string::String;

/// Which numbers of a header do not go together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A count is zero or negative.
    #[error("{field} is {found}")]
    NotPositive {
        /// Its name in llama2.c.
        field: &'static str,
        /// Its value.
        found: i64,
    },
    /// A count does not fit the 32 bits that it has in a file.
    #[error("{field} is {found}, too large for a file")]
    TooLarge {
        /// Its name in llama2.c.
        field: &'static str,
        /// Its value.
        found: i64,
    },
    /// The heads do not divide the dimension.
    #[error("{heads} heads do not divide the dimension {dim}")]
    HeadsDoNotDivide {
        /// The dimension.
        dim: usize,
        /// Query heads.
        heads: usize,
    },
    /// Rotary position embedding turns pairs of values.
    #[error("a head has {head_size} values, an odd number")]
    OddHead {
        /// Values per head.
        head_size: usize,
    },
    /// The key and value heads do not divide the query heads.
    #[error("{kv_heads} key and value heads do not divide {heads} query heads")]
    KvHeadsDoNotDivide {
        /// Query heads.
        heads: usize,
        /// Key and value heads.
        kv_heads: usize,
    },
    /// The flag for tied embeddings is neither 0 nor 1.
    #[error("the flag for tied embeddings is {found}, neither 0 nor 1")]
    TiedFlag {
        /// Its value.
        found: u8,
    },
    /// The epsilon of the norms is not a small number.
    #[error("the norms' epsilon is {found}; it must be from 0 to 1")]
    NormEpsilon {
        /// Its value.
        found: f32,
    },
    /// The base of the rotary frequencies is impossible.
    #[error("the base of the rotary frequencies is {found}; it must be 1 or more")]
    RopeBase {
        /// Its value.
        found: f32,
    },
    /// The model has something that llama2.c's formats cannot say.
    #[error("llama2.c's formats cannot represent this model because of {what}; convert it to GGUF")]
    NotInLlama2c {
        /// A key, a tensor, or a number by its name.
        what: String,
    },
    /// The size of a group of int8 values is impossible.
    #[error("a group has {found} values; it must have 1 to {largest}")]
    GroupSize {
        /// Its value.
        found: i64,
        /// The largest that can be computed with.
        largest: usize,
    },
    /// Groups cross the ends of rows, where `runq` would drop values.
    #[error(
        "groups of {group} values do not divide rows of {columns}; export with a smaller group"
    )]
    GroupDoesNotDivide {
        /// Values per group.
        group: usize,
        /// Values per row.
        columns: usize,
    },
}
