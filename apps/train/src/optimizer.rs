//! AdamW (Loshchilov and Hutter, 2019) and Muon, the norm that gradients are clipped to, and the
//! schedule of the rate.

pub(crate) mod muon;

use crate::ops::vector::{dot, vectorized};
use crate::parameters::{Parameters, shape};
use bootllm_model_file::Config;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How gradients become changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Each weight by the mean of its gradients over the root of the mean of their squares.
    AdamW,
    /// The matrices within layers by Muon, the rest by AdamW.
    Muon,
}

/// What the optimizer is told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How gradients become changes.
    pub method: Method,
    /// The highest rate.
    pub rate: f32,
    /// Steps in which the rate rises to it.
    pub warm_up: u64,
    /// The rate at the end, as a share of the highest.
    pub final_rate: f32,
    /// Decay of weights; norms have none.
    pub decay: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of their squares.
    pub beta2: f32,
    /// The norm of all gradients that is not exceeded.
    pub clip: f32,
}

/// Added to the root of the mean square, so that nothing is divided by 0.
pub(crate) const EPSILON: f32 = 1e-8;
/// Values that a core takes at once.
const CHUNK: usize = 1 << 14;

impl Settings {
    /// The rate of a step (from 0 on) of `steps`: a linear rise, then half a cosine.
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

/// The means that AdamW keeps for each weight.
#[derive(Clone)]
pub struct Moments {
    /// Of the gradients.
    pub first: Parameters,
    /// Of their squares.
    pub second: Parameters,
}

impl Moments {
    /// Those of a run that begins.
    pub fn zeros(config: &Config) -> Self {
        Moments { first: Parameters::zeros(config), second: Parameters::zeros(config) }
    }
}

/// The norm of all values together.
pub fn norm(parameters: &Parameters) -> f64 {
    // By chunks in a fixed order, so that the sum does not depend on which core was faster.
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

/// Changes the weights by their gradients, whose norm is `norm`; `step` counts from 0.
pub fn update(
    weights: &mut Parameters,
    moments: &mut Moments,
    gradients: &Parameters,
    norm: f64,
    settings: &Settings,
    (step, rate): (u64, f32),
) {
    let &Settings { beta1, beta2, clip, .. } = settings;
    let config = *weights.config();
    let scale = if norm > f64::from(clip) { (f64::from(clip) / norm) as f32 } else { 1.0 };
    // The means begin at zero; this takes away what they lack.
    let power = (step + 1).min(1 << 30) as i32;
    let (correction1, correction2) = (1.0 - beta1.powi(power), 1.0 - beta2.powi(power));
    let mut matrices = Vec::new();
    let firsts = moments.first.tensors_mut().into_iter().map(|(_, first)| first);
    let seconds = moments.second.tensors_mut().into_iter().map(|(_, second)| second);
    let gradients =
        gradients.tensors().into_iter().map(|(part, layer)| gradients.part(part, layer));
    let tensors = weights.tensors_mut().into_iter().zip(firsts).zip(seconds).zip(gradients);
    for ((((part, weights), first), second), gradients) in tensors {
        if settings.method == Method::Muon && part.in_layers() && !part.is_norm() {
            matrices.push((part, weights, first, gradients));
            continue;
        }
        let decay = if part.is_norm() { 0.0 } else { settings.decay };
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
    matrices.into_par_iter().for_each(|(part, weights, momentum, gradients)| {
        let columns = shape(&config, part).1;
        muon::update(weights, momentum, gradients, columns, rate, settings.decay);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootllm_model_file::TensorRole;

    const SETTINGS: Settings = Settings {
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
    fn two_steps_are_those_of_the_paper() {
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
        // A norm of 4 is clipped to 1: the gradient is 0.125. All steps are then by its sign.
        update(&mut weights, &mut moments, &gradients, 4.0, &SETTINGS, (0, 0.5));
        let expected = 2.0 - 0.5 * (1.0 + 0.25 * 2.0);
        assert!((weights.part(TensorRole::Query, 0)[0] - expected).abs() < 1e-5);
        // Norms do not decay.
        assert!((weights.part(TensorRole::OutputNorm, 0)[0] - 1.5).abs() < 1e-5);
        assert!((moments.first.values()[0] - 0.0625).abs() < 1e-7);
        // Now unclipped and of the other sign.
        gradients.values_mut().fill(-0.5);
        update(&mut weights, &mut moments, &gradients, 1.0, &SETTINGS, (1, 0.5));
        let first = 0.5 * 0.0625 + 0.5 * -0.5;
        let second = 0.75 * (0.25 * 0.125 * 0.125) + 0.25 * 0.25;
        let (first, second) = (first / 0.75f32, second / (1.0 - 0.75f32 * 0.75));
        let expected = 1.5 - 0.5 * first / second.sqrt();
        assert!((weights.part(TensorRole::OutputNorm, 0)[0] - expected).abs() < 1e-5);
    }
}
