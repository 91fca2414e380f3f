//! Keys of the format and of vocabularies. The keys of an architecture are in the engine, in that
//! architecture's file.

pub(super) const ALIGNMENT: &str = "general.alignment";
pub(super) const FILE_TYPE: &str = "general.file_type";
pub(super) const QUANTIZATION_VERSION: &str = "general.quantization_version";
pub(super) const SPLIT_COUNT: &str = "split.count";

pub(super) const TOKENIZER_MODEL: &str = "tokenizer.ggml.model";
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const SCORES: &str = "tokenizer.ggml.scores";
pub(super) const KINDS: &str = "tokenizer.ggml.token_type";
pub(super) const UNKNOWN: &str = "tokenizer.ggml.unknown_token_id";
pub(super) const BOS: &str = "tokenizer.ggml.bos_token_id";
pub(super) const EOS: &str = "tokenizer.ggml.eos_token_id";
pub(super) const EOT: &str = "tokenizer.ggml.eot_token_id";
pub(super) const EOM: &str = "tokenizer.ggml.eom_token_id";
pub(super) const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
pub(super) const ADD_SPACE: &str = "tokenizer.ggml.add_space_prefix";
