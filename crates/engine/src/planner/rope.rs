//! Rotary position embedding (Su et al., 2021): tables of rotations, with the scalings that models
//! use.

use super::VectorId;
use crate::error::{LoadError, out_of_memory};
use crate::kernels::Pairing;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_simd::{RopeTable, rope_frequencies};

/// What a table of rotations is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RopeConfig {
    /// Values of a head that are rotated, the first ones; even, at most the head size.
    pub(crate) dimensions: usize,
    /// Base of the frequencies.
    pub(crate) base: f32,
    pub(crate) pairing: Pairing,
    /// Positions are divided by this, 1 or more (linear scaling; Chen et al., 2023).
    pub(crate) divisor: f32,
    /// What each pair's frequency is divided by, 1 or more (Llama 3's `rope_freqs`).
    pub(crate) factors: Option<VectorId>,
}

impl RopeConfig {
    /// Bytes of the table.
    pub(crate) fn bytes(&self, context: usize) -> u64 {
        RopeTable::bytes(self.dimensions, context).unwrap_or(u64::MAX)
    }

    /// Makes the table, for positions 0 to `context − 1`. `factors` are the values of the vector.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`], and [`LoadError::RopeFactor`]: frequencies stay at most one radian
    /// per position, as sines and cosines need it.
    pub(crate) fn table(
        &self,
        factors: Option<&[f32]>,
        context: usize,
    ) -> Result<RopeTable, LoadError> {
        let failed = |_: TryReserveError| out_of_memory("RoPE", self.bytes(context));
        let mut frequencies = Vec::new();
        frequencies.try_reserve_exact(self.dimensions / 2).map_err(failed)?;
        frequencies.extend(rope_frequencies(self.dimensions, self.base));
        if let Some(factors) = factors {
            if let Some(&found) = factors.iter().find(|factor| **factor < 1.0) {
                return Err(LoadError::RopeFactor { found });
            }
            frequencies.iter_mut().zip(factors).for_each(|(frequency, by)| *frequency /= by);
        }
        if self.divisor != 1.0 {
            frequencies.iter_mut().for_each(|frequency| *frequency /= self.divisor);
        }
        RopeTable::with_frequencies(&frequencies, context).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rope_s_scalings_divide_frequencies() {
        let plain = RopeConfig {
            dimensions: 8,
            base: 10_000.0,
            pairing: Pairing::Adjacent,
            divisor: 1.0,
            factors: None,
        };
        let table = |config: RopeConfig| config.table(None, 17).unwrap();
        let original = table(plain);
        // Position 16 of a table that is scaled by 4 is position 4 of the original.
        let scaled = table(RopeConfig { divisor: 4.0, ..plain });
        assert_eq!(scaled.turns(16), original.turns(4));
        // Llama 3's factors scale each pair by its own.
        let stretched = plain.table(Some(&[1.0, 2.0, 4.0, 8.0]), 17).unwrap();
        for (pair, position) in [(0, 16), (1, 8), (2, 4), (3, 2)] {
            assert_eq!(stretched.turns(16)[pair], original.turns(position)[pair]);
        }
        assert_eq!(plain.bytes(17), 17 * 4 * 8);
        let shrunk = plain.table(Some(&[1.0, 2.0, 0.5, 8.0]), 17).map(drop);
        assert_eq!(shrunk, Err(LoadError::RopeFactor { found: 0.5 }));
    }
}
