//! What can be wrong with a tokenizer, and the messages that say so.

use crate::encoder::known_kinds;
use alloc::string::String;
use bootllm_model_file::ReadError;

/// Why a file is not a tokenizer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FileError {
    /// The file, or the vocabulary inside a GGUF file, cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file does not fit into memory.
    #[error("there is no memory to read its {size} bytes")]
    OutOfMemory {
        /// Bytes in the file.
        size: u64,
    },
    /// The vocabulary is of a kind that no encoder is for.
    #[error("its tokenizer is of the kind {found:?}; only {} is known so far", known_kinds())]
    Kind {
        /// Its name in the file.
        found: String,
    },
    /// A `tokenizer.bin` cannot hold the vocabulary without loss.
    #[error("llama2.c's tokenizer.bin has no place for this vocabulary: {problem}")]
    NotLlama2c {
        /// What differs.
        problem: &'static str,
    },
    /// The file is empty.
    #[error("the file is empty; copy the tokenizer again")]
    Empty,
    /// The first number cannot be the length of the longest piece.
    #[error("not a tokenizer: it would have pieces of up to {found} bytes in {size} bytes")]
    LongestPiece {
        /// The length in the file.
        found: i32,
        /// Bytes in the file.
        size: usize,
    },
    /// A token's piece would end after the end of the file, or the file ends within a token.
    #[error(
        "token {token} is cut off at the end of the file: \
         the tokenizer is cut short, or not a tokenizer at all"
    )]
    CutShort {
        /// The token's number.
        token: usize,
    },
    /// A piece is empty, or its length is negative or larger than any word's.
    #[error("token {token} has a piece of {length} bytes")]
    PieceLength {
        /// The token's number.
        token: usize,
        /// The length in the file.
        length: i32,
    },
    /// A score is NaN, so merges cannot be ordered by it.
    #[error("the score of token {token} is not a number")]
    Score {
        /// The token's number.
        token: usize,
    },
    /// The tokenizer belongs to another model.
    #[error("it has {found} tokens, the model {expected}: it belongs to another model")]
    VocabularySize {
        /// Tokens in the file.
        found: usize,
        /// Tokens of the model.
        expected: usize,
    },
    /// The file is larger than any vocabulary.
    #[error("{size} bytes are too many for a tokenizer")]
    TooLarge {
        /// Bytes in the file.
        size: u64,
    },
}
