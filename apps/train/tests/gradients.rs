//! Every gradient against finite differences.

mod common;

use bootllm_model_file::{Config, TensorRole};
use bootllm_train::network::{Batch, Network};
use bootllm_train::ops::dropout::Dropout;
use bootllm_train::parameters::{Parameters, Random};
use common::{config, parameters};

/// Sequences of different lengths, one longer than a block of attention.
fn batch(config: &Config) -> Batch {
    let mut random = Random::new(5);
    let lengths = vec![3, 70, 1, 17];
    let count = lengths.iter().sum();
    let mut tokens = || (0..count).map(|_| random.below(config.vocab_size) as u32).collect();
    Batch { tokens: tokens(), targets: tokens(), lengths }
}

/// Compares the slope of the loss along a random direction of each tensor, from the gradients, with
/// the difference of two losses.
fn check(tied_embeddings: bool, dropout: Dropout) {
    let config = config(tied_embeddings);
    let w = parameters(&config, 11);
    let batch = batch(&config);
    let mut network = Network::new(&config).unwrap();
    let mut gradients = Parameters::zeros(&config);
    let loss = network.step(&w, &mut gradients, &batch, dropout, 1.0);
    assert!(loss.is_finite() && loss > 0.0);
    let mut random = Random::new(99);
    for (role, layer) in w.tensors() {
        for attempt in 0..3 {
            let direction: Vec<f32> =
                w.tensor(role, layer).iter().map(|_| [-1.0, 1.0][random.below(2)]).collect();
            let slope: f64 = gradients
                .tensor(role, layer)
                .iter()
                .zip(&direction)
                .map(|(&g, &d)| f64::from(g) * f64::from(d))
                .sum();
            let step = 2e-4f32;
            let mut ignored = Parameters::zeros(&config);
            let mut loss_at = |sign: f32| {
                let mut moved = w.clone();
                for (value, d) in moved.tensor_mut(role, layer).iter_mut().zip(&direction) {
                    *value += sign * step * d;
                }
                network.step(&moved, &mut ignored, &batch, dropout, 1.0)
            };
            let measured = (loss_at(1.0) - loss_at(-1.0)) / (2.0 * f64::from(step));
            let size: f64 =
                gradients.tensor(role, layer).iter().map(|&g| f64::from(g).powi(2)).sum();
            // The slope along a random direction has about the size of the gradient's norm.
            let error = (slope - measured).abs() / (size.sqrt() + 1e-3);
            assert!(
                error < 0.02,
                "{role:?} {layer}, {attempt}: {slope} by the gradient, {measured} by difference"
            );
            assert!(size > 1e-6, "{role:?} {layer} has no gradient to check");
        }
    }
    assert!(gradients.values().iter().all(|g| g.is_finite()));
    let norms = w.tensors().into_iter().filter(|(role, _)| role.is_norm()).count();
    assert_eq!((norms, tied_embeddings), (2 * config.layers + 1, config.tied_embeddings));
    assert_eq!(w.range(TensorRole::Output, 0).is_empty(), tied_embeddings);
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    check(true, Dropout::NONE);
    check(false, Dropout::NONE);
}

#[test]
fn gradients_with_dropout_are_the_slopes_of_the_loss() {
    check(true, Dropout::new(0.2, 3, 4, 0));
}

#[test]
fn a_batch_equals_its_sequences_one_by_one() {
    let config = config(true);
    let w = parameters(&config, 2);
    let batch = batch(&config);
    let mut network = Network::new(&config).unwrap();
    let mut together = Parameters::zeros(&config);
    let loss = network.step(&w, &mut together, &batch, Dropout::NONE, 0.5);
    let mut apart = Parameters::zeros(&config);
    let (mut sum, mut start) = (0.0, 0);
    for &length in &batch.lengths {
        let range = start..start + length;
        let one = Batch {
            tokens: batch.tokens[range.clone()].to_vec(),
            targets: batch.targets[range].to_vec(),
            lengths: vec![length],
        };
        sum += network.step(&w, &mut apart, &one, Dropout::NONE, 0.5);
        start += length;
    }
    assert!((loss - sum).abs() < 1e-3 * loss);
    assert!((network.loss(&w, &batch) - loss).abs() < 1e-6 * loss);
    let largest = together.values().iter().fold(0.0f32, |max, g| max.max(g.abs()));
    for (a, b) in together.values().iter().zip(apart.values()) {
        assert!((a - b).abs() < 1e-4 * largest, "{a} together, {b} apart");
    }
}
