//! Products of weights that are integers in blocks: a block's sum is exact; it is converted once
//! and scaled by the weights' scale, then by the input's.

use super::{AHEAD, Block, Room, Strip, Tiles, fetch_ahead};
use crate::input::{Rounding, scale_of};
use crate::{PANEL, Shape};
use bootllm_simd::{LANES, Simd, float, round_half_away, round_half_even, saturate_i8, whole_i8};
use core::hint::black_box;
use core::marker::PhantomData;

/// Columns whose bytes lie together in a panel.
const QUAD: usize = 4;
/// Bytes of a panel that are multiplied at once: a quad of each row.
const LINE: usize = PANEL * QUAD;

/// What a format of integers adds. A panel is, block after block, the 32 rows' scales and then
/// lines of `[row][4]` bytes.
pub(crate) trait IntegerWeights: Send + Sync + 'static {
    /// Where halves go when the input is quantized.
    const ROUNDING: Rounding;
    /// Bytes of a scale.
    const SCALE: usize;

    /// Values in a block, of the weights and of the input.
    fn values(shape: &Shape) -> usize;

    /// Lines in a block of a panel.
    fn lines(shape: &Shape) -> usize;

    /// Words of the input that a line is multiplied with.
    fn words<S: Simd>() -> usize;

    /// Gives the words of a quantized block to `put`, line after line.
    fn prepare<S: Simd>(block: &[i8], put: impl FnMut(u32));

    /// What a block's sum begins with, given the sum of the input's integers: bytes are too large
    /// by some number.
    fn start<S: Simd>(sum: i32) -> i32;

    /// A strip's scales, of those of a block.
    fn scales<S: Simd>(simd: S, strip: Strip, scales: &[u8]) -> S::Floats;

    /// Adds the products of a strip's part of a line with the input's words.
    fn dot<S: Simd>(
        simd: S,
        sums: S::Integers,
        weights: &[u8; LANES * QUAD],
        words: impl Fn(usize) -> u32,
    ) -> S::Integers;
}

/// The products of a format of integers. A prepared block is its scale, what sums begin
/// with, and the words of its integers.
pub(crate) struct Blocks<W>(PhantomData<W>);

/// Values that are quantized at once, whole registers of them.
const CHUNK: usize = 32;

impl<W: IntegerWeights> Tiles for Blocks<W> {
    const INTEGERS: bool = true;

    type Unfolded = Self;

    fn block<S: Simd>(shape: &Shape) -> Block {
        let lines = W::lines(shape);
        Block {
            columns: W::values(shape),
            bytes: lines.saturating_mul(LINE).saturating_add(PANEL * W::SCALE),
            words: lines.saturating_mul(W::words::<S>()).saturating_add(2),
        }
    }

    #[inline(always)]
    fn unfold<'a, S: Simd>(_: S, blocks: &'a [u8], _: &'a mut Room) -> &'a [u8] {
        blocks
    }

    #[inline(always)]
    fn prepare<'a, S: Simd>(
        shape: &Shape,
        x: &[f32],
        mut words: impl Iterator<Item = &'a mut u32>,
    ) {
        let mut put = |word: u32| {
            if let Some(place) = words.next() {
                *place = word;
            }
        };
        let mut quantized = [0; CHUNK];
        for block in x.chunks_exact(W::values(shape)) {
            let scale = scale_of(block);
            let mut sum = 0;
            for chunk in block.chunks(CHUNK) {
                sum += quantize::<W>(chunk, scale, &mut quantized);
            }
            put(scale.to_bits());
            put(W::start::<S>(sum).cast_unsigned());
            for chunk in block.chunks(CHUNK) {
                // What is longer than a chunk is quantized again, which saves room for the longest.
                if block.len() > CHUNK {
                    quantize::<W>(chunk, scale, &mut quantized);
                }
                // They are to lie in memory: LLVM would take them out of their vector register one
                // by one.
                let quantized = black_box(&quantized);
                W::prepare::<S>(&quantized[..chunk.len().next_multiple_of(QUAD)], &mut put);
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const T: usize>(
        simd: S,
        shape: &Shape,
        blocks: &[u8],
        strips: [Strip; R],
        x: &[[u32; T]],
        mut sums: [[S::Floats; T]; R],
    ) -> [[S::Floats; T]; R] {
        let Block { bytes, words, .. } = Self::block::<S>(shape);
        for (block, x) in blocks.chunks_exact(bytes).zip(x.chunks_exact(words)) {
            let [x_scales, starts, x @ ..] = x else { break };
            let (scales, lines) = block.split_at(PANEL * W::SCALE);
            let mut integers = [starts.map(|start| simd.splat_integer(start.cast_signed())); R];
            for (line, x) in lines.chunks_exact(LINE).zip(x.chunks_exact(W::words::<S>())) {
                if T == 1 {
                    fetch_ahead(simd, line, AHEAD);
                }
                let weights = strips.map(|strip| strip.own(line));
                // An integer of the input meets all weights before the next one comes: one register
                // for it is enough.
                for t in 0..T {
                    for (integers, weights) in integers.iter_mut().zip(weights) {
                        integers[t] = W::dot(simd, integers[t], weights, |word| x[word][t]);
                    }
                }
            }
            if T == 1 {
                fetch_ahead(simd, scales, AHEAD);
            }
            for (r, strip) in strips.into_iter().enumerate() {
                let scales = W::scales(simd, strip, scales);
                for t in 0..T {
                    let product = simd.mul(simd.to_floats(integers[r][t]), scales);
                    let product = simd.scale(product, float(&x_scales[t]));
                    sums[r][t] = simd.add(sums[r][t], product);
                }
            }
        }
        sums
    }
}

/// Writes the integers of a chunk, and zeros behind them. Returns their sum.
#[inline(always)]
fn quantize<W: IntegerWeights>(chunk: &[f32], scale: f32, quantized: &mut [i8; CHUNK]) -> i32 {
    let mut values = [0.0; CHUNK];
    match chunk.first_chunk() {
        Some(whole) => values = *whole,
        None => values[..chunk.len()].copy_from_slice(chunk),
    }
    // Then all are zeros or next to nothing, and rounded to zero.
    let scale = if scale == 0.0 { 1.0 } else { scale };
    let mut values = values.map(|value| {
        saturate_i8(match W::ROUNDING {
            Rounding::HalfAway => round_half_away(value / scale),
            Rounding::HalfEven => round_half_even(value / scale),
        })
    });
    *quantized = values.map(whole_i8);
    // Sums of so few are exact in any order, and halves are added up in vector registers.
    let mut half = CHUNK / 2;
    while half > 0 {
        for i in 0..half {
            values[i] += values[half + i];
        }
        half /= 2;
    }
    values[0] as i32
}
