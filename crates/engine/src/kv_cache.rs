//! The keys and values of all positions so far.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_cores::{Cores, split_together};
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

    /// Keeps the keys and values (kv_dim each) of consecutive tokens, `position` being the first's.
    pub(crate) fn store(
        &mut self,
        cores: &dyn Cores,
        layer: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let (size, length) = (self.head_size, self.head_length());
        let (start, kv_dim) = (self.head_start(layer, 0), self.kv_heads * size);
        let own = start..start + self.kv_heads * length;
        let heads = own.len();
        let outputs =
            [(&mut self.keys[own.clone()], heads, length), (&mut self.values[own], heads, length)];
        split_together(cores, outputs, |first, [mut own_keys, mut own_values]| {
            let own = own_keys.row(0).chunks_exact_mut(length);
            let own = own.zip(own_values.row(0).chunks_exact_mut(length));
            for (head, (own_keys, own_values)) in (first..).zip(own) {
                let of_head = head * size..(head + 1) * size;
                let tokens = keys.chunks_exact(kv_dim).zip(values.chunks_exact(kv_dim));
                for (position, (keys, values)) in (position..).zip(tokens) {
                    let tile = &mut own_keys[position / TILE * TILE * size..][..TILE * size];
                    let places = tile.iter_mut().skip(position % TILE).step_by(TILE);
                    places.zip(&keys[of_head.clone()]).for_each(|(place, &key)| *place = key);
                    let place = &mut own_values[position * size..][..size];
                    place.copy_from_slice(&values[of_head.clone()]);
                }
            }
        });
    }

    /// The keys of one head, tiles of (element of the head, position in the tile), and its values,
    /// (position, element of the head).
    pub(crate) fn head(&self, layer: usize, head: usize) -> (&[f32], &[f32]) {
        let own = self.head_start(layer, head)..self.head_start(layer, head + 1);
        (&self.keys[own.clone()], &self.values[own])
    }
}

/// `count` zeros, or the news that there is no memory for them.
pub(crate) fn zeros(count: usize) -> Result<Vec<f32>, TryReserveError> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(count)?;
    numbers.resize(count, 0.0);
    Ok(numbers)
}
