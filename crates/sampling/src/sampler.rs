//! Running a chain.

use crate::{Candidates, Chain, SampleError, Select};
use alloc::collections::TryReserveError;

/// Chooses tokens by a [`Chain`].
///
/// ```
/// use bootllm_sampling::{Sampler, chain};
///
/// let mut sampler = Sampler::new(chain::llama2c(0.8, 0.9, 42), 4)?;
/// let mut text = vec![1];
/// for _ in 0..10 {
///     let logits = [0.5, 2.0, -1.0, f32::NEG_INFINITY]; // from the model
///     let token = sampler.sample(&logits, &text)?;
///     assert!(token < 3, "token 3 is impossible");
///     text.push(token);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sampler {
    chain: Chain,
    candidates: Candidates,
}

impl Sampler {
    /// A sampler for a vocabulary of this size. Takes 16 bytes per token; sampling allocates
    /// nothing.
    pub fn new(chain: Chain, vocab_size: usize) -> Result<Self, TryReserveError> {
        Ok(Sampler { chain, candidates: Candidates::new(vocab_size)? })
    }

    /// Chooses the token that follows `tokens`, which are the text so far, by the logits of the
    /// model after them: one per token of the vocabulary. The chain is told of the choice.
    pub fn sample(&mut self, logits: &[f32], tokens: &[u32]) -> Result<u32, SampleError> {
        let candidates = &mut self.candidates;
        candidates.fill(logits)?;
        for step in &mut self.chain.steps {
            step.apply(candidates, tokens);
        }
        let index = match &mut self.chain.select {
            Select::Greedy => candidates.argmax(),
            Select::Draw(random) => candidates.draw(random),
        };
        let token = *candidates.tokens().get(index).ok_or(SampleError::NoCandidate)?;
        self.accept(token);
        Ok(token)
    }

    /// Tells the chain of a token that comes next in the text and was not sampled.
    pub fn accept(&mut self, token: u32) {
        self.chain.steps.iter_mut().for_each(|step| step.accept(token));
    }

    /// Goes on in the random sequence as if a token had been drawn: llama2.c's `chat` draws one for
    /// every token of the prompt, too.
    pub fn discard_draw(&mut self) {
        if let Select::Draw(random) = &mut self.chain.select {
            random.next_f32();
        }
    }
}
