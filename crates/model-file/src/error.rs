//! What can be wrong with a model file.

use crate::GgufError;
use bootllm_platform::StorageError;

/// Why a file is not a model that can be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// The device or its driver failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is nothing in the file.
    #[error("the file is empty; copy the model again")]
    Empty,
    /// The file is shorter than any header.
    #[error("the file has only {found} bytes, less than a header; copy the model again")]
    TooShort {
        /// Bytes in the file.
        found: u64,
    },
    /// The file is of another, known kind.
    #[error("this is {kind}, not a model in llama2.c's format or GGUF; {advice}")]
    Foreign {
        /// What it is.
        kind: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The file's numbers have their bytes in the other order.
    #[error("the file was written on a big-endian machine; export it again on a little-endian one")]
    BigEndian,
    /// llama2.c's magic number is there, with a version that nobody has defined.
    #[error("llama2.c's format, but version {found}; versions 0, 1 and 2 can be read")]
    Version {
        /// The version that the header says.
        found: i32,
    },
    /// The numbers of a header with llama2.c's magic do not make a model.
    #[error("the header makes no sense: {0}")]
    Config(#[from] ConfigError),
    /// There is no magic, and the numbers are not those of a v0 header either.
    #[error("not a model: no known format, and as llama2.c's v0 it makes no sense: {0}")]
    NotAModel(ConfigError),
    /// The header and the size of the file contradict each other.
    #[error(
        "the header describes {expected} bytes, the file has {found}: it is {}",
        if u128::from(*found) < *expected {
            "cut short; copy or download it again"
        } else {
            "too long, or not a model at all"
        }
    )]
    Size {
        /// Bytes that the header describes.
        expected: u128,
        /// Bytes in the file.
        found: u64,
    },
    /// A GGUF file that cannot be run.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The description itself is larger than the memory.
    #[error("no memory to describe {tensors} tensors")]
    OutOfMemory {
        /// How many there are.
        tensors: usize,
    },
}

/// Which numbers of a header do not go together.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
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
    #[error("{field} is {found}, more than a file can say")]
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
        /// Values in a head.
        head_size: usize,
    },
    /// Query heads cannot be shared out to the key and value heads.
    #[error("{kv_heads} key and value heads do not divide {heads} query heads")]
    KvHeadsDoNotDivide {
        /// Query heads.
        heads: usize,
        /// Key and value heads.
        kv_heads: usize,
    },
    /// The flag for a shared classifier is neither 0 nor 1.
    #[error("the flag for a shared classifier is {found}, neither 0 nor 1")]
    SharedFlag {
        /// Its value.
        found: u8,
    },
    /// What is added to the mean square in every norm is no small number.
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
    /// The model has a number for which llama2.c's formats have no place.
    #[error(
        "{what} of this model is {found}; in llama2.c's formats it is always {expected}, so convert \
         to one of GGUF's"
    )]
    NotInLlama2c {
        /// What it is.
        what: &'static str,
        /// Its value.
        found: f32,
        /// llama2.c's.
        expected: f32,
    },
    /// The size of a group of int8 values is impossible.
    #[error("a group has {found} values; it must have 1 to {largest}")]
    GroupSize {
        /// Its value.
        found: i64,
        /// The largest that can be computed with.
        largest: usize,
    },
    /// Groups run across the ends of rows, where `runq` would drop values.
    #[error(
        "groups of {group} values do not divide rows of {columns}; export with a smaller group"
    )]
    GroupDoesNotDivide {
        /// Values in a group.
        group: usize,
        /// Values in a row.
        columns: usize,
    },
}
