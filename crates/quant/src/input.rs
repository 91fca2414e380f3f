//! The vector that matrices are multiplied with.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_simd::{round_half_away, round_half_even};

/// A vector of activations as products take it: as it is, and quantized if a format asks for it.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The vector in `f32`.
    pub values: &'a [f32],
    /// The vector in groups of integers, each to be multiplied with its group's scale; empty if
    /// no format asked for it.
    pub quantized: &'a [i8],
    /// One scale for each group.
    pub scales: &'a [f32],
}

/// How a format wants its input quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Values that share a scale.
    pub values: usize,
    /// Where halves go.
    pub rounding: Rounding,
}

/// Where halves go when a number is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Away from zero, as by C's `round`.
    HalfAway,
    /// To the even neighbour.
    HalfEven,
}

/// Room for one quantized vector, used again for every product.
pub struct PlainInput {
    quantized: Vec<i8>,
    scales: Vec<f32>,
}

impl PlainInput {
    /// Room for vectors of up to `columns` values.
    pub fn new(columns: usize) -> Result<Self, TryReserveError> {
        let (mut quantized, mut scales) = (Vec::new(), Vec::new());
        quantized.try_reserve_exact(columns)?;
        quantized.resize(columns, 0);
        scales.try_reserve_exact(columns)?;
        scales.resize(columns, 0.0);
        Ok(PlainInput { quantized, scales })
    }

    /// Bytes that [`PlainInput::new`] allocates.
    pub fn bytes(columns: usize) -> u64 {
        columns as u64 * (size_of::<i8>() + size_of::<f32>()) as u64
    }

    /// `values` ready for a format that wants them in such groups, or as they are.
    ///
    /// # Panics
    /// If there are more values than there is room for.
    pub fn prepare<'a>(&'a mut self, values: &'a [f32], groups: Option<Groups>) -> Input<'a> {
        let Some(Groups { values: group, rounding }) = groups else {
            return Input { values, quantized: &[], scales: &[] };
        };
        let quantized = &mut self.quantized[..values.len()];
        let scales = &mut self.scales[..values.len() / group];
        for ((values, quantized), scale) in
            values.chunks_exact(group).zip(quantized.chunks_exact_mut(group)).zip(scales.iter_mut())
        {
            *scale = match rounding {
                Rounding::HalfAway => quantize_group(values, quantized, round_half_away),
                Rounding::HalfEven => quantize_group(values, quantized, round_half_even),
            };
        }
        Input { values, quantized, scales }
    }
}

/// Quantizes one group: the largest magnitude becomes ±127, the others are rounded by `round`.
/// Returns the scale.
///
/// llama2.c's `quantize`, but for a group of zeros, where C divides 0 by 0.
pub fn quantize_group(values: &[f32], quantized: &mut [i8], round: impl Fn(f32) -> f32) -> f32 {
    let scale = scale_of(values);
    if scale == 0.0 {
        quantized.fill(0);
        return 0.0;
    }
    for (quantized, value) in quantized.iter_mut().zip(values) {
        *quantized = round(value / scale) as i8;
    }
    scale
}

/// What the largest magnitude among some values becomes 127 of.
///
/// Magnitudes are in the order of their bits, and integers can be compared in any order, so the
/// compiler spreads the loop over vector registers.
#[inline(always)]
pub(crate) fn scale_of(values: &[f32]) -> f32 {
    let largest = values.iter().fold(0, |largest, value| largest.max(value.abs().to_bits()));
    f32::from_bits(largest) / 127.0
}
