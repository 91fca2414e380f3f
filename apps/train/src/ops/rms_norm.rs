//! RMSNorm (Zhang and Sennrich, 2019): `y = w ∘ x / rms(x)`, row by row.

use super::vector::{dot, vectorized};
use rayon::prelude::*;

/// Added to the mean square, as in llama2.c.
pub const EPSILON: f32 = 1e-5;
/// Rows per task.
const ROWS: usize = 64;

/// `y (n, d) = w ∘ x · scale`, where `scale (n) = 1 / √(mean(x²) + ε)` is stored for the backward pass.
pub fn forward(y: &mut [f32], scale: &mut [f32], x: &[f32], w: &[f32]) {
    let d = w.len();
    let blocks = y.par_chunks_mut(ROWS * d).zip(scale.par_chunks_mut(ROWS));
    blocks.zip(x.par_chunks(ROWS * d)).for_each(|((y, scale), x)| {
        vectorized(
            #[inline(always)]
            || {
                for ((y, scale), x) in y.chunks_mut(d).zip(scale).zip(x.chunks(d)) {
                    *scale = 1.0 / (dot(x, x) / d as f32 + EPSILON).sqrt();
                    for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                        *y = x * *scale * w;
                    }
                }
            },
        );
    });
}

/// With `t = dy ∘ w`: `dx += t·scale − x · mean(t ∘ x) · scale³` and `dw += Σ dy ∘ x · scale`.
pub fn backward(dx: &mut [f32], dw: &mut [f32], dy: &[f32], x: &[f32], scale: &[f32], w: &[f32]) {
    let d = w.len();
    let blocks = dx.par_chunks_mut(ROWS * d).zip(dy.par_chunks(ROWS * d));
    let blocks = blocks.zip(x.par_chunks(ROWS * d)).zip(scale.par_chunks(ROWS));
    // Each block has its own partial sum of `dw`. They are added in order, so the result does not
    // depend on which core was faster.
    let partial_sums: Vec<Vec<f32>> = blocks
        .map(|(((dx, dy), x), scale)| {
            let (mut partial, mut t) = (vec![0.0; d], vec![0.0; d]);
            vectorized(
                #[inline(always)]
                || {
                    let rows = dx.chunks_mut(d).zip(dy.chunks(d)).zip(x.chunks(d)).zip(scale);
                    for (((dx, dy), x), &scale) in rows {
                        for i in 0..d {
                            t[i] = dy[i] * w[i];
                            partial[i] += dy[i] * x[i] * scale;
                        }
                        let mean = dot(&t, x) / d as f32 * scale * scale * scale;
                        for i in 0..d {
                            dx[i] += t[i] * scale - x[i] * mean;
                        }
                    }
                },
            );
            partial
        })
        .collect();
    for partial in partial_sums {
        for (dw, partial) in dw.iter_mut().zip(partial) {
            *dw += partial;
        }
    }
}
