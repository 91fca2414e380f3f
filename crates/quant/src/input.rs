//! Quantization of the vectors that matrices are multiplied with.

/// How ties are rounded when inputs are quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Away from zero, as by C's `round`.
    HalfAway,
    /// To the even neighbour.
    HalfEven,
}

/// Quantizes one group: the largest magnitude becomes ±127, the others are rounded by `round`.
/// Returns the scale.
///
/// llama2.c's `quantize`, except for a group of zeros, where C divides 0 by 0.
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

/// The scale that maps the largest magnitude in `values` to 127.
///
/// Magnitudes have the order of their bits, and integers can be compared in any order, so the
/// compiler vectorizes the loop.
#[inline(always)]
pub(crate) fn scale_of(values: &[f32]) -> f32 {
    let largest = values.iter().fold(0, |largest, value| largest.max(value.abs().to_bits()));
    f32::from_bits(largest) / 127.0
}
