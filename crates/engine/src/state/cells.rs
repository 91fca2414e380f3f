//! How the cache stores numbers: as they are, in 16 bits, or in 8 with a scale per group.
//!
//! A stored number becomes an `f32` again when it is used, and attention computes with it as with
//! any other: the format decides the result, the way it is read does not.

use super::kv_cache::TILE;
use bootllm_quant::quantize_group;
use bootllm_simd::{LANES, Simd, f16_from_f32, f16_to_f32, round_half_even};

/// A way to store the numbers of a head: keys in tiles of (element, position in the tile), values in
/// rows of elements. A tile takes as many bytes as [`TILE`] rows.
pub(crate) trait Cells {
    /// Bytes of the values of one position in a head of `size` elements.
    fn row_bytes(size: usize) -> usize;

    /// Stores the key of a position.
    fn store_key(tile: &mut [u8], position_in_tile: usize, key: &[f32]);

    /// Stores the value of a position.
    fn store_value(row: &mut [u8], value: &[f32]);

    /// Element `element` of half of the keys in a tile of heads of `size` elements.
    fn keys<S: Simd>(simd: S, tile: &[u8], size: usize, element: usize, half: usize) -> S::Floats;

    /// [`LANES`] elements of a value, from `at`, a multiple of them, on.
    fn value<S: Simd>(simd: S, row: &[u8], size: usize, at: usize) -> S::Floats;

    /// One element of a value.
    fn value_at(row: &[u8], size: usize, element: usize) -> f32;
}

/// Bytes per number.
const F32: usize = size_of::<f32>();
const F16: usize = 2;

#[inline(always)]
fn bytes<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    match bytes[at..].first_chunk() {
        Some(bytes) => bytes,
        None => unreachable!("a head's tiles and rows are whole"),
    }
}

/// 32 bits per number: nothing is lost.
pub(crate) struct F32Cells;

impl Cells for F32Cells {
    fn row_bytes(size: usize) -> usize {
        size * F32
    }

    fn store_key(tile: &mut [u8], position_in_tile: usize, key: &[f32]) {
        for (cells, key) in tile.as_chunks_mut::<{ TILE * F32 }>().0.iter_mut().zip(key) {
            cells.as_chunks_mut().0[position_in_tile] = key.to_le_bytes();
        }
    }

    fn store_value(row: &mut [u8], value: &[f32]) {
        for (cell, value) in row.as_chunks_mut().0.iter_mut().zip(value) {
            *cell = value.to_le_bytes();
        }
    }

    #[inline(always)]
    fn keys<S: Simd>(simd: S, tile: &[u8], _: usize, element: usize, half: usize) -> S::Floats {
        simd.load_f32(bytes(tile, (element * TILE + half * LANES) * F32))
    }

    #[inline(always)]
    fn value<S: Simd>(simd: S, row: &[u8], _: usize, at: usize) -> S::Floats {
        simd.load_f32(bytes(row, at * F32))
    }

    #[inline(always)]
    fn value_at(row: &[u8], _: usize, element: usize) -> f32 {
        f32::from_le_bytes(*bytes(row, element * F32))
    }
}

/// 16 bits per number (IEEE 754 binary16).
pub(crate) struct F16Cells;

/// The nearest finite number of binary16. The cache reports NaN and infinities before they come here.
fn half(value: f32) -> [u8; F16] {
    const LARGEST: f32 = 65504.0;
    f16_from_f32(value.clamp(-LARGEST, LARGEST)).to_le_bytes()
}

impl Cells for F16Cells {
    fn row_bytes(size: usize) -> usize {
        size * F16
    }

    fn store_key(tile: &mut [u8], position_in_tile: usize, key: &[f32]) {
        for (cells, &key) in tile.as_chunks_mut::<{ TILE * F16 }>().0.iter_mut().zip(key) {
            cells.as_chunks_mut().0[position_in_tile] = half(key);
        }
    }

    fn store_value(row: &mut [u8], value: &[f32]) {
        for (cell, &value) in row.as_chunks_mut().0.iter_mut().zip(value) {
            *cell = half(value);
        }
    }

    #[inline(always)]
    fn keys<S: Simd>(simd: S, tile: &[u8], _: usize, element: usize, half: usize) -> S::Floats {
        simd.load_f16(bytes(tile, (element * TILE + half * LANES) * F16))
    }

    #[inline(always)]
    fn value<S: Simd>(simd: S, row: &[u8], _: usize, at: usize) -> S::Floats {
        simd.load_f16(bytes(row, at * F16))
    }

    #[inline(always)]
    fn value_at(row: &[u8], _: usize, element: usize) -> f32 {
        f16_to_f32(u16::from_le_bytes(*bytes(row, element * F16)))
    }
}

/// 8 bits per number, in groups with an `f32` scale: the largest power of two up to 32 that divides
/// the head size. Scales come before the numbers, those of a tile as (group, position in the tile).
pub(crate) struct Q8Cells;

/// The largest group.
const GROUP: usize = 32;

/// Values per group.
#[inline(always)]
fn group(size: usize) -> usize {
    1 << size.trailing_zeros().min(GROUP.trailing_zeros())
}

impl Cells for Q8Cells {
    fn row_bytes(size: usize) -> usize {
        size / group(size) * F32 + size
    }

    fn store_key(tile: &mut [u8], position_in_tile: usize, key: &[f32]) {
        let group = group(key.len());
        let (scales, cells) = tile.split_at_mut(key.len() / group * TILE * F32);
        let scales = scales.as_chunks_mut::<{ TILE * F32 }>().0.iter_mut();
        let cells = cells.as_chunks_mut::<TILE>().0.chunks_exact_mut(group);
        for ((key, scales), cells) in key.chunks_exact(group).zip(scales).zip(cells) {
            let mut quantized = [0; GROUP];
            let scale = quantize_group(key, &mut quantized[..group], round_half_even);
            scales.as_chunks_mut().0[position_in_tile] = scale.to_le_bytes();
            for (cells, quantized) in cells.iter_mut().zip(quantized) {
                cells[position_in_tile] = quantized.cast_unsigned();
            }
        }
    }

    fn store_value(row: &mut [u8], value: &[f32]) {
        let group = group(value.len());
        let (scales, cells) = row.split_at_mut(value.len() / group * F32);
        let scales = scales.as_chunks_mut().0.iter_mut();
        let groups = value.chunks_exact(group).zip(scales).zip(cells.chunks_exact_mut(group));
        for ((value, scale), cells) in groups {
            let mut quantized = [0; GROUP];
            *scale = quantize_group(value, &mut quantized[..group], round_half_even).to_le_bytes();
            for (cell, quantized) in cells.iter_mut().zip(quantized) {
                *cell = quantized.cast_unsigned();
            }
        }
    }

    #[inline(always)]
    fn keys<S: Simd>(simd: S, tile: &[u8], size: usize, element: usize, half: usize) -> S::Floats {
        let group = group(size);
        let scales = bytes(tile, (element / group * TILE + half * LANES) * F32);
        let cells = bytes(tile, size / group * TILE * F32 + element * TILE + half * LANES);
        simd.mul(simd.load_i8(cells), simd.load_f32(scales))
    }

    #[inline(always)]
    fn value<S: Simd>(simd: S, row: &[u8], size: usize, at: usize) -> S::Floats {
        let group = group(size);
        if group < LANES {
            let values: [f32; LANES] =
                core::array::from_fn(|lane| Self::value_at(row, size, at + lane));
            return simd.load(&values);
        }
        let scale = f32::from_le_bytes(*bytes(row, at / group * F32));
        let cells = bytes(row, size / group * F32 + at);
        simd.mul(simd.load_i8(cells), simd.splat(scale))
    }

    #[inline(always)]
    fn value_at(row: &[u8], size: usize, element: usize) -> f32 {
        let group = group(size);
        let scale = f32::from_le_bytes(*bytes(row, element / group * F32));
        f32::from(row[size / group * F32 + element].cast_signed()) * scale
    }
}
