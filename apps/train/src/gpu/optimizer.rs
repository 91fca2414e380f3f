//! The updates of [`crate::optimizer`] with Burn's tensors. Burn's own optimizers clip each tensor by
//! its own norm instead of the global norm.

use crate::optimizer::muon::{COEFFICIENTS, MOMENTUM, ROUNDS, SIZE};
use crate::optimizer::{EPSILON, OptimizerSettings};
use burn::tensor::Tensor;

/// A tensor of weights and its two moments.
pub struct Weight<'a> {
    /// The weights.
    pub values: &'a mut Tensor<2>,
    /// The first moment.
    pub first: &'a mut Tensor<2>,
    /// The second moment.
    pub second: &'a mut Tensor<2>,
}

/// AdamW, with gradients times `scale`; `step` counts from 0.
pub fn adamw(
    weight: Weight,
    gradient: Tensor<2>,
    scale: f32,
    settings: &OptimizerSettings,
    decay: f32,
    (step, rate): (u64, f32),
) {
    let &OptimizerSettings { beta1, beta2, .. } = settings;
    let power = (step + 1).min(1 << 30) as i32;
    let (correction1, correction2) = (1.0 - beta1.powi(power), 1.0 - beta2.powi(power));
    let gradient = gradient * scale;
    let first = weight.first.clone() * beta1 + gradient.clone() * (1.0 - beta1);
    let second = weight.second.clone() * beta2 + gradient.square() * (1.0 - beta2);
    let size = (second.clone() / correction2).sqrt() + EPSILON;
    let change = first.clone() / correction1 / size + weight.values.clone() * decay;
    *weight.values = weight.values.clone() - change * rate;
    (*weight.first, *weight.second) = (first, second);
}

/// Muon, which has only a first moment.
pub fn muon(weight: Weight, gradient: Tensor<2>, rate: f32, decay: f32) {
    let mean = weight.first.clone() * MOMENTUM + gradient.clone() * (1.0 - MOMENTUM);
    let direction = orthogonal(mean.clone() * MOMENTUM + gradient * (1.0 - MOMENTUM));
    let [rows, columns] = direction.dims();
    let scale = rate * SIZE * (rows.max(columns) as f32).sqrt();
    let values = weight.values.clone();
    *weight.values = values.clone() - direction * scale - values * (rate * decay);
    *weight.first = mean;
}

/// Brings every singular value of a matrix near 1 (Newton-Schulz iteration).
fn orthogonal(x: Tensor<2>) -> Tensor<2> {
    let [a, b, c] = COEFFICIENTS;
    let [rows, columns] = x.dims();
    // The Gram matrix of the shorter side.
    let turned = rows > columns;
    let mut x = if turned { x.transpose() } else { x };
    // Zeros stay zeros: a norm of 0 must not turn them into NaN.
    let norm = x.clone().square().sum().sqrt().clamp_min(f32::MIN_POSITIVE);
    x = x / norm.reshape([1, 1]);
    for _ in 0..ROUNDS {
        let gram = x.clone().matmul(x.clone().transpose());
        let polynomial = gram.clone() * b + gram.clone().matmul(gram) * c;
        x = x.clone() * a + polynomial.matmul(x);
    }
    if turned { x.transpose() } else { x }
}
