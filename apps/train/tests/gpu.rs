//! Compares the model in Burn, on Burn's CPU backend, with the explicit one.
//!
//! Compiling Burn takes long, so these tests have a command of their own (docs/training.md).
#![cfg(feature = "burn")]

mod common;

use bootllm_model_file::Config;
use bootllm_train::backend::{Backend, Device};
use bootllm_train::network::Batch;
use bootllm_train::ops::dropout::Dropout;
use bootllm_train::optimizer::{Method, Moments, OptimizerSettings};
use bootllm_train::parameters::Random;
use common::{config, parameters};

/// Batches of sequences of different lengths.
fn batches(config: &Config, seed: u64) -> Vec<(Batch, Dropout)> {
    let mut random = Random::new(seed);
    let mut batch = |lengths: &[usize]| {
        let count = lengths.iter().sum();
        let mut tokens = || (0..count).map(|_| random.below(config.vocab_size) as u32).collect();
        let batch = Batch { tokens: tokens(), targets: tokens(), lengths: lengths.to_vec() };
        (batch, Dropout::NONE)
    };
    vec![batch(&[3, 70, 1, 17]), batch(&[9, 9])]
}

const SETTINGS: OptimizerSettings = OptimizerSettings {
    method: Method::AdamW,
    rate: 1e-2,
    warm_up: 1,
    final_rate: 0.1,
    decay: 0.1,
    beta1: 0.9,
    beta2: 0.95,
    clip: 0.1,
};

/// The same weights on the CPU and in Burn.
fn both(config: &Config) -> [Box<dyn Backend>; 2] {
    [Device::Cpu, Device::Burn]
        .map(|device| device.open(parameters(config, 10), Moments::zeros(config)).unwrap())
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// The norm of the difference of two tensors, relative to that of the first.
fn difference(expected: &[f32], found: &[f32]) -> f64 {
    let difference = expected.iter().zip(found).map(|(expected, found)| expected - found);
    norm(difference) / norm(expected.iter().copied())
}

#[test]
fn burn_gives_the_loss_and_the_gradients_of_the_explicit_network() {
    for tied_embeddings in [true, false] {
        let config = config(tied_embeddings);
        let batches = batches(&config, 5);
        // With this setting the first moment is the gradient itself.
        let settings = OptimizerSettings { beta1: 0.0, clip: f32::MAX, ..SETTINGS };
        let [expected, found] = both(&config).map(|mut backend| {
            let measured = backend.loss(&batches[0].0).unwrap();
            let (loss, global_norm) = backend.gradients(&batches).unwrap();
            backend.update(global_norm, &settings, (0, 0.0)).unwrap();
            let gradients = backend.moments().unwrap().into_owned().first;
            ([measured, loss, global_norm], gradients)
        });
        for (expected, found) in expected.0.iter().zip(found.0) {
            assert!((expected - found).abs() < 1e-5 * expected, "{expected} and {found}");
        }
        for (role, layer) in expected.1.tensors() {
            let (expected, found) = (expected.1.tensor(role, layer), found.1.tensor(role, layer));
            let difference = difference(expected, found);
            println!("{role:?} {layer}: {difference:.1e}");
            assert!(difference < 1e-5, "{role:?} {layer}: {difference}");
        }
    }
}

#[test]
fn burn_makes_the_steps_of_the_explicit_trainer() {
    for method in [Method::AdamW, Method::Muon] {
        let settings = OptimizerSettings { method, ..SETTINGS };
        let config = config(method == Method::AdamW);
        let start = parameters(&config, 10);
        let [expected, found] = both(&config).map(|mut backend| {
            for step in 0..10 {
                let (loss, global_norm) = backend.gradients(&batches(&config, step)).unwrap();
                assert!(
                    loss.is_finite() && global_norm > f64::from(settings.clip),
                    "nothing is clipped"
                );
                backend.update(global_norm, &settings, (step, settings.rate_at(step, 10))).unwrap();
            }
            backend.weights().unwrap().into_owned()
        });
        for (role, layer) in start.tensors() {
            let [start, expected, found] =
                [&start, &expected, &found].map(|parameters| parameters.tensor(role, layer));
            let moved = |values: &[f32]| -> Vec<f32> {
                values.iter().zip(start).map(|(value, start)| value - start).collect()
            };
            let difference = difference(&moved(expected), &moved(found));
            println!("{method:?}, {role:?} {layer}: {difference:.1e}");
            assert!(difference < 1e-3, "{method:?}, {role:?} {layer}: {difference}");
        }
    }
}

#[test]
fn dropout_is_the_same_for_the_same_step_and_another_for_others() {
    let config = config(true);
    let [_, mut burn] = both(&config);
    let mut loss = |rate, step| {
        let batches: Vec<_> = (batches(&config, 5).into_iter())
            .map(|(batch, _)| (batch, Dropout::new(rate, 7, step, 0)))
            .collect();
        burn.gradients(&batches).unwrap().0
    };
    let without = loss(0.0, 1);
    let [first, again, other] = [1, 1, 2].map(|step| loss(0.2, step));
    assert_eq!(first, again);
    assert!(first != other && first != without);
    // Dropout makes the loss noisy but keeps its size.
    assert!((first - without).abs() < 0.5 * without, "{first} with, {without} without");
}
