//! Products of integer weights in blocks: `acc[row] += (isum * w_scale) * x_scale`, blocks ascending,
//! where `isum` is a block's exact sum of products, converted to `f32` once.

use super::{Block, HalfPanel, PREFETCH_BYTES, Scratch, TileKernel, prefetch};
use crate::PANEL;
use crate::format::RowLayout;
use crate::input::{Rounding, scale_of};
use bootllm_simd::{
    Simd, VECTOR_BYTES, float_ref, i8_from_integral, round_half_away, round_half_even, saturate_i8,
};
use core::hint::black_box;
use core::marker::PhantomData;

/// Columns whose bytes are adjacent in a panel.
const QUAD: usize = 4;
/// Bytes of a panel that are multiplied together: a quad of each row.
const LINE: usize = PANEL * QUAD;

/// What a format of integers implements. A panel is, block after block, the 32 rows' scales and then
/// lines of `[row][4]` bytes.
pub(crate) trait IntegerWeights: Send + Sync + 'static {
    /// How ties are rounded when the input is quantized.
    const ROUNDING: Rounding;
    /// Bytes of a scale.
    const SCALE: usize;

    /// The weights of half a line in registers.
    type Line<S: Simd>: Copy;

    /// Values in a block: those of `row`, as a constant where the format has one. Loops over it are
    /// then unrolled, which makes packing inputs twice as fast.
    fn block_len(row: RowLayout) -> usize;

    /// Lines in a block of a panel.
    fn lines(row: RowLayout) -> usize;

    /// Words of the input that a line is multiplied with.
    fn line_words<S: Simd>() -> usize;

    /// Gives the words of a quantized block to `put`, line after line.
    fn pack_input<S: Simd>(block: &[i8], put: impl FnMut(u32));

    /// What corrects a block's sum of products for the bias of its weights, given the sum of the
    /// input's integers.
    fn correction<S: Simd>(input_sum: i32) -> i32;

    /// Loads the scales of half a panel, of those of a block.
    fn scales<S: Simd>(simd: S, half: HalfPanel, scales: &[u8]) -> S::Floats;

    /// Loads the weights of half a line.
    fn load<S: Simd>(simd: S, line: &[u8; VECTOR_BYTES]) -> Self::Line<S>;

    /// Adds the products of half a line with the input's words.
    fn dot<S: Simd>(
        simd: S,
        sums: S::Integers,
        line: Self::Line<S>,
        words: impl Fn(usize) -> u32,
    ) -> S::Integers;
}

/// The kernel of a format of integers. A packed block of a vector is its scale, the correction of
/// its sums, and the words of its integers.
pub(crate) struct Integers<W>(PhantomData<W>);

/// Values that are quantized together, whole registers of them.
const CHUNK: usize = 32;

impl<W: IntegerWeights> TileKernel for Integers<W> {
    const INTEGERS: bool = true;

    type Widened = Self;

    fn block<S: Simd>(row: RowLayout) -> Block {
        let lines = W::lines(row);
        Block {
            columns: W::block_len(row),
            bytes: lines.saturating_mul(LINE).saturating_add(PANEL * W::SCALE),
            words: lines.saturating_mul(W::line_words::<S>()).saturating_add(2),
        }
    }

    #[inline(always)]
    fn widen<'a, S: Simd>(_: S, blocks: &'a [u8], _: &'a mut Scratch) -> &'a [u8] {
        blocks
    }

    #[inline(always)]
    fn pack_input<'a, S: Simd>(
        row: RowLayout,
        x: &[f32],
        mut words: impl Iterator<Item = &'a mut u32>,
    ) {
        let mut put = |word: u32| {
            if let Some(place) = words.next() {
                *place = word;
            }
        };
        let mut quantized = [0; CHUNK];
        for block in x.chunks_exact(W::block_len(row)) {
            let scale = scale_of(block);
            let mut sum = 0;
            for chunk in block.chunks(CHUNK) {
                sum += quantize::<W>(chunk, scale, &mut quantized);
            }
            put(scale.to_bits());
            put(W::correction::<S>(sum).cast_unsigned());
            for chunk in block.chunks(CHUNK) {
                // Longer blocks are quantized again, which saves a buffer for the longest.
                if block.len() > CHUNK {
                    quantize::<W>(chunk, scale, &mut quantized);
                }
                // In memory: LLVM would extract them from a vector register one by one.
                let quantized = black_box(&quantized);
                W::pack_input::<S>(&quantized[..chunk.len().next_multiple_of(QUAD)], &mut put);
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const T: usize>(
        simd: S,
        row: RowLayout,
        blocks: &[u8],
        halves: [HalfPanel; R],
        x: &[[u32; T]],
        mut sums: [[S::Floats; T]; R],
    ) -> [[S::Floats; T]; R] {
        let Block { bytes, words, .. } = Self::block::<S>(row);
        for (block, x) in blocks.chunks_exact(bytes).zip(x.chunks_exact(words)) {
            let [x_scales, corrections, x @ ..] = x else { break };
            let (scales, lines) = block.split_at(PANEL * W::SCALE);
            let mut integers = [corrections.map(|sum| simd.splat_i32(sum.cast_signed())); R];
            for (line, x) in lines.chunks_exact(LINE).zip(x.chunks_exact(W::line_words::<S>())) {
                if T == 1 {
                    prefetch(simd, line, PREFETCH_BYTES);
                }
                let weights = halves.map(|half| W::load(simd, half.of(line)));
                // One word of the input is multiplied with all weights before the next one is loaded:
                // it takes one register.
                for t in 0..T {
                    for (integers, weights) in integers.iter_mut().zip(weights) {
                        integers[t] = W::dot(simd, integers[t], weights, |word| x[word][t]);
                    }
                }
            }
            if T == 1 {
                prefetch(simd, scales, PREFETCH_BYTES);
            }
            for (r, half) in halves.into_iter().enumerate() {
                let scales = W::scales(simd, half, scales);
                for t in 0..T {
                    let product = simd.mul(simd.to_floats(integers[r][t]), scales);
                    let product = simd.scale(product, float_ref(&x_scales[t]));
                    sums[r][t] = simd.add(sums[r][t], product);
                }
            }
        }
        sums
    }
}

/// Quantizes a chunk, and fills the rest of `quantized` with zeros. Returns the sum of the integers.
#[inline(always)]
fn quantize<W: IntegerWeights>(chunk: &[f32], scale: f32, quantized: &mut [i8; CHUNK]) -> i32 {
    let mut values = [0.0; CHUNK];
    match chunk.first_chunk() {
        Some(whole) => values = *whole,
        None => values[..chunk.len()].copy_from_slice(chunk),
    }
    // Then all values are zero, or so small that they are rounded to zero.
    let scale = if scale == 0.0 { 1.0 } else { scale };
    let mut values = values.map(|value| {
        saturate_i8(match W::ROUNDING {
            Rounding::HalfAway => round_half_away(value / scale),
            Rounding::HalfEven => round_half_even(value / scale),
        })
    });
    *quantized = values.map(i8_from_integral);
    // So few integers have the same sum in any order; halves are added in vector registers.
    let mut half = CHUNK / 2;
    while half > 0 {
        for i in 0..half {
            values[i] += values[half + i];
        }
        half /= 2;
    }
    values[0] as i32
}
