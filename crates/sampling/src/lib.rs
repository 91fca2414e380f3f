#![no_std]
#![forbid(unsafe_code)]
//! From logits to a token.
//!
//! A [`Sampler`] without temperature takes the likeliest token. Otherwise the logits go through a
//! chain: each [`Step`] changes the candidates, and of those that are left one is drawn with
//! [`Random`]. All of it runs over the whole vocabulary, in llama2.c's order and arithmetic, so
//! that the same seed draws the same tokens. A new sampler is a new [`Step`] in [`chain`].

extern crate alloc;

mod candidates;
mod random;
mod steps;

pub use candidates::Candidates;
pub use random::Random;
pub use steps::{Softmax, Step, Temperature, TopP};

use alloc::boxed::Box;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// What logits are divided by: 0 always takes the likeliest token, 1 draws from the model's
    /// own distribution, more is bolder.
    pub temperature: f32,
    /// Only the likeliest tokens that together have this probability are drawn from; 0 or 1 and
    /// more: all are.
    pub top_p: f32,
}

/// llama2.c's defaults.
impl Default for Settings {
    fn default() -> Self {
        Settings { temperature: 1.0, top_p: 0.9 }
    }
}

/// Below this, logits divided by the temperature could be infinite, and the likeliest token would
/// have all of the probability anyway.
const COLDEST: f32 = 1e-30;

/// Why no token could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// The model's output is no number.
    #[error("the model's output is not a number: its weights are damaged or too large")]
    NotANumber,
}

/// The steps between logits and the draw, in llama2.c's order.
pub fn chain(settings: &Settings) -> Vec<Box<dyn Step>> {
    let mut steps: Vec<Box<dyn Step>> = Vec::new();
    steps.push(Box::new(Temperature(settings.temperature)));
    steps.push(Box::new(Softmax));
    if settings.top_p > 0.0 && settings.top_p < 1.0 {
        steps.push(Box::new(TopP(settings.top_p)));
    }
    steps
}

/// Chooses tokens.
pub struct Sampler {
    /// `None`: always the likeliest.
    steps: Option<Vec<Box<dyn Step>>>,
    random: Random,
    candidates: Candidates,
}

impl Sampler {
    /// A sampler for a vocabulary of this size. The same seed gives the same draws.
    pub fn new(settings: &Settings, seed: u64, vocab_size: usize) -> Result<Self, TryReserveError> {
        let steps = (settings.temperature > COLDEST).then(|| chain(settings));
        let candidates = Candidates::with_room_for(vocab_size)?;
        Ok(Sampler { steps, random: Random::new(seed), candidates })
    }

    /// Chooses a token. What is in `logits` afterwards is of no use.
    pub fn sample(&mut self, logits: &mut [f32]) -> Result<u32, SampleError> {
        check(logits)?;
        let Some(steps) = &mut self.steps else {
            return Ok(likeliest(logits));
        };
        self.candidates.fill(logits);
        for step in steps {
            step.apply(&mut self.candidates);
        }
        Ok(self.candidates.draw(self.random.next_f32()))
    }

    /// Goes on in the random sequence as if a token had been drawn.
    pub fn skip(&mut self) {
        if self.steps.is_some() {
            self.random.next_f32();
        }
    }
}

/// Negative infinity only says that a token is impossible.
fn check(logits: &[f32]) -> Result<(), SampleError> {
    if logits.iter().any(|&logit| logit.is_nan() || logit == f32::INFINITY) {
        return Err(SampleError::NotANumber);
    }
    Ok(())
}

/// The natural logarithm of the probability that the model gives to this token: of the softmax of
/// its logits, in `f64`.
///
/// # Panics
/// If there is no logit for the token.
pub fn log_probability(logits: &[f32], token: u32) -> Result<f64, SampleError> {
    check(logits)?;
    let logit = f64::from(logits[token as usize]);
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    if largest == f64::NEG_INFINITY {
        return Err(SampleError::NotANumber);
    }
    let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - largest)).sum();
    Ok(logit - largest - libm::log(sum))
}

/// The token with the largest logit, of equals the first.
pub fn likeliest(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, &logit) in (0..).zip(logits) {
        if logit > best.1 {
            best = (token, logit);
        }
    }
    best.0
}
