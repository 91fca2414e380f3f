//! Products: `acc[row] += w[row][k] * x[k]`, k ascending.

use super::{F32, VALUE};
use crate::product::{AHEAD, Strip, Tiles};
use crate::{PANEL, Shape};
use bootllm_simd::Simd;

/// A prepared vector is its values, as they are.
impl Tiles for F32 {
    const INTEGERS: bool = false;

    fn words<S: Simd>(shape: &Shape) -> usize {
        shape.columns
    }

    #[inline(always)]
    fn prepare<'a, S: Simd>(_: &Shape, x: &[f32], words: impl Iterator<Item = &'a mut u32>) {
        words.zip(x).for_each(|(word, x)| *word = x.to_bits());
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const T: usize>(
        simd: S,
        _: &Shape,
        strips: [Strip<'_>; R],
        x: &[[u32; T]],
    ) -> [[S::Floats; T]; R] {
        let columns =
            strips.map(|strip| &strip.panel.as_chunks::<{ PANEL * VALUE }>().0[..x.len()]);
        let mut sums = [[simd.splat(0.0); T]; R];
        for (k, x) in x.iter().enumerate() {
            for r in 0..R {
                let weights = strips[r].own(&columns[r][k], 0);
                if T == 1 {
                    simd.prefetch(weights, AHEAD);
                }
                let weights = simd.load_bytes(weights);
                for t in 0..T {
                    let product = simd.mul(weights, simd.splat(f32::from_bits(x[t])));
                    sums[r][t] = simd.add(sums[r][t], product);
                }
            }
        }
        sums
    }
}
