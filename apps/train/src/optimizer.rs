//! AdamW (Loshchilov and Hutter, 2019) and Muon, gradient clipping, and the learning rate schedule.

pub(crate) mod muon;

use crate::ops::vector::{dot, vectorized};
use crate::parameters::{Parameters, shape};
use bootllm_model_file::Config;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// AdamW for all tensors.
    AdamW,
    /// Muon for the matrices within layers, AdamW for the rest.
    Muon,
}

/// The hyperparameters of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSettings {
    /// The optimizer.
    pub method: Method,
    /// Peak learning rate.
    pub rate: f32,
    /// Steps in which the learning rate rises to its peak.
    pub warm_up: u64,
    /// Learning rate of the last step, as a share of the peak.
    pub final_rate: f32,
    /// Weight decay, of matrices only.
    pub decay: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Global norm to which gradients are clipped.
    pub clip: f32,
}

/// Added to the root of the second moment to avoid dividing by 0.
pub(crate) const EPSILON: f32 = 1e-8;
/// Values per task.
const CHUNK: usize = 1 << 14;

impl OptimizerSettings {
    /// The learning rate of a step (from 0 on) of `steps`: linear warm-up, then half a cosine.
    pub fn rate_at(&self, step: u64, steps: u64) -> f32 {
        if step < self.warm_up {
            return self.rate * (step + 1) as f32 / self.warm_up as f32;
        }
        let rest = steps.saturating_sub(self.warm_up).max(1);
        let progress = ((step - self.warm_up) as f64 / rest as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (core::f64::consts::PI * progress).cos()) as f32;
        self.rate * (self.final_rate + (1.0 - self.final_rate) * cosine)
    }
}

/// AdamW's moments of each weight.
#[derive(Clone)]
pub struct Moments {
    /// The mean of the gradients.
    pub first: Parameters,
    /// The mean of their squares.
    pub second: Parameters,
}

impl Moments {
    /// Zeros, for a new run.
    pub fn zeros(config: &Config) -> Self {
        Moments { first: Parameters::zeros(config), second: Parameters::zeros(config) }
    }
}

/// The global norm: that of all values together.
pub fn norm(parameters: &Parameters) -> f64 {
    // Chunks are added in order, so the sum does not depend on which core was faster.
    let chunks = parameters.values().par_chunks(CHUNK);
    let sums: Vec<f64> = chunks
        .map(|chunk| {
            vectorized(
                #[inline(always)]
                || f64::from(dot(chunk, chunk)),
            )
        })
        .collect();
    sums.iter().sum::<f64>().sqrt()
}

/// Updates the weights by their gradients, whose global norm is `norm`. `step` is the step's number,
/// from 0 on, and its learning rate.
pub fn update(
    weights: &mut Parameters,
    moments: &mut Moments,
    gradients: &Parameters,
    norm: f64,
    settings: &OptimizerSettings,
    (step, rate): (u64, f32),
) {
    let &OptimizerSettings { beta1, beta2, clip, .. } = settings;
    let config = *weights.config();
    let scale = if norm > f64::from(clip) { (f64::from(clip) / norm) as f32 } else { 1.0 };
    // Bias correction, because the moments start at zero.
    let power = (step + 1).min(1 << 30) as i32;
    let (correction1, correction2) = (1.0 - beta1.powi(power), 1.0 - beta2.powi(power));
    let mut matrices = Vec::new();
    let firsts = moments.first.tensors_mut().into_iter().map(|(_, first)| first);
    let seconds = moments.second.tensors_mut().into_iter().map(|(_, second)| second);
    let gradients =
        gradients.tensors().into_iter().map(|(role, layer)| gradients.tensor(role, layer));
    let tensors = weights.tensors_mut().into_iter().zip(firsts).zip(seconds).zip(gradients);
    for ((((role, weights), first), second), gradients) in tensors {
        if settings.method == Method::Muon && role.in_layers() && !role.is_norm() {
            matrices.push((role, weights, first, gradients));
            continue;
        }
        let decay = if role.is_norm() { 0.0 } else { settings.decay };
        let chunks = weights.par_chunks_mut(CHUNK).zip(first.par_chunks_mut(CHUNK));
        let chunks = chunks.zip(second.par_chunks_mut(CHUNK)).zip(gradients.par_chunks(CHUNK));
        chunks.for_each(|(((weights, first), second), gradients)| {
            vectorized(
                #[inline(always)]
                || {
                    let each = weights.iter_mut().zip(first).zip(second).zip(gradients);
                    for (((weight, first), second), gradient) in each {
                        let gradient = gradient * scale;
                        *first = beta1 * *first + (1.0 - beta1) * gradient;
                        *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
                        let size = (*second / correction2).sqrt() + EPSILON;
                        *weight -= rate * (*first / correction1 / size + decay * *weight);
                    }
                },
            );
        });
    }
    matrices.into_par_iter().for_each(|(role, weights, momentum, gradients)| {
        let columns = shape(&config, role).1;
        muon::update(weights, momentum, gradients, columns, rate, settings.decay);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootllm_model_file::TensorRole;

    const SETTINGS: OptimizerSettings = OptimizerSettings {
        method: Method::AdamW,
        rate: 0.5,
        warm_up: 2,
        final_rate: 0.1,
        decay: 0.25,
        beta1: 0.5,
        beta2: 0.75,
        clip: 1.0,
    };

    #[test]
    fn the_rate_rises_and_falls() {
        let rates: Vec<f32> = (0..=6).map(|step| SETTINGS.rate_at(step, 6)).collect();
        assert_eq!(rates[..3], [0.25, 0.5, 0.5]);
        assert!((rates[4] - 0.5 * 0.55).abs() < 1e-6);
        assert!((rates[6] - 0.05).abs() < 1e-6);
        assert_eq!(SETTINGS.rate_at(100, 6), rates[6]);
    }

    #[test]
    fn two_steps_follow_the_paper() {
        let config = Config {
            dim: 2,
            hidden_dim: 1,
            layers: 1,
            heads: 1,
            kv_heads: 1,
            vocab_size: 1,
            context: 1,
            tied_embeddings: true,
            norm_epsilon: Config::NORM_EPSILON,
            rope_base: Config::ROPE_BASE,
        };
        let mut weights = Parameters::zeros(&config);
        weights.values_mut().fill(2.0);
        let mut moments = Moments::zeros(&config);
        let mut gradients = Parameters::zeros(&config);
        gradients.values_mut().fill(0.5);
        let count = gradients.values().len() as f64;
        assert!((norm(&gradients) - 0.5 * count.sqrt()).abs() < 1e-6);
        // A norm of 4 is clipped to 1, so the gradient is 0.125. The first step has the size of the rate.
        update(&mut weights, &mut moments, &gradients, 4.0, &SETTINGS, (0, 0.5));
        let expected = 2.0 - 0.5 * (1.0 + 0.25 * 2.0);
        assert!((weights.tensor(TensorRole::Query, 0)[0] - expected).abs() < 1e-5);
        // Norms do not decay.
        assert!((weights.tensor(TensorRole::OutputNorm, 0)[0] - 1.5).abs() < 1e-5);
        assert!((moments.first.values()[0] - 0.0625).abs() < 1e-7);
        // Not clipped, with the opposite sign.
        gradients.values_mut().fill(-0.5);
        update(&mut weights, &mut moments, &gradients, 1.0, &SETTINGS, (1, 0.5));
        let first = 0.5 * 0.0625 + 0.5 * -0.5;
        let second = 0.75 * (0.25 * 0.125 * 0.125) + 0.25 * 0.25;
        let (first, second) = (first / 0.75f32, second / (1.0 - 0.75f32 * 0.75));
        let expected = 1.5 - 0.5 * first / second.sqrt();
        assert!((weights.tensor(TensorRole::OutputNorm, 0)[0] - expected).abs() < 1e-5);
    }
}
