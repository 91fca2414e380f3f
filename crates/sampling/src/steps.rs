//! The steps of the chain.

use crate::Candidates;

/// One sampler: changes the candidates or their values.
pub trait Step: Send {
    /// Does it. Candidates come with logits before [`Softmax`], with probabilities after it.
    fn apply(&mut self, candidates: &mut Candidates);
}

/// Divides logits by a temperature.
pub struct Temperature(pub f32);

impl Step for Temperature {
    fn apply(&mut self, candidates: &mut Candidates) {
        for logit in candidates.values_mut() {
            *logit /= self.0;
        }
    }
}

/// Turns logits into probabilities.
pub struct Softmax;

impl Step for Softmax {
    fn apply(&mut self, candidates: &mut Candidates) {
        candidates.normalize();
    }
}

/// Keeps the smallest set of tokens whose probability exceeds this number (nucleus sampling,
/// Holtzman et al., 2020), as llama2.c's `sample_topp`.
pub struct TopP(pub f32);

impl Step for TopP {
    fn apply(&mut self, candidates: &mut Candidates) {
        // No token below this can be part of the result: sorting fewer is faster.
        let cutoff = (1.0 - self.0) / (candidates.len().saturating_sub(1)) as f32;
        candidates.keep_likeliest(cutoff, |reached| reached > self.0);
    }
}
