//! One number for everything that a model computes, to compare machines by.

use alloc::vec::Vec;
use bootllm_engine::{Engine, Interrupt, Row, RunError, Sequence};
use bootllm_sampling::argmax;
use core::fmt;
use core::slice::from_mut;

/// The default number of positions of a digest.
pub const DIGEST_POSITIONS: usize = 256;

/// A checksum of the logits at all positions of a text that begins with one token and is decoded
/// greedily. It is the same on every machine that computes correctly, for the same model and the same
/// format of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The number of positions.
    pub positions: usize,
    /// [`checksum`] of all their logits, fed token by token.
    pub one_by_one: u64,
    /// The checksum of the same text fed as one prompt, which must be the same number.
    pub as_prompt: u64,
}

impl Digest {
    /// Whether both ways to feed the text gave the same checksum.
    pub fn agrees(&self) -> bool {
        self.one_by_one == self.as_prompt
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Digest { positions, one_by_one, as_prompt } = self;
        write!(f, "digest of {positions} positions: {one_by_one:016x}")?;
        match self.agrees() {
            true => f.write_str(", token by token and as one prompt"),
            false => write!(f, " token by token, but {as_prompt:016x} as one prompt"),
        }
    }
}

/// How far a digest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestStep {
    /// Tokens fed so far.
    Fed {
        /// The number of tokens fed.
        done: usize,
        /// The number of tokens in all.
        total: usize,
    },
    /// The digest is complete.
    Done(Digest),
}

/// A digest that is being computed, one pass per step.
pub struct DigestRun {
    positions: usize,
    rows: Vec<Row>,
    one_by_one: Fnv,
    as_prompt: Fnv,
    token: u32,
}

impl DigestRun {
    /// Begins a digest of `positions` positions, at least one, whose first token is `first`, in a
    /// sequence that is rewound.
    pub fn new(first: u32, positions: usize, sequence: &mut Sequence) -> Self {
        sequence.rewind(0);
        DigestRun {
            positions: positions.max(1),
            rows: Vec::with_capacity(positions),
            one_by_one: Fnv::default(),
            as_prompt: Fnv::default(),
            token: first,
        }
    }

    /// Feeds the next tokens. `interrupt` is called between layers.
    ///
    /// # Errors
    /// The engine's errors; [`RunError::Stopped`] if `interrupt` stopped it.
    pub fn step(
        &mut self,
        engine: &mut Engine<'_>,
        sequence: &mut Sequence,
        interrupt: Interrupt<'_>,
    ) -> Result<DigestStep, RunError> {
        let total = 2 * self.positions;
        if self.rows.len() < self.positions {
            let position = self.rows.len();
            let row = Row { sequence: 0, position, token: self.token, logits: true };
            let mut output = engine.run(from_mut(sequence), &[row], Some(interrupt))?;
            if let Some((_, logits)) = output.next_logits() {
                self.one_by_one.numbers(logits);
                self.token = argmax(logits);
            }
            self.rows.push(row);
            if self.rows.len() == self.positions {
                sequence.rewind(0);
            }
            return Ok(DigestStep::Fed { done: self.rows.len(), total });
        }
        let rest = &self.rows[sequence.position()..];
        let mut output = engine.run(from_mut(sequence), rest, Some(interrupt))?;
        while let Some((_, logits)) = output.next_logits() {
            self.as_prompt.numbers(logits);
        }
        if sequence.position() < self.positions {
            let done = self.positions + sequence.position();
            return Ok(DigestStep::Fed { done, total });
        }
        let DigestRun { positions, one_by_one, as_prompt, .. } = self;
        let (positions, one_by_one, as_prompt) = (*positions, one_by_one.0, as_prompt.0);
        Ok(DigestStep::Done(Digest { positions, one_by_one, as_prompt }))
    }
}

/// FNV-1a (Fowler, Noll and Vo), 64 bits, over the numbers' bytes, little-endian, in their order.
pub fn checksum(numbers: &[f32]) -> u64 {
    let mut hash = Fnv::default();
    hash.numbers(numbers);
    hash.0
}

struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn numbers(&mut self, numbers: &[f32]) {
        for byte in numbers.iter().flat_map(|number| number.to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_fnv_1a_s() {
        // Its authors' test vectors.
        assert_eq!(checksum(&[]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(&[f32::from_le_bytes(*b"foob")]), 0xdd12_0e79_0c25_12af);
    }
}
