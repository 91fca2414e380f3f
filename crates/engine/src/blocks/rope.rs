//! Rotary position embedding (Su et al., 2021): tables of rotations, in both pairings and with the
//! scalings that models use.

use crate::load::{LoadError, Weights, out_of_memory};
use crate::pass::Pass;
use crate::plan::{Buffer, RopeId, VectorId};
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_cores::split_rows;
use bootllm_simd::{RopeTable, rope_frequencies};

/// Which two values of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// Neighbours: 0 and 1, 2 and 3 (llama2.c; llama.cpp's `LLAMA_ROPE_TYPE_NORM`).
    Adjacent,
    /// Value i of the first half and value i of the second (GPT-NeoX; `LLAMA_ROPE_TYPE_NEOX`).
    Halves,
}

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

    /// Makes the table, for positions 0 to `context − 1`.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`], and [`LoadError::RopeFactor`]: frequencies stay at most one radian
    /// per position, as sines and cosines need it.
    pub(crate) fn table(&self, weights: &Weights, context: usize) -> Result<RopeTable, LoadError> {
        let failed = |_: TryReserveError| out_of_memory("RoPE", self.bytes(context));
        let mut frequencies = Vec::new();
        frequencies.try_reserve_exact(self.dimensions / 2).map_err(failed)?;
        frequencies.extend(rope_frequencies(self.dimensions, self.base));
        if let Some(factors) = self.factors {
            let factors = weights.vector(factors);
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

impl Pass<'_> {
    /// Rotates the heads of `buffer`, each of `head_size` values, to their rows' positions.
    pub(crate) fn rope(&mut self, rope: RopeId, head_size: usize, buffer: Buffer) {
        let (width, rows) = (self.width(buffer), self.rows);
        let (table, pairing) = (&self.ropes[rope.0], self.plan.ropes[rope.0].pairing);
        let mut heads = self.take(buffer);
        split_rows(self.cores, &mut heads[..rows.len() * width], width, |first, heads| {
            for (row, heads) in rows[first..].iter().zip(heads.chunks_exact_mut(width)) {
                self.kernels.rotate(pairing, table.turns(row.position), heads, head_size);
            }
        });
        self.put(buffer, heads);
    }
}

/// Rotates the pairs of every head in `heads` by these cosines and sines; what is left of a head
/// that has more values stays as it is.
#[inline(always)]
pub(crate) fn rotate(pairing: Pairing, turns: &[(f32, f32)], heads: &mut [f32], head_size: usize) {
    for head in heads.chunks_exact_mut(head_size) {
        match pairing {
            Pairing::Adjacent => {
                for (pair, &(cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                    let [a, b] = *pair;
                    *pair = [a * cos - b * sin, a * sin + b * cos];
                }
            }
            Pairing::Halves => {
                let (first, rest) = head.split_at_mut(turns.len());
                for ((a, b), &(cos, sin)) in first.iter_mut().zip(rest).zip(turns) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
        }
    }
}
