//! What can be wrong with a GGUF file.

use alloc::string::String;

/// Why a GGUF file is not a model that can be run.
///
/// Names that come from the file are cut and cleaned, so that they can be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    /// A version of the format that this program does not know.
    #[error("GGUF version {found}; versions 2 and 3 can be read: convert the model anew")]
    Version {
        /// The version that the header says.
        found: u32,
    },
    /// The description does not end within the file.
    #[error("the file ends within its description: it is cut short; copy or download it again")]
    CutShort,
    /// There is no memory for what is kept of the description.
    #[error("no memory to read the description")]
    OutOfMemory,
    /// A value has a type that nobody has defined, or arrays within arrays have no end.
    #[error("the value of {key} has the unknown type {found}: the file is damaged, or too new")]
    ValueType {
        /// Its name.
        key: String,
        /// The number of the type.
        found: u32,
    },
    /// A value is there twice.
    #[error("{key} is there twice: the file is damaged")]
    Twice {
        /// Its name.
        key: String,
    },
    /// A value that a model needs is not there.
    #[error("{key} is missing, without which the model cannot be run")]
    Missing {
        /// Its name.
        key: &'static str,
    },
    /// A value is something else than it should be.
    #[error("{key} is not {expected}")]
    NotA {
        /// Its name.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The model is of another kind.
    #[error("a model of the architecture {found:?}; only \"llama\" can be run so far")]
    Architecture {
        /// Its name in the file.
        found: String,
    },
    /// The model has something that this program cannot compute.
    #[error("{key} is {found}, which cannot be run yet; {supported}")]
    Unsupported {
        /// The name of the value that says so.
        key: &'static str,
        /// Its value.
        found: String,
        /// What can be run.
        supported: &'static str,
    },
    /// Tensors begin at multiples of a power of two.
    #[error("general.alignment is {found}, not a power of two")]
    Alignment {
        /// What the file says.
        found: i128,
    },
    /// The model has a tensor that the computation would leave out.
    #[error("the model has {what} ({tensor}), which cannot be run yet")]
    UnknownTensor {
        /// Its name.
        tensor: String,
        /// What kind of thing that is.
        what: &'static str,
    },
    /// A tensor is in a format that this program does not know.
    #[error(
        "{tensor} is in the format {found}; F32, F16, BF16, Q8_0 and Q4_0 can be read so far: \
         download or convert the model in one of them"
    )]
    TensorType {
        /// Its name.
        tensor: String,
        /// ggml's name of the format, or its number.
        found: String,
    },
    /// A tensor's dimensions are not those that the description asks for.
    #[error("{tensor} has the shape {found}, the description asks for {expected}")]
    TensorShape {
        /// Its name.
        tensor: String,
        /// Its dimensions, columns first.
        found: String,
        /// What they should be.
        expected: String,
    },
    /// A tensor is missing, or there twice.
    #[error("{tensor} is {}", if *twice { "there twice" } else { "missing" })]
    Tensor {
        /// Its name.
        tensor: String,
        /// Whether it is there twice; missing otherwise.
        twice: bool,
    },
    /// A tensor does not begin where one can, or lies in another.
    #[error("{tensor} begins at byte {offset} of the weights, {problem}: the file is damaged")]
    TensorOffset {
        /// Its name.
        tensor: String,
        /// Where it begins.
        offset: u64,
        /// What is wrong with that.
        problem: &'static str,
    },
    /// There is no vocabulary in the file.
    #[error("there is no tokenizer inside")]
    NoVocabulary,
    /// The vocabulary is of another kind.
    #[error(
        "its tokenizer is of the kind {found:?}; only \"llama\" (SentencePiece) is known so far"
    )]
    TokenizerModel {
        /// Its name in the file.
        found: String,
    },
    /// The vocabulary does not fit to itself or to the model.
    #[error("{key} has {found} entries, not {expected}")]
    VocabularySize {
        /// The name of the list.
        key: &'static str,
        /// How many it has.
        found: u64,
        /// How many it should have.
        expected: u64,
    },
    /// A token's piece is longer than any word.
    #[error("token {token} of the tokenizer is too long")]
    PieceLength {
        /// Its number.
        token: u64,
    },
    /// A score by which nothing can be ordered.
    #[error("the score of token {token} is not a number")]
    Score {
        /// Its number.
        token: u64,
    },
}
