//! What can be wrong with a GGUF file.

use super::tensors::OffsetProblem;
use crate::WrongType;
use alloc::string::String;

/// Why a GGUF file cannot be read.
///
/// Names that come from the file are shortened and without control characters, so that they can be
/// shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    /// A version of the format that this program does not know.
    #[error("GGUF version {found}; versions 2 and 3 can be read: convert the model again")]
    Version {
        /// The version in the header.
        found: u32,
    },
    /// The description does not end within the file.
    #[error("the file ends within its description: it is cut short; copy or download it again")]
    CutShort,
    /// The description cannot be allocated.
    #[error("cannot allocate memory for the file's description")]
    OutOfMemory,
    /// A value has a type that nobody has defined, or lists are nested too deeply.
    #[error("the value of {key} has the unknown type {found}: the file is damaged, or too new")]
    ValueType {
        /// Its key.
        key: String,
        /// The number of the type.
        found: u32,
    },
    /// A key appears twice.
    #[error("{key} appears twice: the file is damaged")]
    Twice {
        /// The key.
        key: String,
    },
    /// A key that every file needs is missing.
    #[error("{key} is missing: the model cannot be run without it")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value has another type than it should.
    #[error(transparent)]
    WrongType(#[from] WrongType),
    /// The file is one of several that hold the model together.
    #[error(
        "this is one of {files} files of a split model; join them with llama.cpp's \
         `llama-gguf-split --merge`"
    )]
    Split {
        /// How many files there are.
        files: i128,
    },
    /// The alignment of tensors is not a power of two.
    #[error("general.alignment is {found}, not a power of two")]
    Alignment {
        /// The value in the file.
        found: i128,
    },
    /// A tensor's name is too long or has control characters.
    #[error("the name of the tensor {tensor} is damaged")]
    TensorName {
        /// Its name.
        tensor: String,
    },
    /// A tensor is in a format that nobody has defined.
    #[error("{tensor} is in the unknown format {number}: the file is damaged, or too new")]
    TensorType {
        /// Its name.
        tensor: String,
        /// The number of the format.
        number: String,
    },
    /// A tensor's dimensions are impossible.
    #[error("{tensor} has the impossible shape {found}")]
    TensorShape {
        /// Its name.
        tensor: String,
        /// Its dimensions, columns first.
        found: String,
    },
    /// A tensor's rows are not whole blocks of its format.
    #[error("{tensor} has rows of {columns} values, not a multiple of {format}'s {block}")]
    TensorBlocks {
        /// Its name.
        tensor: String,
        /// Values per row.
        columns: u64,
        /// Its format.
        format: &'static str,
        /// Values per block of the format.
        block: u64,
    },
    /// Two tensors have the same name.
    #[error("{tensor} appears twice: the file is damaged")]
    TensorTwice {
        /// The name.
        tensor: String,
    },
    /// A tensor begins at an invalid offset, or overlaps another.
    #[error("{tensor} begins at byte {offset} of the weights, {problem}: the file is damaged")]
    TensorOffset {
        /// Its name.
        tensor: String,
        /// Where it begins.
        offset: u64,
        /// What is wrong with that.
        problem: OffsetProblem,
    },
    /// There is no vocabulary in the file.
    #[error("there is no tokenizer inside")]
    NoVocabulary,
    /// Lists of the vocabulary have different lengths.
    #[error("{key} has {found} entries, not {expected}")]
    VocabularySize {
        /// The key of the list.
        key: &'static str,
        /// Its entries.
        found: u64,
        /// How many it should have.
        expected: u64,
    },
    /// An id in the metadata is not one of the tokens.
    #[error("{key} is not one of the tokens")]
    NoSuchToken {
        /// The key.
        key: &'static str,
    },
    /// A token's piece is longer than any word.
    #[error("token {token} of the tokenizer is too long")]
    PieceLength {
        /// Its id.
        token: u64,
    },
    /// A score that cannot be compared.
    #[error("the score of token {token} is not a number")]
    Score {
        /// Its id.
        token: u64,
    },
}
