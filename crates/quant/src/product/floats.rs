//! Products of floating-point weights: `acc[row] += w[row][k] * x[k]`, k ascending.

use super::{Block, HalfPanel, PREFETCH_BYTES, Scratch, TileKernel, prefetch};
use crate::f32::F32;
use crate::format::RowLayout;
use bootllm_simd::{Simd, float_ref};
use core::marker::PhantomData;

/// What a format of floating-point weights implements. A panel is `[column][row of the panel]`.
pub(crate) trait FloatWeights: Send + Sync + 'static {
    /// Bytes of a column of a panel.
    const COLUMN: usize;

    /// Loads the weights of half a column as `f32`.
    fn load<S: Simd>(simd: S, half: HalfPanel, column: &[u8]) -> S::Floats;
}

/// The kernel of a format of floating-point weights. A packed vector is its values.
pub(crate) struct Floats<W>(PhantomData<W>);

impl<W: FloatWeights> TileKernel for Floats<W> {
    const INTEGERS: bool = false;

    type Widened = Floats<F32>;

    fn block<S: Simd>(_: RowLayout) -> Block {
        Block { columns: 1, bytes: W::COLUMN, words: 1 }
    }

    #[inline(always)]
    fn pack_input<'a, S: Simd>(_: RowLayout, x: &[f32], words: impl Iterator<Item = &'a mut u32>) {
        words.zip(x).for_each(|(word, x)| *word = x.to_bits());
    }

    #[inline(always)]
    fn widen<'a, S: Simd>(
        simd: S,
        blocks: &'a [u8],
        Scratch(scratch): &'a mut Scratch,
    ) -> &'a [u8] {
        if W::COLUMN == F32::COLUMN {
            return blocks;
        }
        let columns = blocks.chunks_exact(W::COLUMN);
        let widened = &mut scratch[..columns.len() * F32::COLUMN];
        for (column, widened) in columns.zip(widened.chunks_exact_mut(F32::COLUMN)) {
            for (half, widened) in HalfPanel::BOTH.into_iter().zip(widened.as_chunks_mut().0) {
                simd.store_f32(W::load(simd, half, column), widened);
            }
        }
        widened
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const T: usize>(
        simd: S,
        _: RowLayout,
        blocks: &[u8],
        halves: [HalfPanel; R],
        x: &[[u32; T]],
        mut sums: [[S::Floats; T]; R],
    ) -> [[S::Floats; T]; R] {
        for (column, x) in blocks.chunks_exact(W::COLUMN).zip(x) {
            if T == 1 {
                prefetch(simd, column, PREFETCH_BYTES);
            }
            let weights = halves.map(|half| W::load(simd, half, column));
            // One input value is multiplied with all weights before the next one is loaded: it takes
            // one register, and the sums keep theirs.
            for (t, x) in x.iter().enumerate() {
                for (sums, &weights) in sums.iter_mut().zip(&weights) {
                    sums[t] = simd.add(sums[t], simd.scale(weights, float_ref(x)));
                }
            }
        }
        sums
    }
}
