//! SwiGLU, the gate of the feed-forward block (Shazeer, 2020): `y = silu(gate) ∘ up`.

use super::vector::{sigmoid, vectorized};
use rayon::prelude::*;

const CHUNK: usize = 1 << 12;

/// `y = gate · σ(gate) ∘ up`.
pub fn forward(y: &mut [f32], gate: &[f32], up: &[f32]) {
    let chunks = y.par_chunks_mut(CHUNK).zip(gate.par_chunks(CHUNK)).zip(up.par_chunks(CHUNK));
    chunks.for_each(|((y, gate), up)| {
        vectorized(
            #[inline(always)]
            || {
                for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
                    *y = gate * sigmoid(gate) * up;
                }
            },
        );
    });
}

/// Replaces `gate` and `up` by their gradients, given `dy`:
/// `dgate = dy ∘ up · σ(1 + gate(1 − σ))`, `dup = dy ∘ gate · σ`.
pub fn backward(gate: &mut [f32], up: &mut [f32], dy: &[f32]) {
    let chunks = gate.par_chunks_mut(CHUNK).zip(up.par_chunks_mut(CHUNK)).zip(dy.par_chunks(CHUNK));
    chunks.for_each(|((gate, up), dy)| {
        vectorized(
            #[inline(always)]
            || {
                for ((gate, up), &dy) in gate.iter_mut().zip(up).zip(dy) {
                    let s = sigmoid(*gate);
                    let dgate = dy * *up * s * (1.0 + *gate * (1.0 - s));
                    *up = dy * *gate * s;
                    *gate = dgate;
                }
            },
        );
    });
}
