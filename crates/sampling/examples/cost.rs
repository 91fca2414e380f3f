//! What sampling from a large vocabulary costs: `cargo run --release -p bootllm-sampling --example cost`.
//!
//! Three distributions: one as a trained model's, with a few tokens far above the others; normal
//! logits with a standard deviation of 3, where a nucleus has thousands of tokens; and of 1, as a
//! model with random weights gives, where it has most of the vocabulary.

use bootllm_sampling::{Random, Sampler, chain};
use std::time::Instant;

const TOKENS: usize = 262_144;
const ROUNDS: usize = 31;

/// A normally distributed number, by the method of Box and Muller.
fn normal(random: &mut Random) -> f32 {
    let (a, b) = (random.next_f32().max(1e-7), random.next_f32());
    (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
}

fn main() {
    let mut random = Random::new(7);
    let flat: Vec<f32> = (0..TOKENS).map(|_| normal(&mut random)).collect();
    let mut peaked: Vec<f32> = (0..TOKENS).map(|_| 2.5 * normal(&mut random)).collect();
    for rank in 0..40 {
        peaked[(rank * 6151 + 77) % TOKENS] = 20.0 - rank as f32 * 0.25;
    }
    let wide: Vec<f32> = (0..TOKENS).map(|_| 3.0 * normal(&mut random)).collect();
    println!("microseconds per token, {TOKENS} tokens: median (least)");
    for (name, logits) in [("peaked", &peaked), ("normal 3", &wide), ("normal 1", &flat)] {
        for (temperature, top_p) in [(0.0, 0.9), (1.0, 0.9), (0.8, 0.9), (1.0, 0.0)] {
            let chain = chain::llama2c(temperature, top_p, 1);
            let mut sampler = Sampler::new(chain, TOKENS).expect("memory");
            // Says whether two versions draw the same.
            let mut drawn = 0u32;
            let mut times: Vec<u128> = (0..ROUNDS)
                .map(|_| {
                    let start = Instant::now();
                    let token = sampler.sample(logits, &[]).expect("a token");
                    let time = start.elapsed().as_micros();
                    drawn = drawn.wrapping_mul(31).wrapping_add(token);
                    time
                })
                .collect();
            times.sort_unstable();
            let (median, least) = (times[ROUNDS / 2], times[0]);
            println!(
                "{name}, temperature {temperature}, top_p {top_p}: {median} ({least}), \
                 drawn {drawn:08x}"
            );
        }
    }
}
