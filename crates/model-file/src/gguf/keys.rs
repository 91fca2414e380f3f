//! The names of values.

pub(super) const ARCHITECTURE: &str = "general.architecture";
pub(super) const ALIGNMENT: &str = "general.alignment";
pub(super) const FILE_TYPE: &str = "general.file_type";
pub(super) const QUANTIZATION_VERSION: &str = "general.quantization_version";
pub(super) const SPLIT_COUNT: &str = "split.count";

pub(super) const LAYERS: &str = "llama.block_count";
pub(super) const DIM: &str = "llama.embedding_length";
pub(super) const HIDDEN_DIM: &str = "llama.feed_forward_length";
pub(super) const HEADS: &str = "llama.attention.head_count";
pub(super) const KV_HEADS: &str = "llama.attention.head_count_kv";
pub(super) const KEY_LENGTH: &str = "llama.attention.key_length";
pub(super) const VALUE_LENGTH: &str = "llama.attention.value_length";
pub(super) const CONTEXT: &str = "llama.context_length";
pub(super) const NORM_EPSILON: &str = "llama.attention.layer_norm_rms_epsilon";
pub(super) const VOCAB_SIZE: &str = "llama.vocab_size";
pub(super) const EXPERTS: &str = "llama.expert_count";
pub(super) const ROPE_BASE: &str = "llama.rope.freq_base";
pub(super) const ROPE_DIMENSIONS: &str = "llama.rope.dimension_count";
pub(super) const ROPE_SCALING: &str = "llama.rope.scaling.type";
pub(super) const ROPE_FACTOR: &str = "llama.rope.scaling.factor";
/// What the factor was called in 2023.
pub(super) const ROPE_FACTOR_OLD: &str = "llama.rope.scale_linear";
pub(super) const ROPE_ATTENTION_FACTOR: &str = "llama.rope.scaling.attn_factor";

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

/// Those of a vocabulary.
pub(super) const VOCABULARY: [&str; 11] =
    [TOKENIZER_MODEL, TOKENS, SCORES, KINDS, UNKNOWN, BOS, EOS, EOT, EOM, ADD_BOS, ADD_SPACE];

/// Those of a model and its vocabulary.
pub(super) const MODEL: [&str; 30] = [
    ARCHITECTURE,
    ALIGNMENT,
    SPLIT_COUNT,
    LAYERS,
    DIM,
    HIDDEN_DIM,
    HEADS,
    KV_HEADS,
    KEY_LENGTH,
    VALUE_LENGTH,
    CONTEXT,
    NORM_EPSILON,
    EXPERTS,
    ROPE_BASE,
    ROPE_DIMENSIONS,
    ROPE_SCALING,
    ROPE_FACTOR,
    ROPE_FACTOR_OLD,
    ROPE_ATTENTION_FACTOR,
    TOKENIZER_MODEL,
    TOKENS,
    SCORES,
    KINDS,
    UNKNOWN,
    BOS,
    EOS,
    EOT,
    EOM,
    ADD_BOS,
    ADD_SPACE,
];
