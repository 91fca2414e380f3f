//! Products of weights that are floating point: `acc[row] += w[row][k] * x[k]`, k ascending.

use super::{AHEAD, Block, Room, Strip, Tiles, fetch_ahead};
use crate::Shape;
use crate::f32::F32;
use bootllm_simd::{Simd, float};
use core::marker::PhantomData;

/// What a format of floating-point weights adds. A panel is `[column][row of the panel]`.
pub(crate) trait FloatWeights: Send + Sync + 'static {
    /// Bytes of a column of a panel.
    const COLUMN: usize;

    /// A strip's weights in a column, as `f32`.
    fn load<S: Simd>(simd: S, strip: Strip, column: &[u8]) -> S::Floats;
}

/// The products of a format of floating-point weights. A prepared vector is its values.
pub(crate) struct Floats<W>(PhantomData<W>);

impl<W: FloatWeights> Tiles for Floats<W> {
    const INTEGERS: bool = false;

    type Unfolded = Floats<F32>;

    fn block<S: Simd>(_: &Shape) -> Block {
        Block { columns: 1, bytes: W::COLUMN, words: 1 }
    }

    #[inline(always)]
    fn prepare<'a, S: Simd>(_: &Shape, x: &[f32], words: impl Iterator<Item = &'a mut u32>) {
        words.zip(x).for_each(|(word, x)| *word = x.to_bits());
    }

    #[inline(always)]
    fn unfold<'a, S: Simd>(simd: S, blocks: &'a [u8], Room(room): &'a mut Room) -> &'a [u8] {
        if W::COLUMN == F32::COLUMN {
            return blocks;
        }
        let columns = blocks.chunks_exact(W::COLUMN);
        let unfolded = &mut room[..columns.len() * F32::COLUMN];
        for (column, unfolded) in columns.zip(unfolded.chunks_exact_mut(F32::COLUMN)) {
            for (strip, unfolded) in Strip::BOTH.into_iter().zip(unfolded.as_chunks_mut().0) {
                simd.store_bytes(W::load(simd, strip, column), unfolded);
            }
        }
        unfolded
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const T: usize>(
        simd: S,
        _: &Shape,
        blocks: &[u8],
        strips: [Strip; R],
        x: &[[u32; T]],
        mut sums: [[S::Floats; T]; R],
    ) -> [[S::Floats; T]; R] {
        for (column, x) in blocks.chunks_exact(W::COLUMN).zip(x) {
            if T == 1 {
                fetch_ahead(simd, column, AHEAD);
            }
            let weights = strips.map(|strip| W::load(simd, strip, column));
            // An input value meets all weights before the next one comes: one register for it is
            // enough, and the sums keep theirs.
            for (t, x) in x.iter().enumerate() {
                for (sums, &weights) in sums.iter_mut().zip(&weights) {
                    sums[t] = simd.add(sums[t], simd.scale(weights, float(x)));
                }
            }
        }
        sums
    }
}
