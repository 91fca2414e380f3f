//! Chains: the steps between logits and a token, and the choice at their end.

use crate::{Random, Step, Temperature, TopP};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Steps in their order, and how the token is chosen after them.
pub struct Chain {
    pub(crate) steps: Vec<Box<dyn Step>>,
    pub(crate) select: Select,
}

/// How one of the candidates is chosen.
#[derive(Clone, Debug)]
pub enum Select {
    /// The one with the largest logit, of equals the first.
    Greedy,
    /// One at random, each with its probability.
    Draw(Random),
}

impl Chain {
    /// A chain without steps.
    pub fn new(select: Select) -> Self {
        Chain { steps: Vec::new(), select }
    }

    /// Adds a step after those that are there.
    #[must_use]
    pub fn then(mut self, step: impl Step + 'static) -> Self {
        self.steps.push(Box::new(step));
        self
    }
}

/// Below this temperature a quotient could be infinite, and the most probable token would have all
/// of the probability anyway.
const COLDEST: f32 = 1e-30;

/// Always the most probable token.
pub fn greedy() -> Chain {
    Chain::new(Select::Greedy)
}

/// llama2.c's `sample`: temperature, top-p, and a draw from one random number per token; the same
/// seed gives the same tokens. Temperature 0 is [`greedy`], top-p 0 or 1 draws from all tokens.
pub fn llama2c(temperature: f32, top_p: f32, seed: u64) -> Chain {
    if temperature > COLDEST {
        let draw = Select::Draw(Random::new(seed));
        Chain::new(draw).then(Temperature(temperature)).then(TopP(top_p))
    } else {
        greedy()
    }
}

/// What users set of [`llama2c`]'s chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerSettings {
    /// What logits are divided by: 0 always takes the most probable token, 1 draws from the
    /// model's own distribution, more is bolder.
    pub temperature: f32,
    /// Only the most probable tokens that together have this probability are drawn from; 0, or 1
    /// and more: all are.
    pub top_p: f32,
}

/// llama2.c's defaults.
impl Default for SamplerSettings {
    fn default() -> Self {
        SamplerSettings { temperature: 1.0, top_p: 0.9 }
    }
}

impl SamplerSettings {
    /// The chain with these settings.
    pub fn chain(&self, seed: u64) -> Chain {
        llama2c(self.temperature, self.top_p, seed)
    }
}
