//! What can go wrong, and all messages about it.

use bootllm_units::bytes;
use std::path::PathBuf;
use thiserror::Error;

/// An error of the trainer. Errors of files, models and tokenizers come from the crates that read
/// them.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TrainError {
    /// An option has a value outside its range.
    #[error("--{option} must be {range}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its range, in words.
        range: &'static str,
    },
    /// `bench --sequence` exceeds the context.
    #[error("--sequence is longer than the context of {context} tokens")]
    SequenceTooLong {
        /// The context length.
        context: usize,
    },
    /// There is no such preset.
    #[error("there is no preset \"{name}\"; choose one of {known}")]
    UnknownPreset {
        /// The name that was given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// There is no such device.
    #[error("choose cpu, gpu, gpu:NUMBER or burn")]
    UnknownDevice,
    /// The program was built without Burn.
    #[error(
        "this program was built without GPU support; build it with `cargo build --release -p \
         bootllm-train --features gpu`"
    )]
    BuiltWithoutGpu,
    /// No GPU was found.
    #[error("no GPU found; its driver must support Vulkan, Metal or Direct3D 12")]
    NoGpu,
    /// There are fewer GPUs.
    #[error("there is no GPU {number}; counted from 0 there are: {known}")]
    UnknownGpu {
        /// The number that was given.
        number: usize,
        /// The names of the GPUs there are.
        known: String,
    },

    /// The name of a text is neither a file's nor that of a corpus that can be downloaded.
    #[error("{path}: there is no such file, and the corpora that can be downloaded are {known}")]
    UnknownText {
        /// The name that was given.
        path: PathBuf,
        /// The corpora there are.
        known: String,
    },
    /// A file has no text.
    #[error("{0}: the file has no text in it")]
    NoText(PathBuf),
    /// A folder has no texts.
    #[error("{0}: the folder has no .txt or .md file in it")]
    NoTextFiles(PathBuf),
    /// The beginning of a corpus ends before its first document does.
    #[error("{0}: the file has no complete document in it; take more megabytes")]
    NoWholeDocument(PathBuf),
    /// Every document is held out or too similar to a held-out one.
    #[error(
        "nothing is left to train on: of {documents} documents {held_out} are held out and \
         {near_duplicates} are too similar to those"
    )]
    NothingToTrainOn {
        /// All documents.
        documents: usize,
        /// Held-out documents.
        held_out: usize,
        /// Documents that were dropped.
        near_duplicates: usize,
    },
    /// A folder has no corpus.
    #[error("no corpus in {0}; make one with `bootllm-train data {0} TEXT…`")]
    NoCorpus(PathBuf),
    /// A file would be overwritten that this program did not write.
    #[error("{0} is not part of a corpus made by this program; choose another folder")]
    ForeignFile(PathBuf),
    /// A folder cannot be created.
    #[error("cannot create the folder {0}")]
    CannotCreateFolder(PathBuf),
    /// The downloader cannot be started.
    #[error("cannot run cargo, which downloads; download {url} yourself and save it as {path}")]
    NoDownloader {
        /// Where the corpus is.
        url: String,
        /// Where to put it.
        path: PathBuf,
    },
    /// A download failed; the downloader has printed why.
    #[error("{0} was not downloaded")]
    NotDownloaded(&'static str),

    /// The text has too few repeated pairs.
    #[error(
        "the text supports a vocabulary of at most {most} tokens, not {vocab_size}; choose a \
         smaller --vocab-size, or add text"
    )]
    VocabularyTooLarge {
        /// The largest vocabulary.
        most: usize,
        /// The size that was asked for.
        vocab_size: usize,
    },
    /// The bytes and characters do not fit.
    #[error(
        "a vocabulary of {vocab_size} tokens is too small: bytes and the text's characters alone \
         are {needed}"
    )]
    VocabularyTooSmall {
        /// The size that was asked for.
        vocab_size: usize,
        /// Tokens that every vocabulary for this text has.
        needed: usize,
    },

    /// A folder already has a run.
    #[error(
        "{0}: there is a run in it; continue it with `fit --resume {0}`, or choose another folder"
    )]
    RunExists(PathBuf),
    /// A folder has no run.
    #[error("{0}: there is no run in it; start one with `fit CORPUS {0}`")]
    NoRun(PathBuf),
    /// The documents are not those that the run was started with.
    #[error("{0}: the corpus or its tokenizer has changed since the run was started")]
    CorpusChanged(PathBuf),
    /// A run cannot continue, for the reason that follows.
    #[error(
        "the run stops; once that is fixed, `fit --resume {0}` continues from the last checkpoint"
    )]
    RunInterrupted(PathBuf),
    /// The loss or the gradients are NaN or infinite.
    #[error(
        "step {step}: the loss is {loss}, the gradient norm {norm}. The last checkpoint and the \
         best model in {folder} are unchanged; start again in another folder with a lower --rate"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Norm of all gradients.
        norm: f64,
        /// The run's folder.
        folder: PathBuf,
    },
    /// A run has no evaluated model.
    #[error("there is no model yet; `fit` writes one")]
    NoModel,
    /// A corpus has no tokenizer.
    #[error("{path}: no tokenizer; make one with `bootllm-train tokenizer {corpus}`")]
    NoTokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// The corpus.
        corpus: PathBuf,
    },
    /// A model's fixed hyperparameters are not llama2.c's.
    #[error(
        "{0}: its RMSNorm epsilon or RoPE base is not llama2.c's; this program trains no others"
    )]
    NotLlama2c(PathBuf),
    /// A model's context is shorter than the one asked for.
    #[error("{path}: its context is {context} tokens; --context cannot be larger")]
    ContextTooLong {
        /// The model's file.
        path: PathBuf,
        /// Its context length.
        context: usize,
    },
    /// A run needs more memory than is free.
    #[error(
        "training this model with {batch_tokens} tokens per batch needs {} of memory, {} are free; \
         take a smaller model, or fewer --batch-tokens and more --accumulate",
        bytes(*needed), bytes(*available)
    )]
    OutOfMemory {
        /// Tokens per batch.
        batch_tokens: usize,
        /// Bytes needed.
        needed: u64,
        /// Bytes available.
        available: u64,
    },
    /// The RoPE table cannot be allocated.
    #[error("cannot allocate the RoPE table")]
    RopeTable,
    /// A model's tensor is missing.
    #[error("the tensor {0} is missing")]
    MissingTensor(String),
    /// A model's tensor has values that are NaN or infinite.
    #[error("the tensor {0} has values that are NaN or infinite")]
    NotFinite(String),

    /// A file is no checkpoint.
    #[error("not a checkpoint of this version of bootllm-train")]
    NotACheckpoint,
    /// A checkpoint is too short.
    #[error("the checkpoint is cut short")]
    CheckpointCutShort,
    /// A checkpoint's checksum is wrong.
    #[error("the checkpoint is damaged: its checksum is wrong")]
    CheckpointDamaged,
    /// A checkpoint's header cannot be read.
    #[error("the checkpoint's header is invalid")]
    CheckpointHeader,
    /// A checkpoint's weights are not as many as its shape needs.
    #[error("the checkpoint has {found} bytes of weights, its shape needs {expected}")]
    CheckpointSize {
        /// Bytes in the file.
        found: usize,
        /// Bytes that the shape needs.
        expected: usize,
    },

    /// A file is no log.
    #[error("not the log of a run: it starts with \"{found}\" instead of \"{header}\"")]
    NotALog {
        /// The beginning of its first line.
        found: String,
        /// What a log starts with.
        header: &'static str,
    },
    /// A line of a log is wrong, for the reason that follows.
    #[error("line {0}")]
    LogLine(usize),
    /// A line of a log has another number of fields.
    #[error("{found} fields instead of {expected}")]
    LogFields {
        /// Fields in the line.
        found: usize,
        /// Columns of a log.
        expected: usize,
    },
    /// A field of a log is not a number, or not an integer where it must be one.
    #[error("{column} is \"{text}\", not {}", if *integer { "an integer" } else { "a number" })]
    LogNumber {
        /// The column.
        column: &'static str,
        /// The field.
        text: String,
        /// Whether it must be an integer.
        integer: bool,
    },
    /// The steps of a log do not ascend.
    #[error("step {step} follows step {last}")]
    LogOrder {
        /// The line's step.
        step: u64,
        /// The step of the line before.
        last: u64,
    },

    /// A run has no steps to plot.
    #[error("{0}: its log has no steps yet")]
    NoSteps(String),
    /// A run has no held-out losses to plot.
    #[error("{0}: its held-out loss has not been evaluated yet")]
    NotEvaluated(String),
    /// A run's losses are all NaN or infinite.
    #[error("{0}: no loss in its log is finite")]
    NoFiniteLoss(String),
    /// A chart would overwrite a log.
    #[error("{0}: the chart would overwrite the log")]
    OverwritesLog(PathBuf),

    /// Another trainer does not do as it should.
    #[error("{command}: {problem}")]
    Peer {
        /// Its command line.
        command: String,
        /// What it did.
        problem: String,
    },
}

impl TrainError {
    /// The option `option` must be `range`.
    pub fn option(option: &'static str, range: &'static str) -> Self {
        TrainError::Option { option, range }
    }
}
