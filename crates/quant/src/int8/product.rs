//! Products: a group's integer sum is exact; it is converted once and scaled by the weight's scale,
//! then by the input's.

use super::{Group, Int8, QUAD, SCALE};
use crate::product::{AHEAD, Strip, Tiles, prepare_group};
use crate::{PANEL, Shape};
use bootllm_simd::{LANES, Simd, round_half_away};

/// A prepared group is its scale, the sum of its integers, and its quads.
impl Tiles for Int8 {
    const INTEGERS: bool = true;

    fn words<S: Simd>(shape: &Shape) -> usize {
        let group = shape.encoding.group();
        (shape.columns / group).saturating_mul(2 + group.div_ceil(QUAD) * S::WORDS)
    }

    #[inline(always)]
    fn prepare<'a, S: Simd>(
        shape: &Shape,
        x: &[f32],
        mut words: impl Iterator<Item = &'a mut u32>,
    ) {
        for group in x.chunks_exact(shape.encoding.group()) {
            prepare_group::<S>(group, round_half_away, &mut words);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const T: usize>(
        simd: S,
        shape: &Shape,
        strips: [Strip<'_>; R],
        x: &[[u32; T]],
    ) -> [[S::Floats; T]; R] {
        let group = Group::of(shape);
        let quads = group.values.div_ceil(QUAD);
        let groups = x.chunks_exact(2 + quads * S::WORDS);
        let mut sums = [[simd.splat(0.0); T]; R];
        for (number, x) in groups.enumerate() {
            let packed = strips.map(|strip| &strip.panel[number * group.bytes..][..group.bytes]);
            let [x_scales, x_sums, quads @ ..] = x else { break };
            let mut integers =
                [x_sums.map(|sum| simd.splat_integer(-S::EXCESS * sum.cast_signed())); R];
            let lines =
                packed.map(|packed| packed[PANEL * SCALE..].as_chunks::<{ PANEL * QUAD }>().0);
            for (i, quad) in quads.chunks_exact(S::WORDS).enumerate() {
                for r in 0..R {
                    let weights = strips[r].own(&lines[r][i], 0);
                    if T == 1 {
                        simd.prefetch(weights, AHEAD);
                    }
                    for t in 0..T {
                        let mut words = S::Words::default();
                        words.as_mut().iter_mut().zip(quad).for_each(|(word, q)| *word = q[t]);
                        integers[r][t] = simd.dot(integers[r][t], weights, words);
                    }
                }
            }
            for r in 0..R {
                let scales = simd.load_bytes(strips[r].own::<{ LANES * SCALE }>(packed[r], 0));
                for t in 0..T {
                    let product = simd.mul(simd.to_floats(integers[r][t]), scales);
                    let product = simd.mul(product, simd.splat(f32::from_bits(x_scales[t])));
                    sums[r][t] = simd.add(sums[r][t], product);
                }
            }
        }
        sums
    }
}
