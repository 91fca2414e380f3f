//! Why a model cannot be run.

use alloc::string::String;

/// Why a model cannot be run, with what was found and what was expected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The file does not name its architecture.
    #[error("general.architecture is missing: the file does not say what kind of model it is")]
    NoArchitecture,
    /// The model is of another architecture.
    #[error("the architecture {found:?} cannot be run; these can: {known}")]
    Architecture {
        /// Its name in the file.
        found: String,
        /// The names of those that can be run.
        known: String,
    },
    /// A key that the architecture needs is missing.
    #[error("{key} is missing: the model cannot be run without it")]
    Missing {
        /// The key.
        key: String,
    },
    /// A key has a value of another type, or one out of its bounds.
    #[error("{key} is {found}; it must be {expected}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A key asks for a computation that this version does not have.
    #[error("{key} is {found}, which this version cannot compute")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        found: String,
    },
    /// A tensor that the architecture needs is missing.
    #[error("the tensor {tensor} is missing")]
    MissingTensor {
        /// Its name.
        tensor: String,
    },
    /// The model has a tensor that the computation would not use.
    #[error("the model has the tensor {tensor}, which this version cannot compute with")]
    UnknownTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor is in a format that cannot be computed with.
    #[error("{tensor} is in the format {format}, which this version cannot compute with")]
    Encoding {
        /// Its name.
        tensor: String,
        /// ggml's name of the format.
        format: &'static str,
    },
    /// A tensor's shape is not the one that follows from the metadata.
    #[error(
        "{tensor} has {} rows of {} values; by the metadata it should have {} of {}",
        found.0, found.1, expected.0, expected.1
    )]
    TensorShape {
        /// Its name.
        tensor: String,
        /// Rows and columns.
        found: (usize, usize),
        /// Rows and columns by the metadata.
        expected: (usize, usize),
    },
    /// The vocabulary inside the file does not have as many tokens as the model.
    #[error("the vocabulary has {found} tokens, the model {expected}")]
    VocabularySize {
        /// Tokens of the vocabulary.
        found: u64,
        /// Tokens of the model.
        expected: u64,
    },
}
