//! The keys and values of all positions so far.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_model_file::Config;

/// Positions whose keys lie side by side, so that vector registers run across positions.
pub(crate) const TILE: usize = 32;

/// Keys and values of every layer, `f32`.
///
/// Keys: (layer, key head, tile of positions, element of the head, position in the tile).
/// Values: (layer, key head, position, element of the head).
pub(crate) struct KvCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    head_size: usize,
    kv_heads: usize,
    /// A multiple of [`TILE`] positions.
    positions: usize,
}

impl KvCache {
    pub(crate) fn new(config: &Config, context: usize) -> Result<Self, TryReserveError> {
        let (head_size, kv_heads) = (config.head_size(), config.kv_heads);
        let positions = context.next_multiple_of(TILE);
        let length = usize::try_from(Self::bytes(config, context) / 8).unwrap_or(usize::MAX);
        let (keys, values) = (zeros(length)?, zeros(length)?);
        Ok(KvCache { keys, values, head_size, kv_heads, positions })
    }

    /// Bytes of a cache for `context` positions.
    pub(crate) fn bytes(config: &Config, context: usize) -> u64 {
        let positions =
            (context as u64).saturating_add(TILE as u64 - 1) / TILE as u64 * TILE as u64;
        let numbers =
            (config.layers as u64).saturating_mul(config.kv_dim() as u64).saturating_mul(positions);
        numbers.saturating_mul(2 * size_of::<f32>() as u64)
    }

    /// Elements of one head of one layer.
    fn head_length(&self) -> usize {
        self.positions * self.head_size
    }

    fn head_start(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.head_length()
    }

    /// Keeps the keys and values (kv_dim each) of a position.
    pub(crate) fn store(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let size = self.head_size;
        for head in 0..self.kv_heads {
            let start = self.head_start(layer, head);
            let tile = start + position / TILE * TILE * size;
            for (element, &key) in keys[head * size..][..size].iter().enumerate() {
                self.keys[tile + element * TILE + position % TILE] = key;
            }
            let own = &values[head * size..][..size];
            self.values[start + position * size..][..size].copy_from_slice(own);
        }
    }

    /// The keys of one head: tiles of (element of the head, position in the tile).
    pub(crate) fn keys(&self, layer: usize, head: usize) -> &[f32] {
        &self.keys[self.head_start(layer, head)..][..self.head_length()]
    }

    /// The values of one head: (position, element of the head).
    pub(crate) fn values(&self, layer: usize, head: usize) -> &[f32] {
        &self.values[self.head_start(layer, head)..][..self.head_length()]
    }
}

/// `count` zeros, or the news that there is no memory for them.
pub(crate) fn zeros(count: usize) -> Result<Vec<f32>, TryReserveError> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(count)?;
    numbers.resize(count, 0.0);
    Ok(numbers)
}
