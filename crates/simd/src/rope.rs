//! Rotary position embedding.

use crate::sin_cos::sin_cos;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// The cosines and sines of rotary position embedding (Su et al., 2021), which rotates pairs of
/// values, for every position of the context. They are computed once, so that no token needs `cos`.
///
/// llama2.c computes them in `f32` for every token: `freq = 1 / powf(base, i / head_size)`, then
/// `cosf(pos * freq)` and `sinf(pos * freq)`. These are the same operations, each function
/// computed in `f64` and rounded once.
pub struct RopeTable {
    /// (position, pair): cosine and sine.
    turns: Vec<(f32, f32)>,
    pairs: usize,
}

impl RopeTable {
    /// A table for heads of `head_size` values (even), positions 0 to `context − 1` and the base of
    /// the frequencies (10,000 in Llama 2).
    pub fn new(head_size: usize, context: usize, base: f32) -> Result<Self, TryReserveError> {
        let mut frequencies = Vec::new();
        frequencies.try_reserve_exact(head_size / 2)?;
        frequencies.extend(rope_frequencies(head_size, base));
        RopeTable::with_frequencies(&frequencies, context)
    }

    /// A table for heads whose pairs rotate by these frequencies, in radians per position.
    pub fn with_frequencies(frequencies: &[f32], context: usize) -> Result<Self, TryReserveError> {
        let pairs = frequencies.len();
        let mut turns = Vec::new();
        turns.try_reserve_exact(context.saturating_mul(pairs))?;
        for position in 0..context {
            for frequency in frequencies {
                let (sin, cos) = sin_cos(position as f32 * frequency);
                turns.push((cos, sin));
            }
        }
        Ok(RopeTable { turns, pairs })
    }

    /// Bytes that [`RopeTable::new`] allocates; `None` beyond `u64`.
    pub fn bytes(head_size: usize, context: usize) -> Option<u64> {
        let turn = size_of::<(f32, f32)>() as u64;
        (head_size as u64 / 2).checked_mul(context as u64)?.checked_mul(turn)
    }

    /// The cosines and sines of one position, one for each pair of a head.
    pub fn turns(&self, position: usize) -> &[(f32, f32)] {
        &self.turns[position * self.pairs..][..self.pairs]
    }

    /// Rotates the adjacent pairs of every head in `heads` (one or more consecutive heads) to
    /// `position`.
    #[inline(always)]
    pub fn rotate(&self, heads: &mut [f32], position: usize) {
        let turns = self.turns(position);
        for head in heads.chunks_exact_mut(2 * self.pairs) {
            for (pair, &(cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                let [a, b] = *pair;
                *pair = [a * cos - b * sin, a * sin + b * cos];
            }
        }
    }
}

/// The frequencies of the pairs of a head, in radians per position: base^(−2·pair / head_size).
pub fn rope_frequencies(head_size: usize, base: f32) -> impl Iterator<Item = f32> {
    (0..head_size / 2).map(move |pair| {
        let exponent = (2 * pair) as f32 / head_size as f32;
        1.0 / libm::pow(f64::from(base), f64::from(exponent)) as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_zero_rotates_nothing_and_lengths_are_kept() {
        let table = RopeTable::new(8, 16, 10_000.0).unwrap();
        let heads =
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, -1.0, 0.5, 0.0, 1.0, 2.0, 2.0, 3.0, 3.0];
        let mut turned = heads;
        table.rotate(&mut turned, 0);
        assert_eq!(turned, heads);
        table.rotate(&mut turned, 15);
        assert_ne!(turned, heads);
        for (before, after) in heads.chunks(2).zip(turned.chunks(2)) {
            let length = |pair: &[f32]| pair[0] * pair[0] + pair[1] * pair[1];
            assert!((length(before) - length(after)).abs() < 1e-4);
        }
    }

    #[test]
    fn the_first_pair_rotates_by_one_radian_per_position() {
        let table = RopeTable::new(4, 3, 10_000.0).unwrap();
        assert_eq!(table.turns(1)[0], (libm::cos(1.0) as f32, libm::sin(1.0) as f32));
        assert_eq!(table.turns(2)[0], (libm::cos(2.0) as f32, libm::sin(2.0) as f32));
        assert_eq!(table.turns(0).len(), 2);
    }
}
