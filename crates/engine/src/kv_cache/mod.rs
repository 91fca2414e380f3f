//! The keys and values of all positions so far.

mod cells;

pub(crate) use cells::{Cells, Eighth, Full, Half};

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_cores::{Cores, split_together};
use bootllm_model_file::Config;
use bootllm_quant::{AlignedBytes, NoMemory};

/// Positions whose keys lie side by side, so that vector registers run across positions.
pub(crate) const TILE: usize = 32;

/// In which form keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvFormat {
    /// 32-bit floating point: as they were computed, as llama2.c keeps them.
    #[default]
    F32,
    /// 16-bit floating point: half the memory, and nearly the same text.
    F16,
    /// 8-bit integers with a scale for up to 32 of them: little more than a quarter.
    Q8,
}

impl KvFormat {
    /// All of them.
    pub const ALL: [KvFormat; 3] = [KvFormat::F32, KvFormat::F16, KvFormat::Q8];

    /// Its name as a person knows it.
    pub fn name(self) -> &'static str {
        match self {
            KvFormat::F32 => "f32",
            KvFormat::F16 => "f16",
            KvFormat::Q8 => "q8",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Bytes of one position's keys, or values, in a head of `size` elements.
    fn row_bytes(self, size: usize) -> usize {
        match self {
            KvFormat::F32 => Full::row_bytes(size),
            KvFormat::F16 => Half::row_bytes(size),
            KvFormat::Q8 => Eighth::row_bytes(size),
        }
    }
}

/// Keys and values of every layer.
///
/// Keys: (layer, key head, tile of positions, tile as [`Cells`] has it).
/// Values: (layer, key head, position, row as [`Cells`] has it).
pub(crate) struct KvCache {
    format: KvFormat,
    keys: AlignedBytes,
    values: AlignedBytes,
    head_size: usize,
    kv_heads: usize,
    /// A multiple of [`TILE`] positions.
    positions: usize,
}

impl KvCache {
    pub(crate) fn new(config: &Config, context: usize, format: KvFormat) -> Result<Self, NoMemory> {
        let (head_size, kv_heads) = (config.head_size(), config.kv_heads);
        let positions = context.next_multiple_of(TILE);
        let bytes = usize::try_from(Self::bytes(config, context, format) / 2);
        let bytes = bytes.unwrap_or(usize::MAX);
        // No token is to wait for memory.
        let (keys, values) =
            (AlignedBytes::zeroed_and_touched(bytes)?, AlignedBytes::zeroed_and_touched(bytes)?);
        Ok(KvCache { format, keys, values, head_size, kv_heads, positions })
    }

    /// One without positions, which takes no memory.
    pub(crate) fn empty(format: KvFormat) -> Self {
        let [keys, values] = [(); 2].map(|()| AlignedBytes::default());
        KvCache { format, keys, values, head_size: 0, kv_heads: 0, positions: 0 }
    }

    /// Bytes of a cache for `context` positions.
    pub(crate) fn bytes(config: &Config, context: usize, format: KvFormat) -> u64 {
        let tiles = (context as u64).div_ceil(TILE as u64);
        let position = format.row_bytes(config.head_size()) as u64 * config.kv_heads as u64;
        let tile = position.saturating_mul(2 * TILE as u64);
        tile.saturating_mul(tiles).saturating_mul(config.layers as u64)
    }

    /// In which form keys and values are kept.
    pub(crate) fn format(&self) -> KvFormat {
        self.format
    }

    /// Positions that there is room for: those of the context or, in whole tiles, a few more.
    pub(crate) fn positions(&self) -> usize {
        self.positions
    }

    /// Bytes of the keys, or values, of one head of one layer.
    fn head_bytes(&self) -> usize {
        self.positions * self.format.row_bytes(self.head_size)
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
        match self.format {
            KvFormat::F32 => self.store_as::<Full>(cores, layer, position, [keys, values]),
            KvFormat::F16 => self.store_as::<Half>(cores, layer, position, [keys, values]),
            KvFormat::Q8 => self.store_as::<Eighth>(cores, layer, position, [keys, values]),
        }
    }

    fn store_as<C: Cells>(
        &mut self,
        cores: &dyn Cores,
        layer: usize,
        position: usize,
        [keys, values]: [&[f32]; 2],
    ) {
        let (size, head_bytes) = (self.head_size, self.head_bytes());
        let (kv_dim, row_bytes) = (self.kv_heads * size, C::row_bytes(size));
        let layer_bytes = self.kv_heads * head_bytes;
        let own = layer * layer_bytes..(layer + 1) * layer_bytes;
        let outputs = [
            (&mut self.keys.as_mut_slice()[own.clone()], layer_bytes, head_bytes),
            (&mut self.values.as_mut_slice()[own], layer_bytes, head_bytes),
        ];
        split_together(cores, outputs, |first, [mut tiles, mut rows]| {
            let tiles = tiles.row(0).chunks_exact_mut(head_bytes);
            let rows = rows.row(0).chunks_exact_mut(head_bytes);
            for (head, (tiles, rows)) in (first..).zip(tiles.zip(rows)) {
                let of_head = head * size..(head + 1) * size;
                let tokens = keys.chunks_exact(kv_dim).zip(values.chunks_exact(kv_dim));
                for (position, (keys, values)) in (position..).zip(tokens) {
                    let tile_bytes = TILE * row_bytes;
                    let tile = &mut tiles[position / TILE * tile_bytes..][..tile_bytes];
                    C::store_key(tile, position % TILE, &keys[of_head.clone()]);
                    let row = &mut rows[position * row_bytes..][..row_bytes];
                    C::store_value(row, &values[of_head.clone()]);
                }
            }
        });
    }

    /// The keys of one head, in tiles, and its values, in rows.
    pub(crate) fn head(&self, layer: usize, head: usize) -> (&[u8], &[u8]) {
        let bytes = self.head_bytes();
        let start = (layer * self.kv_heads + head) * bytes;
        let own = start..start + bytes;
        (&self.keys.as_slice()[own.clone()], &self.values.as_slice()[own])
    }
}

/// `count` zeros, or the news that there is no memory for them.
pub(crate) fn zeros(count: usize) -> Result<Vec<f32>, TryReserveError> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(count)?;
    numbers.resize(count, 0.0);
    Ok(numbers)
}
