//! The steps of a chain.

use crate::Candidates;

/// One step between the logits and the choice: it changes logits, and removes or reorders
/// candidates.
///
/// ```
/// use bootllm_sampling::{Candidates, Step};
///
/// /// Never says the same token twice in a row.
/// struct NoStutter;
///
/// impl Step for NoStutter {
///     fn apply(&mut self, candidates: &mut Candidates, tokens: &[u32]) {
///         candidates.retain(|token, _| Some(&token) != tokens.last());
///     }
/// }
/// ```
pub trait Step: Send {
    /// Does it. `tokens` are all tokens of the text so far, the prompt's too.
    ///
    /// Nothing is to be allocated here: this runs for every token.
    fn apply(&mut self, candidates: &mut Candidates, tokens: &[u32]);

    /// Says which token comes next in the text: the one that was sampled, or another that the
    /// caller put there. A step that follows a grammar, for example, goes on in it.
    fn accept(&mut self, token: u32) {
        let _ = token;
    }
}

/// Divides logits by a positive number: above 1 makes improbable tokens more probable, below 1
/// less.
pub struct Temperature(pub f32);

impl Step for Temperature {
    fn apply(&mut self, candidates: &mut Candidates, _: &[u32]) {
        if self.0 != 1.0 {
            candidates.divide(self.0);
        }
    }
}

/// Keeps the smallest set of tokens whose probability exceeds this number (nucleus sampling,
/// Holtzman et al., 2020), the most probable first, as llama2.c's `sample_topp`. 0 or less, and 1
/// or more, keep all.
pub struct TopP(pub f32);

impl Step for TopP {
    fn apply(&mut self, candidates: &mut Candidates, _: &[u32]) {
        if self.0 > 0.0 && self.0 < 1.0 {
            // No token below this can be in the set: sorting fewer is faster.
            let cutoff = (1.0 - self.0) / candidates.len().saturating_sub(1) as f32;
            candidates.keep_most_probable(self.0, cutoff);
        }
    }
}
