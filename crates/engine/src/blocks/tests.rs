//! Each block against plain loops, to the bit, with every instruction set of this CPU.

extern crate std;

use super::{Head, Pairing, RopeConfig, Rules, gelu_times, rotate, score_floats};
use crate::kernels::{Kernels, kernels};
use crate::load::Weights;
use crate::state::{KvCache, KvFormat, KvLayer};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_cores::{OneCore, split_together};
use bootllm_simd::{Cpu, Isa, exp};

/// Numbers without order from −1.25 to 1.25.
fn number(i: usize) -> f32 {
    ((i * 7919) % 1013) as f32 / 405.0 - 1.25
}

fn all_kernels() -> impl Iterator<Item = (Isa, Box<dyn Kernels>)> {
    let cpu = Cpu::detect();
    let own = move |isa: Isa| (isa, kernels(cpu.only(isa)));
    // An instruction set that the CPU lacks falls back on plain Rust.
    Isa::ALL.into_iter().map(own).filter(|(isa, kernels)| kernels.isa() == *isa)
}

/// What one query head finds, as plain loops over positions and elements.
fn plain_attention(
    query: &[f32],
    keys: &[Vec<f32>],
    values: &[Vec<f32>],
    seen: core::ops::Range<usize>,
    rules: Rules,
) -> Vec<f32> {
    let mut weights: Vec<f32> = Vec::new();
    for key in &keys[seen.clone()] {
        let score = query.iter().zip(key).fold(0.0f32, |sum, (q, k)| sum + q * k);
        let score = score / rules.divisor.unwrap_or((query.len() as f32).sqrt());
        weights.push(match rules.soft_cap {
            Some(cap) => cap * (1.0 - 2.0 / (exp(score / cap + score / cap) + 1.0)),
            None => score,
        });
    }
    let max = weights.iter().copied().chain(rules.sink).fold(f32::NEG_INFINITY, f32::max);
    weights.iter_mut().for_each(|weight| *weight = exp(*weight - max));
    let sum = weights.iter().fold(0.0f32, |sum, weight| sum + weight);
    let sum = rules.sink.map_or(sum, |sink| sum + exp(sink - max));
    let mut output = vec![0.0f32; query.len()];
    for (weight, value) in weights.iter().zip(&values[seen]) {
        for (output, value) in output.iter_mut().zip(value) {
            *output += weight / sum * value;
        }
    }
    output
}

#[test]
fn attention_is_that_of_plain_loops_by_every_rule() {
    let rules = [
        Rules::default(),
        Rules { divisor: Some(3.0), ..Rules::default() },
        Rules { window: Some(1), ..Rules::default() },
        Rules { window: Some(5), ..Rules::default() },
        Rules { window: Some(33), ..Rules::default() },
        Rules { soft_cap: Some(0.7), ..Rules::default() },
        Rules { sink: Some(0.3), ..Rules::default() },
        Rules { divisor: Some(2.0), window: Some(7), soft_cap: Some(1.5), sink: Some(-0.2) },
    ];
    for (isa, kernels) in all_kernels() {
        for (rules, size) in rules.into_iter().flat_map(|r| [8, 40, 64].map(|size| (r, size))) {
            for (position, tokens) in [(0, 1), (0, 6), (30, 5), (61, 9), (64, 1)] {
                let count = position + tokens;
                let row =
                    |at: usize| -> Vec<f32> { (0..size).map(|i| number(at * size + i)).collect() };
                let keys: Vec<_> = (0..count).map(row).collect();
                let values: Vec<_> = (0..count).map(|at| row(at + 500)).collect();
                let queries: Vec<_> = (0..tokens).map(|at| row(at + 900)).collect();
                let layer = KvLayer { heads: 1, head_size: size };
                let mut cache = KvCache::new(&[layer], count, KvFormat::F32).unwrap();
                cache.store(&OneCore, 0, 0, &keys.concat(), &values.concat());

                let mut output = vec![0.0; tokens * size];
                let (flat, mut scores) = (queries.concat(), vec![f32::NAN; score_floats(count)]);
                let (keys_bytes, values_bytes) = cache.head(0, 0);
                let head = Head {
                    queries: &flat,
                    stride: size,
                    start: 0,
                    size,
                    format: KvFormat::F32,
                    keys: keys_bytes,
                    values: values_bytes,
                    position,
                    rules,
                };
                let scores = std::sync::Mutex::new(&mut scores);
                split_together(&OneCore, [(&mut output[..], size, size)], |_, [mut output]| {
                    kernels.attention(&head, &mut scores.lock().unwrap(), &mut output);
                });
                for (token, found) in output.chunks_exact(size).enumerate() {
                    let end = position + token + 1;
                    let begin = end.saturating_sub(rules.window.unwrap_or(usize::MAX));
                    let expected =
                        plain_attention(&queries[token], &keys, &values, begin..end, rules);
                    assert_eq!(found, expected, "{isa}, {rules:?}, {size}, {position} + {token}");
                }
            }
        }
    }
}

#[test]
fn rope_rotates_pairs_in_both_pairings_and_leaves_the_rest_of_a_head() {
    let turns: Vec<(f32, f32)> = (0..3).map(|i| (number(i), number(i + 9))).collect();
    let heads: Vec<f32> = (0..16).map(number).collect();
    for (isa, kernels) in all_kernels() {
        for (pairing, partner) in [(Pairing::Adjacent, 1), (Pairing::Halves, 3)] {
            let mut found = heads.clone();
            // Heads of 8 values, 6 of which are rotated.
            kernels.rotate(pairing, &turns, &mut found, 8);
            let mut expected = heads.clone();
            for head in 0..2 {
                for (pair, (cos, sin)) in turns.iter().enumerate() {
                    let first = if pairing == Pairing::Adjacent { 2 * pair } else { pair };
                    let (a, b) = (8 * head + first, 8 * head + first + partner);
                    expected[a] = heads[a] * cos - heads[b] * sin;
                    expected[b] = heads[a] * sin + heads[b] * cos;
                }
            }
            assert_eq!(found, expected, "{isa}, {pairing:?}");
            assert_eq!(found[6..8], heads[6..8]);
        }
    }
    // Without cosines and sines nothing is rotated.
    let mut same = heads.clone();
    rotate(Pairing::Halves, &[], &mut same, 8);
    assert_eq!(same, heads);
}

#[test]
fn rope_s_scalings_divide_frequencies() {
    let plain = RopeConfig {
        dimensions: 8,
        base: 10_000.0,
        pairing: Pairing::Adjacent,
        divisor: 1.0,
        factors: None,
    };
    let (weights, factors) = Weights::with_vector(vec![1.0, 2.0, 4.0, 8.0]);
    let table = |config: RopeConfig| config.table(&weights, 17).unwrap();
    let original = table(plain);
    // Position 16 of a table that is scaled by 4 is position 4 of the original.
    let scaled = table(RopeConfig { divisor: 4.0, ..plain });
    assert_eq!(scaled.turns(16), original.turns(4));
    // Llama 3's factors scale each pair by its own.
    let stretched = table(RopeConfig { factors: Some(factors), ..plain });
    for (pair, position) in [(0, 16), (1, 8), (2, 4), (3, 2)] {
        assert_eq!(stretched.turns(16)[pair], original.turns(position)[pair]);
    }
    assert_eq!(plain.bytes(17), 17 * 4 * 8);
}

#[test]
fn gelu_is_its_definition_within_rounding() {
    for (isa, kernels) in all_kernels() {
        let gates: Vec<f32> = (-60..60).map(|i| i as f32 / 7.0).collect();
        let ups: Vec<f32> = (0..120).map(number).collect();
        let (mut found, mut plain) = (gates.clone(), gates.clone());
        kernels.gelu_times(&mut found, &ups);
        gelu_times(&mut plain, &ups);
        assert_eq!(found, plain, "{isa}");
        for ((&gate, &up), found) in gates.iter().zip(&ups).zip(found) {
            let x = f64::from(gate);
            let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            let expected = 0.5 * x * (1.0 + u.tanh()) * f64::from(up);
            assert!((f64::from(found) - expected).abs() < 2e-6, "{gate}: {found}, {expected}");
        }
    }
}

#[test]
fn norms_and_residuals_are_those_of_plain_loops() {
    for (isa, kernels) in all_kernels() {
        for (width, rows) in [(2, 1), (48, 5), (72, 9)] {
            let x: Vec<f32> = (0..width * rows).map(number).collect();
            let weight: Vec<f32> = (0..width).map(|i| number(i + 77)).collect();
            let mut found = vec![0.0; x.len()];
            kernels.rms_norm(&mut found, &x, &weight, 1e-5);
            for (found, x) in found.chunks_exact(width).zip(x.chunks_exact(width)) {
                let squares = x.iter().fold(0.0f32, |sum, x| sum + x * x);
                let scale = 1.0 / (squares / width as f32 + 1e-5).sqrt();
                let expected: Vec<f32> =
                    x.iter().zip(&weight).map(|(x, weight)| weight * (scale * x)).collect();
                assert_eq!(found, expected, "{isa}, {width}");
            }
            let mut sum = x.clone();
            kernels.add(&mut sum, &found);
            assert!(sum.iter().zip(x.iter().zip(&found)).all(|(sum, (a, b))| *sum == a + b));
        }
    }
}
