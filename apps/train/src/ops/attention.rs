//! Causal attention within each sequence, with grouped queries (Vaswani et al., 2017; Ainslie et
//! al., 2023).
//!
//! The layout is `[sequence][head][position][s]` (see [`super::rope`]), that of attention weights
//! `[sequence][head][query][key]`. A task is one key and value head of one sequence, with the query
//! heads that share it.

use super::Sequences;
use super::dropout::Mask;
use super::product::{Matrix, Store, multiply};
use super::vector::{dot, exp, max, sum, vectorized};
use rayon::prelude::*;

/// Queries per block. A block skips the keys after its last query.
const BLOCK: usize = 64;

/// The heads of a layer's attention.
#[derive(Clone, Copy)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Values per head.
    pub size: usize,
}

impl Heads {
    /// Query heads that share a key and value head.
    fn shared(self) -> usize {
        self.heads / self.kv_heads
    }

    fn scale(self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }

    /// The slice of each task: one per sequence and key and value head.
    fn split<'a>(self, values: &'a [f32], sequences: &Sequences) -> Vec<&'a [f32]> {
        let width = values.len() / sequences.tokens() / self.kv_heads;
        let each = sequences.split(values, width * self.kv_heads).into_iter();
        each.flat_map(|part| part.chunks_exact(part.len() / self.kv_heads)).collect()
    }

    fn split_mut<'a>(self, values: &'a mut [f32], sequences: &Sequences) -> Vec<&'a mut [f32]> {
        let width = values.len() / sequences.tokens() / self.kv_heads;
        let each = sequences.split_mut(values, width * self.kv_heads).into_iter();
        each.flat_map(|part| part.chunks_exact_mut(part.len() / self.kv_heads)).collect()
    }
}

/// `out = softmax(q · kᵀ / √s) · v`. Stores the attention weights for the backward pass; those that
/// dropout drops are stored with their sign flipped.
pub fn forward(
    out: &mut [f32],
    weights: &mut [f32],
    [q, k, v]: [&[f32]; 3],
    heads: Heads,
    sequences: &Sequences,
    dropout: Option<Mask>,
) {
    let s = heads.size;
    let tasks = heads.split_mut(out, sequences).into_par_iter();
    let tasks = tasks.zip(sequences.split_squares_mut(weights, heads.kv_heads, heads.shared()));
    let tasks = tasks.zip(heads.split(q, sequences)).zip(heads.split(k, sequences));
    let tasks = tasks.zip(heads.split(v, sequences)).enumerate();
    tasks.for_each(|(task, ((((out, weights), q), k), v))| {
        let length = k.len() / s;
        let each = out.chunks_exact_mut(length * s).zip(weights.chunks_exact_mut(length * length));
        for (head, ((out, weights), q)) in each.zip(q.chunks_exact(length * s)).enumerate() {
            let key = (task * heads.shared() + head) << 20;
            let rows = Rows { s, length, key, dropout };
            for start in (0..length).step_by(BLOCK) {
                rows.forward(out, weights, [q, k, v], start, heads.scale());
            }
        }
    });
}

/// One head of one sequence.
struct Rows {
    s: usize,
    length: usize,
    /// The index of this head's first weight for dropout.
    key: usize,
    dropout: Option<Mask>,
}

impl Rows {
    /// The block of queries that starts at `start`.
    fn forward(
        &self,
        out: &mut [f32],
        weights: &mut [f32],
        [q, k, v]: [&[f32]; 3],
        start: usize,
        scale: f32,
    ) {
        let &Rows { s, length, .. } = self;
        let end = length.min(start + BLOCK);
        let weights = &mut weights[start * length..end * length];
        let q = Matrix::new(&q[start * s..end * s], s);
        let (k, v) = (Matrix::new(&k[..end * s], s), Matrix::new(&v[..end * s], s));
        multiply(weights, length, q, k.transposed(), Store::Set);
        vectorized(
            #[inline(always)]
            || {
                for (row, query) in weights.chunks_exact_mut(length).zip(start..) {
                    let (seen, unseen) = row[..end].split_at_mut(query + 1);
                    softmax(seen, scale);
                    unseen.fill(0.0);
                }
            },
        );
        let out = &mut out[start * s..end * s];
        let Some(mask) = self.dropout else {
            let weights = Matrix::strided(weights, end - start, end, length);
            return multiply(out, s, weights, v, Store::Set);
        };
        let mut kept = vec![0.0; (end - start) * end];
        vectorized(
            #[inline(always)]
            || {
                let rows = weights.chunks_exact_mut(length).zip(kept.chunks_exact_mut(end));
                for ((row, kept), query) in rows.zip(start..) {
                    let place = self.key + query * length;
                    for (key, (weight, kept)) in row.iter_mut().zip(kept).enumerate() {
                        let keeps = mask.keeps(place + key);
                        *kept = if keeps { *weight * mask.scale } else { 0.0 };
                        *weight = if keeps { *weight } else { -*weight };
                    }
                }
            },
        );
        multiply(out, s, Matrix::new(&kept, end), v, Store::Set);
    }
}

/// `softmax(scores · scale)`.
#[inline(always)]
fn softmax(scores: &mut [f32], scale: f32) {
    let max = max(scores);
    for score in scores.iter_mut() {
        *score = exp((*score - max) * scale);
    }
    let total = 1.0 / sum(scores);
    for score in scores {
        *score *= total;
    }
}

/// The gradients of queries, keys and values from that of `out`.
pub fn backward(
    [dq, dk, dv]: [&mut [f32]; 3],
    dout: &[f32],
    weights: &[f32],
    [q, k, v]: [&[f32]; 3],
    heads: Heads,
    sequences: &Sequences,
    dropout: Option<Mask>,
) {
    let s = heads.size;
    let tasks = heads.split_mut(dq, sequences).into_par_iter();
    let tasks = tasks.zip(heads.split_mut(dk, sequences)).zip(heads.split_mut(dv, sequences));
    let tasks = tasks.zip(heads.split(dout, sequences));
    let tasks = tasks.zip(sequences.split_squares(weights, heads.kv_heads, heads.shared()));
    let tasks = tasks.zip(heads.split(q, sequences)).zip(heads.split(k, sequences));
    let tasks = tasks.zip(heads.split(v, sequences));
    tasks.for_each(|(((((((dq, dk), dv), dout), weights), q), k), v)| {
        let length = k.len() / s;
        dk.fill(0.0);
        dv.fill(0.0);
        let each = dq.chunks_exact_mut(length * s).zip(dout.chunks_exact(length * s));
        let each = each.zip(weights.chunks_exact(length * length));
        for (((dq, dout), weights), q) in each.zip(q.chunks_exact(length * s)) {
            for start in (0..length).step_by(BLOCK) {
                let block = Block { s, length, start, scale: heads.scale(), dropout };
                block.backward([&mut *dq, &mut *dk, &mut *dv], dout, weights, [q, k, v]);
            }
        }
    });
}

/// A block of queries of one head of one sequence, in the backward pass.
struct Block {
    s: usize,
    length: usize,
    start: usize,
    scale: f32,
    dropout: Option<Mask>,
}

impl Block {
    fn backward(
        &self,
        [dq, dk, dv]: [&mut [f32]; 3],
        dout: &[f32],
        weights: &[f32],
        [q, k, v]: [&[f32]; 3],
    ) {
        let &Block { s, length, start, .. } = self;
        let end = length.min(start + BLOCK);
        let dout = Matrix::new(&dout[start * s..end * s], s);
        let q = Matrix::new(&q[start * s..end * s], s);
        let (k, v) = (Matrix::new(&k[..end * s], s), Matrix::new(&v[..end * s], s));

        // The weights after dropout, and the gradient of the scores.
        let mut kept = vec![0.0; (end - start) * end];
        let mut dscores = vec![0.0; kept.len()];
        multiply(&mut dscores, end, dout, v.transposed(), Store::Set);
        let scale = self.dropout.map_or(1.0, |mask| mask.scale);
        vectorized(
            #[inline(always)]
            || {
                let rows = weights[start * length..].chunks_exact(length);
                let rows = rows.zip(kept.chunks_exact_mut(end)).zip(dscores.chunks_exact_mut(end));
                for ((weights, kept), dscores) in rows {
                    let weights = &weights[..end];
                    // Dropped weights are negative.
                    for ((weight, kept), dscore) in
                        weights.iter().zip(&mut *kept).zip(&mut *dscores)
                    {
                        let keeps = *weight > 0.0;
                        *kept = if keeps { *weight * scale } else { 0.0 };
                        *dscore = if keeps { *dscore * scale } else { 0.0 };
                    }
                    // A dropped weight has gradient 0, so its sign does not matter to the sum.
                    let mean = dot(weights, dscores);
                    for (dscore, weight) in dscores.iter_mut().zip(weights) {
                        *dscore = weight.abs() * (*dscore - mean) * self.scale;
                    }
                }
            },
        );
        let (kept, dscores) = (Matrix::new(&kept, end), Matrix::new(&dscores, end));
        multiply(&mut dq[start * s..end * s], s, dscores, k, Store::Set);
        multiply(&mut dk[..end * s], s, dscores.transposed(), q, Store::Add);
        multiply(&mut dv[..end * s], s, kept.transposed(), dout, Store::Add);
    }
}
