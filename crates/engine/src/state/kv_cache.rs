//! The keys and values of all positions so far.

use super::cells::{Cells, F16Cells, F32Cells, Q8Cells};
use alloc::vec::Vec;
use bootllm_cores::{Cores, split_together};
use bootllm_quant::{AlignedBytes, NoMemory};

/// Positions whose keys are interleaved, so that vector registers run across positions.
pub(crate) const TILE: usize = 32;

/// The format of keys and values in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvFormat {
    /// 32-bit floating point: as they were computed, and as llama2.c stores them.
    #[default]
    F32,
    /// 16-bit floating point: half the memory, and nearly the same text.
    F16,
    /// 8-bit integers with a scale for up to 32 of them: little more than a quarter of the memory.
    Q8,
}

impl KvFormat {
    /// All formats, the widest first.
    pub const ALL: [KvFormat; 3] = [KvFormat::F32, KvFormat::F16, KvFormat::Q8];

    /// Its name: `f32`.
    pub fn name(self) -> &'static str {
        match self {
            KvFormat::F32 => "f32",
            KvFormat::F16 => "f16",
            KvFormat::Q8 => "q8",
        }
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Bytes of one position's keys, or values, in a head of `size` elements.
    fn row_bytes(self, size: usize) -> usize {
        match self {
            KvFormat::F32 => F32Cells::row_bytes(size),
            KvFormat::F16 => F16Cells::row_bytes(size),
            KvFormat::Q8 => Q8Cells::row_bytes(size),
        }
    }
}

/// One layer's heads in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvLayer {
    /// Key and value heads.
    pub(crate) heads: usize,
    /// Values per head.
    pub(crate) head_size: usize,
}

impl KvLayer {
    /// Bytes of the keys, or of the values, of `positions` positions.
    fn bytes(&self, format: KvFormat, positions: usize) -> u64 {
        let row = format.row_bytes(self.head_size) as u64;
        row.saturating_mul(self.heads as u64).saturating_mul(positions as u64)
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
    /// The layers, and where each begins in both buffers.
    layers: Vec<(KvLayer, usize)>,
    /// A multiple of [`TILE`] positions.
    positions: usize,
    /// Whether a number that is not finite came to be stored in a format that cannot hold it.
    damaged: bool,
}

impl KvCache {
    pub(crate) fn new(
        layers: &[KvLayer],
        context: usize,
        format: KvFormat,
    ) -> Result<Self, NoMemory> {
        let positions = context.next_multiple_of(TILE);
        let bytes = usize::try_from(Self::bytes(layers, context, format) / 2);
        let bytes = bytes.unwrap_or(usize::MAX);
        // No token is to wait for memory.
        let (keys, values) =
            (AlignedBytes::zeroed_and_touched(bytes)?, AlignedBytes::zeroed_and_touched(bytes)?);
        let mut start = 0;
        let mut placed = Vec::new();
        placed.try_reserve_exact(layers.len()).map_err(|_| NoMemory)?;
        for &layer in layers {
            placed.push((layer, start));
            start += layer.bytes(format, positions) as usize;
        }
        Ok(KvCache { format, keys, values, layers: placed, positions, damaged: false })
    }

    /// A cache without positions, which takes no memory.
    pub(crate) fn empty(format: KvFormat) -> Self {
        let [keys, values] = [(); 2].map(|()| AlignedBytes::default());
        KvCache { format, keys, values, layers: Vec::new(), positions: 0, damaged: false }
    }

    /// Bytes of a cache for `context` positions.
    pub(crate) fn bytes(layers: &[KvLayer], context: usize, format: KvFormat) -> u64 {
        let positions = context.checked_next_multiple_of(TILE).unwrap_or(usize::MAX);
        let keys = layers.iter().map(|layer| layer.bytes(format, positions));
        keys.fold(0, u64::saturating_add).saturating_mul(2)
    }

    /// The format of keys and values.
    pub(crate) fn format(&self) -> KvFormat {
        self.format
    }

    /// Positions that there is memory for: those of the context or, in whole tiles, a few more.
    pub(crate) fn positions(&self) -> usize {
        self.positions
    }

    /// Whether a NaN or an infinity came to be stored since this was last asked.
    pub(crate) fn take_damage(&mut self) -> bool {
        core::mem::take(&mut self.damaged)
    }

    /// Bytes of the keys, or values, of one head of a layer.
    fn head_bytes(&self, layer: KvLayer) -> usize {
        self.positions * self.format.row_bytes(layer.head_size)
    }

    /// Stores the keys and values of consecutive tokens, `position` being the first one's.
    pub(crate) fn store(
        &mut self,
        cores: &dyn Cores,
        layer: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        match self.format {
            KvFormat::F32 => self.store_as::<F32Cells>(cores, layer, position, [keys, values]),
            KvFormat::F16 => {
                let finite =
                    |values: &[f32]| values.iter().fold(true, |all, value| all & value.is_finite());
                self.damaged |= !finite(keys) || !finite(values);
                self.store_as::<F16Cells>(cores, layer, position, [keys, values]);
            }
            KvFormat::Q8 => self.store_as::<Q8Cells>(cores, layer, position, [keys, values]),
        }
    }

    fn store_as<C: Cells>(
        &mut self,
        cores: &dyn Cores,
        layer: usize,
        position: usize,
        [keys, values]: [&[f32]; 2],
    ) {
        let (layer, start) = self.layers[layer];
        let (size, head_bytes) = (layer.head_size, self.head_bytes(layer));
        let (kv_width, row_bytes) = (layer.heads * size, C::row_bytes(size));
        let layer_bytes = layer.heads * head_bytes;
        let own = start..start + layer_bytes;
        let outputs = [
            (&mut self.keys.as_mut_slice()[own.clone()], layer_bytes, head_bytes),
            (&mut self.values.as_mut_slice()[own], layer_bytes, head_bytes),
        ];
        split_together(cores, outputs, |first, [mut tiles, mut rows]| {
            let tiles = tiles.row(0).chunks_exact_mut(head_bytes);
            let rows = rows.row(0).chunks_exact_mut(head_bytes);
            for (head, (tiles, rows)) in (first..).zip(tiles.zip(rows)) {
                let of_head = head * size..(head + 1) * size;
                let tokens = keys.chunks_exact(kv_width).zip(values.chunks_exact(kv_width));
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
        let (layer, start) = self.layers[layer];
        let bytes = self.head_bytes(layer);
        let start = start + head * bytes;
        let own = start..start + bytes;
        (&self.keys.as_slice()[own.clone()], &self.values.as_slice()[own])
    }
}
