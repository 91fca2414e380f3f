//! The classifier and the cross-entropy behind it.
//!
//! The logits of a batch are the largest thing there is, so they are made for a few hundred tokens
//! at a time, and with them the gradients.

use super::product::{By, Into, Matrix, linear, multiply};
use super::vector::{exp, max, sum, vectorized};
use rayon::prelude::*;

/// Tokens whose logits are kept at once.
pub const TOKENS: usize = 512;

/// The gradients on the way back, and the scale of the loss in them.
pub struct Gradients<'a> {
    /// With respect to `x (n, d)`.
    pub dx: &'a mut [f32],
    /// With respect to `w (vocabulary, d)`; they are added.
    pub dw: &'a mut [f32],
    /// 1 / the tokens over which the mean is taken.
    pub scale: f32,
}

/// The sum over all tokens of −ln softmax(x · wᵀ)[target], in nats, and the gradients of that sum
/// times `scale` if they are asked for.
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
            multiply(&mut dx[rows], d, dlogits, w, Into::Set, By::Cores);
            linear::backward_weights(dw, logits, x, d);
        }
    }
    loss
}

/// The loss of each row of logits, summed; the logits become `scale · (softmax − target)`.
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
