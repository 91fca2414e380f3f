#![no_std]
#![forbid(unsafe_code)]
//! From logits to a token.
//!
//! A [`Sampler`] runs a [`Chain`]: each [`Step`] changes, removes or reorders [`Candidates`], and
//! [`Select`] chooses one of those that are left. Functions in [`chain`] make the usual chains;
//! [`chain::llama2c`] draws the same tokens as llama2.c from the same seed.
//!
//! A new sampler is a new [`Step`] in `steps.rs` and a place in a chain.

extern crate alloc;

mod candidates;
pub mod chain;
mod random;
mod sampler;
mod steps;
mod vector;

pub use candidates::Candidates;
pub use chain::{Chain, SamplerSettings, Select};
pub use random::Random;
pub use sampler::Sampler;
pub use steps::{Step, Temperature, TopP};

use bootllm_simd::Cpu;

/// Why no token could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A logit is NaN or positive infinity.
    #[error("the model's output is not a number: its weights are damaged or too large")]
    NotANumber,
    /// The steps of the chain have removed every token.
    #[error("no token is left to choose from: the samplers' settings contradict each other")]
    NoCandidate,
    /// The logits are those of another model.
    #[error("the model has {found} tokens, the sampler was made for {expected}")]
    VocabularySize {
        /// How many logits there are.
        found: usize,
        /// The size of the vocabulary that the sampler was made for.
        expected: usize,
    },
}

/// The token with the largest logit, of equals the first. NaN is never the largest.
pub fn argmax(logits: &[f32]) -> u32 {
    vector::argmax(Cpu::detect(), logits) as u32
}

/// The natural logarithm of the probability that the model gives to `token`: of the softmax of its
/// logits, in `f64`.
///
/// # Panics
/// If there is no logit for the token.
pub fn log_probability(logits: &[f32], token: u32) -> Result<f64, SampleError> {
    let cpu = Cpu::detect();
    let largest = f64::from(vector::largest(cpu, logits));
    if !vector::are_numbers(cpu, logits) || largest == f64::NEG_INFINITY {
        return Err(SampleError::NotANumber);
    }
    let logit = f64::from(logits[token as usize]);
    let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - largest)).sum();
    Ok(logit - largest - libm::log(sum))
}
