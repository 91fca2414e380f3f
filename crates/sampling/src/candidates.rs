//! The tokens that may still be chosen.

use crate::vector::{self, Normalizer};
use crate::{SampleError, random::Random};
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_simd::Cpu;

/// The candidates for the next token, in order, each with its logit.
///
/// At first they are all tokens of the vocabulary in the order of their numbers. Probabilities are
/// computed when somebody asks for them: most tokens of a large vocabulary never need one.
pub struct Candidates {
    /// The candidates' tokens are the first `len`. From place `disturbed` on, every place holds its
    /// own number, so that only the places before have to be put right for the next token.
    tokens: Vec<u32>,
    logits: Vec<f32>,
    len: usize,
    disturbed: usize,
    normalizer: Option<Normalizer>,
    /// Whether candidates were removed since the normalizer was computed, so that the
    /// probabilities no longer add up to 1.
    removed: bool,
    /// Where candidates are sorted.
    entries: Vec<u64>,
    cpu: Cpu,
}

impl Candidates {
    pub(crate) fn new(vocab_size: usize) -> Result<Self, TryReserveError> {
        let (mut tokens, mut logits, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        tokens.try_reserve_exact(vocab_size)?;
        logits.try_reserve_exact(vocab_size)?;
        entries.try_reserve_exact(vocab_size)?;
        tokens.extend(0..vocab_size as u32);
        logits.resize(vocab_size, 0.0);
        Ok(Candidates {
            tokens,
            logits,
            len: vocab_size,
            disturbed: 0,
            normalizer: None,
            removed: false,
            entries,
            cpu: Cpu::detect(),
        })
    }

    /// Makes every token a candidate with its logit.
    pub(crate) fn fill(&mut self, logits: &[f32]) -> Result<(), SampleError> {
        if logits.len() != self.logits.len() {
            let (found, expected) = (logits.len(), self.logits.len());
            return Err(SampleError::VocabularySize { found, expected });
        }
        for (place, token) in (0..).zip(&mut self.tokens[..self.disturbed]) {
            *token = place;
        }
        (self.len, self.disturbed) = (logits.len(), 0);
        (self.normalizer, self.removed) = (None, false);
        match vector::copy(self.cpu, logits, &mut self.logits) {
            true => Ok(()),
            false => Err(SampleError::NotANumber),
        }
    }

    /// How many candidates there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The candidates' tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens[..self.len]
    }

    /// The candidates' logits, in the order of [`Candidates::tokens`].
    pub fn logits(&self) -> &[f32] {
        &self.logits[..self.len]
    }

    /// The candidates' logits, to be changed. Probabilities follow from the new ones.
    pub fn logits_mut(&mut self) -> &mut [f32] {
        (self.normalizer, self.removed) = (None, false);
        &mut self.logits[..self.len]
    }

    /// The index of a token among the candidates. It is found at once where no step before has
    /// moved it.
    pub fn position(&self, token: u32) -> Option<usize> {
        match self.tokens().get(token as usize) {
            Some(&own) if own == token => Some(token as usize),
            _ => self.tokens().iter().position(|&candidate| candidate == token),
        }
    }

    /// The probability of the candidate at `index`: the softmax of the logits of all that were
    /// candidates when it was first asked for since a logit changed.
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn probability(&mut self, index: usize) -> f32 {
        let normalizer = self.normalizer();
        normalizer.probability(self.logits()[index])
    }

    /// Keeps the candidates of which `keep` (given the token and its logit) says so, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, f32) -> bool) {
        let mut kept = 0;
        for index in 0..self.len {
            let (token, logit) = (self.tokens[index], self.logits[index]);
            if keep(token, logit) {
                (self.tokens[kept], self.logits[kept]) = (token, logit);
                kept += 1;
            }
        }
        if kept < self.len {
            self.disturbed = self.disturbed.max(kept);
            self.truncate(kept);
        }
    }

    /// Keeps the first `count` candidates.
    pub fn truncate(&mut self, count: usize) {
        self.removed |= count < self.len;
        self.len = self.len.min(count);
    }

    /// Exchanges two candidates.
    ///
    /// # Panics
    /// If one of them does not exist.
    pub fn swap(&mut self, a: usize, b: usize) {
        self.tokens[..self.len].swap(a, b);
        self.logits[..self.len].swap(a, b);
        self.disturbed = self.disturbed.max(a + 1).max(b + 1);
    }

    /// Divides all logits by a positive number.
    pub(crate) fn divide(&mut self, by: f32) {
        let cpu = self.cpu;
        vector::divide(cpu, self.logits_mut(), by);
    }

    fn normalizer(&mut self) -> Normalizer {
        let (cpu, logits) = (self.cpu, &self.logits[..self.len]);
        *self.normalizer.get_or_insert_with(|| {
            self.removed = false;
            Normalizer::of(cpu, logits)
        })
    }

    /// Keeps the most probable candidates until their probabilities together exceed `mass`, in the
    /// order of probability, equals in their order before. Candidates less probable than `cutoff`
    /// are dropped before that; the most probable one stays in any case.
    pub(crate) fn keep_most_probable(&mut self, mass: f32, cutoff: f32) {
        let normalizer = self.normalizer();
        self.collect(normalizer, cutoff);
        let mut kept = sort_until(&mut self.entries, mass);
        if kept == 0 {
            // A flat distribution and a top_p below 1/n, where llama2.c reads before its array.
            self.collect(normalizer, normalizer.probability(normalizer.max));
            self.entries.sort_unstable();
            if self.entries.is_empty() {
                self.entries.push(entry(0, 0.0)); // All are impossible.
            }
            kept = self.len.min(1);
        }
        // Each entry's index gives way to what the candidate takes along.
        let (entries, _) = self.entries.split_at_mut(kept);
        for entry in &mut *entries {
            let index = *entry as u32 as usize;
            let logit = self.logits[index].to_bits();
            *entry = u64::from(logit) << 32 | u64::from(self.tokens[index]);
        }
        for (index, &entry) in entries.iter().enumerate() {
            self.tokens[index] = entry as u32;
            self.logits[index] = f32::from_bits((entry >> 32) as u32);
        }
        self.disturbed = self.disturbed.max(kept);
        self.truncate(kept);
    }

    /// Makes an entry of every candidate that is at least as probable as `cutoff`.
    fn collect(&mut self, normalizer: Normalizer, cutoff: f32) {
        let entries = &mut self.entries;
        entries.clear();
        let logits = &self.logits[..self.len];
        normalizer.at_least(self.cpu, logits, cutoff, |index, probability| {
            entries.push(entry(index, probability));
        });
    }

    /// The index of the candidate with the largest logit, of equals the first.
    pub(crate) fn argmax(&self) -> usize {
        vector::argmax(self.cpu, self.logits())
    }

    /// The index of the candidate that is `uniform` (in [0, 1)) of the way through the
    /// probabilities.
    pub(crate) fn draw(&mut self, random: &mut Random) -> usize {
        let normalizer = self.normalizer();
        let logits = &self.logits[..self.len];
        let uniform = random.next_f32();
        let target = match self.removed {
            true => uniform * normalizer.mass(self.cpu, logits),
            false => uniform,
        };
        // Rounding can leave the sum a little short.
        normalizer.position(self.cpu, logits, target).unwrap_or(self.len.saturating_sub(1))
    }
}

/// An index and its probability, so that the smallest entry is the most probable, of equals the
/// first. The bits of numbers that are not negative are ordered as the numbers are.
fn entry(index: usize, probability: f32) -> u64 {
    u64::from(!probability.to_bits()) << 32 | index as u64
}

/// Sorts the smallest entries until their probabilities, added in order, exceed `mass`; returns how
/// many that took. Few of the candidates usually have most of the mass, so batches of the smallest
/// are split off and sorted, each larger than the one before.
fn sort_until(entries: &mut [u64], mass: f32) -> usize {
    const FIRST_BATCH: usize = 256;
    const GROWTH: usize = 8;

    let (mut sorted, mut reached, mut batch) = (0, 0.0f32, FIRST_BATCH);
    while sorted < entries.len() {
        let rest = &mut entries[sorted..];
        let count = batch.min(rest.len());
        if count < rest.len() {
            rest.select_nth_unstable(count);
        }
        rest[..count].sort_unstable();
        for &entry in &rest[..count] {
            sorted += 1;
            reached += f32::from_bits(!((entry >> 32) as u32));
            if reached > mass {
                return sorted;
            }
        }
        batch *= GROWTH;
    }
    sorted
}
