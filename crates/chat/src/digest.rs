//! One number that stands for everything a model puts out, to compare machines by.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_engine::{BATCH, Session, SessionError};
use bootllm_sampling::likeliest;
use core::fmt;
use core::ops::ControlFlow;

/// Positions that a digest takes unless somebody asks for another number.
pub const DIGEST_POSITIONS: usize = 256;

/// Positions whose logits are computed together.
const TOGETHER: usize = 8;

/// What a model's logits come to, of all positions of a text that begins with one token and goes
/// on with the likeliest. It is the same on every machine, or one of them does not compute right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// How many positions.
    pub positions: usize,
    /// [`checksum`] of all their logits, fed token by token.
    pub one_by_one: u64,
    /// The same, fed as one prompt. It is the same number.
    pub as_prompt: u64,
}

/// Why there is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The model could not take a token.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// There is no memory for the logits of some positions.
    #[error("there is no memory for the logits of {TOGETHER} positions")]
    OutOfMemory(#[from] TryReserveError),
    /// The person stopped it.
    #[error("stopped")]
    Stopped,
}

impl Digest {
    /// Computes it, for `positions` positions that begin with token `first`. `progress` is called
    /// with how many tokens have been fed, and of how many, and may stop it.
    pub fn compute(
        session: &mut Session<'_>,
        first: u32,
        positions: usize,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, DigestError> {
        let vocab_size = session.model().config().vocab_size;
        let (mut tokens, mut room) = (Vec::new(), Vec::new());
        tokens.try_reserve_exact(positions)?;
        room.try_reserve_exact(TOGETHER * vocab_size)?;
        room.resize(TOGETHER * vocab_size, 0.0);
        let mut said = |done| match progress(done, 2 * positions) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(DigestError::Stopped),
        };

        session.rewind(0);
        let (mut token, mut one_by_one) = (first, Fnv::default());
        for position in 0..positions {
            let logits = session.decode(token)?;
            one_by_one.numbers(logits);
            tokens.push(token);
            token = likeliest(logits);
            said(position + 1)?;
        }

        session.rewind(0);
        let mut as_prompt = Fnv::default();
        for batch in tokens.chunks(BATCH) {
            let take = &mut |logits: &mut [f32]| as_prompt.numbers(logits);
            session.prefill_with_logits(batch, &mut room, take)?;
            said(positions + session.position())?;
        }
        Ok(Digest { positions, one_by_one: one_by_one.0, as_prompt: as_prompt.0 })
    }

    /// Whether both ways to feed the text gave the same.
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
