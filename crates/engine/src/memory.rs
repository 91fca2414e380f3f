//! How much memory a model takes.

use crate::buffers::Buffers;
use crate::kernels::CHECK_BYTES;
use crate::kv_cache::{KvCache, KvFormat};
use crate::model::input_words;
use bootllm_model_file::{ModelFile, Piece, Tensor};
use bootllm_simd::RopeTable;

/// Bytes that a tensor takes beside its weights, at most: its description, its place in the model,
/// and what the allocator needs. It is little, unless a file claims a million layers.
const BESIDE_WEIGHTS: u64 = 256;

/// Bytes that a model takes while it runs, by purpose, and while it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The packed weights, and what is kept of each tensor beside them.
    pub weights: u64,
    /// Keys and values of every position of the context.
    pub kv_cache: u64,
    /// Activations and tables.
    pub buffers: u64,
    /// The two chunks through which the file is read, or what the check of the kernels before takes,
    /// if that is more; free again after loading.
    pub chunk: u64,
}

impl Memory {
    /// What the model of this file needs to run with a context of `context` positions. Sums
    /// beyond `u64` stay at its end, which is more than any machine has.
    pub fn needed(file: &ModelFile, context: usize) -> Self {
        Memory::needed_with(file, context, KvFormat::default())
    }

    /// The same with keys and values kept in another form.
    pub fn needed_with(file: &ModelFile, context: usize, kv_format: KvFormat) -> Self {
        let input_words = input_words(file, context);
        let packed = |tensor: &Tensor| {
            let weights = if tensor.part.is_norm() {
                // Kept as f32, whatever the file has.
                (tensor.shape.columns * size_of::<f32>()) as u64
            } else {
                tensor.shape.packed_bytes().map_or(u64::MAX, |bytes| bytes as u64)
            };
            weights.saturating_add(BESIDE_WEIGHTS)
        };
        let tensors = file.tensors();
        let chunk = tensors.iter().map(Piece::most_bytes).fold(0, u64::max).saturating_mul(2);
        Memory {
            weights: tensors.iter().map(packed).fold(0, u64::saturating_add),
            kv_cache: KvCache::bytes(&file.config, context, kv_format),
            buffers: Buffers::bytes(&file.config, context, input_words).saturating_add(
                RopeTable::bytes(file.config.head_size(), context).unwrap_or(u64::MAX),
            ),
            chunk: chunk.max(CHECK_BYTES),
        }
    }

    /// All of it: the most that is in use at any moment.
    pub fn total(&self) -> u64 {
        let Memory { weights, kv_cache, buffers, chunk } = *self;
        [weights, kv_cache, buffers, chunk].into_iter().fold(0, u64::saturating_add)
    }
}
