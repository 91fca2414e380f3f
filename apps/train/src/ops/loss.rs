//! The output projection and the cross-entropy loss.
//!
//! The logits of a whole batch would take more memory than all else, so they and their gradients are
//! computed for a few hundred tokens at a time.

use super::product::{Matrix, Store, linear, multiply_parallel};
use super::vector::{exp, max, sum, vectorized};
use rayon::prelude::*;

/// Tokens whose logits are in memory at once.
pub const TOKENS: usize = 512;

/// Where the backward pass stores gradients, and the factor it applies.
pub struct Gradients<'a> {
    /// The gradient of `x (n, d)`, which is overwritten.
    pub dx: &'a mut [f32],
    /// The gradient of `w (vocabulary, d)`, which is added to.
    pub dw: &'a mut [f32],
    /// 1 / number of tokens, for gradients of the mean loss.
    pub scale: f32,
}

/// The sum of −ln softmax(x · wᵀ)[target] over all tokens, in nats. With `gradients`, also the
/// gradients of `scale` times that sum.
pub fn cross_entropy(
    x: &[f32],
    w: &[f32],
    d: usize,
    targets: &[u32],
    logits: &mut Vec<f32>,
    mut gradients: Option<Gradients>,
) -> f64 {
    let vocabulary = w.len() / d;
    let mut loss = 0.0;
    for (index, targets) in targets.chunks(TOKENS).enumerate() {
        let rows = index * TOKENS * d..(index * TOKENS + targets.len()) * d;
        let x = &x[rows.clone()];
        logits.resize(targets.len() * vocabulary, 0.0);
        linear::forward(logits, x, w, d);
        let scale = gradients.as_ref().map_or(0.0, |gradients| gradients.scale);
        loss += softmax_cross_entropy(logits, vocabulary, targets, scale);
        if let Some(Gradients { dx, dw, .. }) = &mut gradients {
            let w = Matrix::new(w, d);
            let dlogits = Matrix::new(logits, vocabulary);
            multiply_parallel(&mut dx[rows], d, dlogits, w, Store::Set);
            linear::backward_weights(dw, logits, x, d);
        }
    }
    loss
}

/// The summed loss of all rows. Replaces the logits by their gradients, `scale · (softmax −
/// target)`.
fn softmax_cross_entropy(
    logits: &mut [f32],
    vocabulary: usize,
    targets: &[u32],
    scale: f32,
) -> f64 {
    let rows = logits.par_chunks_mut(vocabulary).zip(targets).with_min_len(8);
    let losses: Vec<f64> = rows
        .map(|(row, &target)| {
            vectorized(
                #[inline(always)]
                || {
                    let max = max(row);
                    let target_logit = row[target as usize] - max;
                    for logit in row.iter_mut() {
                        *logit = exp(*logit - max);
                    }
                    let total = sum(row);
                    for logit in row.iter_mut() {
                        *logit *= scale / total;
                    }
                    row[target as usize] -= scale;
                    f64::from(total.ln() - target_logit)
                },
            )
        })
        .collect();
    losses.iter().sum()
}
