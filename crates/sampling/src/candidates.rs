//! The tokens that may still be chosen.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_simd::softmax;

/// Tokens with their logits, after [`Candidates::normalize`] with their probabilities.
pub struct Candidates {
    tokens: Vec<u32>,
    values: Vec<f32>,
    /// Where a step sorts.
    sorting: Vec<(u32, f32)>,
    /// What the probabilities of all candidates add up to.
    mass: f32,
}

impl Candidates {
    pub(crate) fn with_room_for(vocab_size: usize) -> Result<Self, TryReserveError> {
        let (mut tokens, mut values, mut sorting) = (Vec::new(), Vec::new(), Vec::new());
        tokens.try_reserve_exact(vocab_size)?;
        values.try_reserve_exact(vocab_size)?;
        sorting.try_reserve_exact(vocab_size)?;
        Ok(Candidates { tokens, values, sorting, mass: 1.0 })
    }

    /// Makes every token a candidate with its logit.
    pub(crate) fn fill(&mut self, logits: &[f32]) {
        self.tokens.clear();
        self.tokens.extend(0..logits.len() as u32);
        self.values.clear();
        self.values.extend_from_slice(logits);
        self.mass = 1.0;
    }

    /// How many candidates there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The candidates' logits or probabilities, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Turns logits into probabilities.
    pub fn normalize(&mut self) {
        softmax(&mut self.values);
    }

    /// Keeps the likeliest candidates until `enough` says so of their probability together, in
    /// the order of their probability, equals in the order of their tokens. Candidates below
    /// `cutoff` are dropped before that; the likeliest stays in any case.
    pub(crate) fn keep_likeliest(&mut self, cutoff: f32, enough: impl Fn(f32) -> bool) {
        let all = self.tokens.iter().copied().zip(self.values.iter().copied());
        self.sorting.clear();
        self.sorting.extend(all.clone().filter(|&(_, value)| value >= cutoff));
        if self.sorting.is_empty() {
            // A flat distribution and a top_p below 1/n, where llama2.c reads before its array.
            self.sorting.extend(all.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))));
        }
        self.sorting.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        self.tokens.clear();
        self.values.clear();
        self.mass = 0.0;
        for &(token, value) in &self.sorting {
            self.tokens.push(token);
            self.values.push(value);
            self.mass += value;
            if enough(self.mass) {
                break;
            }
        }
    }

    /// The candidate at `coin` (in [0, 1)) of the way through the probabilities.
    pub(crate) fn draw(&self, coin: f32) -> u32 {
        let target = coin * self.mass;
        let mut reached = 0.0f32;
        for (&token, value) in self.tokens.iter().zip(&self.values) {
            reached += value;
            if target < reached {
                return token;
            }
        }
        // Rounding can leave the sum a little short.
        self.tokens.last().copied().unwrap_or(0)
    }
}
