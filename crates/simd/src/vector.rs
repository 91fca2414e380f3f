//! Operations on whole vectors of activations.

use crate::exp;

/// `output[i] = weight[i] * (x[i] / rms(x))` for each of the consecutive vectors in `x`, which are
/// all as long as `weight`. `epsilon` is added to the mean square.
///
/// llama2.c's `rmsnorm`; the method is RMSNorm (Zhang and Sennrich, 2019).
#[inline(always)]
pub fn rms_norm(output: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    let length = weight.len();
    let many = SUMS_AT_ONCE * length;
    for (output, x) in output.chunks_mut(many).zip(x.chunks(many)) {
        let mut sums = [0.0f32; SUMS_AT_ONCE];
        sums_in_order(x, length, length, |value| value * value, &mut sums);
        let vectors = output.chunks_exact_mut(length).zip(x.chunks_exact(length));
        for ((output, x), sum_of_squares) in vectors.zip(sums) {
            let scale = 1.0 / libm::sqrtf(sum_of_squares / length as f32 + epsilon);
            for ((output, &value), &weight) in output.iter_mut().zip(x).zip(weight) {
                *output = weight * (scale * value);
            }
        }
    }
}

/// Vectors whose sums are computed at the same time. A sum in order waits for each addition;
/// meanwhile the CPU can add to other sums.
pub const SUMS_AT_ONCE: usize = 4;

/// Adds `term(value)` for the first `count` values of up to [`SUMS_AT_ONCE`] vectors to their `sums`,
/// each in order. A vector begins every `stride` values.
#[inline(always)]
fn sums_in_order(
    x: &[f32],
    stride: usize,
    count: usize,
    term: impl Fn(f32) -> f32,
    sums: &mut [f32; SUMS_AT_ONCE],
) {
    if x.len() == SUMS_AT_ONCE * stride {
        let (a, rest) = x.split_at(stride);
        let (b, rest) = rest.split_at(stride);
        let (c, d) = rest.split_at(stride);
        let mut own = *sums;
        for (((&a, &b), &c), &d) in a[..count].iter().zip(b).zip(c).zip(d) {
            own = [own[0] + term(a), own[1] + term(b), own[2] + term(c), own[3] + term(d)];
        }
        *sums = own;
    } else {
        for (x, sum) in x.chunks(stride).zip(sums) {
            *sum = x[..count].iter().fold(*sum, |sum, &value| sum + term(value));
        }
    }
}

/// Turns logits into probabilities: e^(x − max) divided by their sum. An empty slice stays empty.
///
/// llama2.c's `softmax`: maximum, exponentials and their plain sum in order, then a division.
pub fn softmax(x: &mut [f32]) {
    let count = x.len();
    if count > 0 {
        softmax_scores(x, count, count, 1);
    }
}

/// Turns attention scores into probabilities: for each of the vectors that begin every `stride`
/// scores, of vector `i` the first `count + i`. They are divided by the square root of the head's
/// size and then go through [`softmax`], as in llama2.c's `forward`.
#[inline(always)]
pub fn softmax_scores(scores: &mut [f32], stride: usize, count: usize, head_size: usize) {
    let divisor = libm::sqrtf(head_size as f32);
    for (number, scores) in scores.chunks_mut(SUMS_AT_ONCE * stride).enumerate() {
        let first = number * SUMS_AT_ONCE;
        let counts = (first..).map(|vector| count + vector);
        for (scores, count) in scores.chunks_mut(stride).zip(counts.clone()) {
            let scores = &mut scores[..count];
            scores.iter_mut().for_each(|score| *score /= divisor);
            let max = largest(scores);
            scores.iter_mut().for_each(|score| *score = exp(*score - max));
        }
        let mut sums = [0.0; SUMS_AT_ONCE];
        let common = count + first;
        sums_in_order(scores, stride, common, |value| value, &mut sums);
        for ((scores, count), mut sum) in scores.chunks_mut(stride).zip(counts).zip(sums) {
            let scores = &mut scores[..count];
            sum = scores[common..].iter().fold(sum, |sum, value| sum + value);
            scores.iter_mut().for_each(|score| *score /= sum);
        }
    }
}

/// The largest of some numbers. No number is larger than NaN, which llama2.c skips unless it comes
/// first.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    // Sixteen maxima at a time: comparisons give the same in any order.
    let (chunks, rest) = values.as_chunks::<16>();
    let first = values.first().copied().unwrap_or(f32::NEG_INFINITY);
    let larger = |max: f32, value: f32| if value > max { value } else { max };
    let mut candidates = [first; 16];
    for chunk in chunks {
        for (candidate, &value) in candidates.iter_mut().zip(chunk) {
            *candidate = larger(*candidate, value);
        }
    }
    candidates.into_iter().chain(rest.iter().copied()).fold(first, larger)
}

/// `gate[i] = silu(gate[i]) * up[i]`, where silu(v) = v · 1 / (1 + e^−v).
///
/// The non-linearity of SwiGLU (Shazeer, 2020) in the order of llama2.c's `forward`.
#[inline(always)]
pub fn silu_times(gate: &mut [f32], up: &[f32]) {
    for (gate, &up) in gate.iter_mut().zip(up) {
        let sigmoid = 1.0 / (1.0 + exp(-*gate));
        *gate = *gate * sigmoid * up;
    }
}

/// `x[i] += y[i]`: the residual connection.
#[inline(always)]
pub fn add(x: &mut [f32], y: &[f32]) {
    for (x, &y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `x` rounded to the nearest integer, ties to even, for |x| < 2^22.
///
/// (`f32::round_ties_even` needs std.) Adding 1.5·2^23 leaves no bits for a fraction, so the
/// addition itself rounds, in the mode that every core runs in: to nearest, ties to even.
#[inline]
pub fn round_half_even(x: f32) -> f32 {
    const ROUNDING: f32 = 12_582_912.0;
    (x + ROUNDING) - ROUNDING
}

/// `x` rounded to the nearest integer, ties away from zero as C's `round` does, for |x| < 2^22.
///
/// Adding a half would round the largest `f32` below one half up; adding that number does not.
#[inline]
pub fn round_half_away(x: f32) -> f32 {
    const BELOW_HALF: f32 = 0.5f32.next_down();
    (x + BELOW_HALF.copysign(x)) as i32 as f32
}

/// `x as i8`, as an `f32`, for an integral |x| < 2^22: clamped to −128..=127, and 0 for NaN.
#[inline]
pub fn saturate_i8(x: f32) -> f32 {
    let x = if x.is_nan() { 0.0 } else { x };
    let x = if x > 127.0 { 127.0 } else { x };
    if x < -128.0 { -128.0 } else { x }
}

/// `x as i8` for an integral `x` from −128 to 127.
///
/// Adding 1.5·2^23 puts the integer into the low bits of the sum. LLVM vectorizes that, which it does
/// not do with `as i8`.
#[inline]
pub fn i8_from_integral(x: f32) -> i8 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT).to_bits() as i8
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn rounding_goes_to_the_nearest_ties_to_even() {
        for (x, rounded) in [
            (0.0, 0.0),
            (0.5, 0.0),
            (1.5, 2.0),
            (2.5, 2.0),
            (-0.5, 0.0),
            (-1.5, -2.0),
            (126.499_99, 126.0),
            (126.5, 126.0),
            (127.0, 127.0),
            (-127.0, -127.0),
        ] {
            assert_eq!(round_half_even(x), rounded, "{x}");
        }
        assert!(round_half_even(f32::NAN).is_nan());
    }

    #[test]
    fn integral_numbers_become_bytes_as_casts_make_them() {
        for x in (-1000..1000).map(|x| x as f32).chain([4e6, -4e6, 0.0, -0.0, f32::NAN]) {
            assert_eq!(saturate_i8(x), f32::from(x as i8), "{x}");
            assert_eq!(i8_from_integral(saturate_i8(x)), x as i8, "{x}");
        }
    }

    #[test]
    fn rounding_away_is_that_of_c() {
        for x in (0..0x4380_0000u32).step_by(997).map(f32::from_bits) {
            for x in [x, -x, x.floor() + 0.5, (x.floor() + 0.5).next_down()] {
                assert_eq!(round_half_away(x), x.round(), "{x}");
            }
        }
    }

    #[test]
    fn softmax_gives_probabilities_and_survives_large_values() {
        let mut x = [1000.0, 1001.0, 999.0, -1000.0];
        softmax(&mut x);
        assert!((x.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(x[1] > x[0] && x[0] > x[2] && x[3] == 0.0);
        softmax(&mut []);
    }

    #[test]
    fn several_vectors_equal_single_ones_and_those_equal_llama2_c() {
        let value = |i: usize| ((i * 7919) % 1013) as f32 / 300.0 - 1.5;
        let weight: std::vec::Vec<f32> = (0..21).map(value).collect();
        for vectors in 1..10 {
            let x: std::vec::Vec<f32> = (0..vectors * 21).map(value).collect();
            let (mut normed, mut probabilities) = (x.clone(), x.clone());
            rms_norm(&mut normed, &x, &weight, 1e-5);
            softmax_scores(&mut probabilities, 21, 3, 4);
            for vector in 0..vectors {
                let (own, count) = (&x[vector * 21..][..21], 3 + vector);
                let squares = own.iter().fold(0.0f32, |sum, x| sum + x * x);
                let scale = 1.0 / (squares / 21.0 + 1e-5).sqrt();
                let expected = own.iter().zip(&weight).map(|(x, w)| w * (scale * x));
                assert!(normed[vector * 21..][..21].iter().copied().eq(expected));

                let scaled: std::vec::Vec<f32> = own[..count].iter().map(|x| x / 2.0).collect();
                let max = scaled.iter().copied().fold(scaled[0], f32::max);
                let powers: std::vec::Vec<f32> = scaled.iter().map(|x| exp(x - max)).collect();
                let sum = powers.iter().fold(0.0f32, |sum, x| sum + x);
                let expected = powers.iter().map(|x| x / sum).chain(own[count..].iter().copied());
                assert!(probabilities[vector * 21..][..21].iter().copied().eq(expected));
            }
        }
    }

    #[test]
    fn the_largest_is_found_at_every_index() {
        for length in 1..50 {
            for at in 0..length {
                let mut values = std::vec![-3.0f32; length];
                values[at] = 2.0;
                assert_eq!(largest(&values), 2.0);
                values[at] = f32::NAN;
                assert_eq!(largest(&values).is_nan(), at == 0, "{length}, {at}");
            }
        }
    }

    #[test]
    fn rms_norm_of_equal_values_is_the_weight() {
        let mut output = [0.0; 4];
        rms_norm(&mut output, &[3.0; 4], &[1.0, 2.0, -1.0, 0.0], 1e-5);
        for (value, expected) in output.into_iter().zip([1.0, 2.0, -1.0, 0.0]) {
            assert!((value - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn silu_is_zero_at_zero_and_near_identity_far_right() {
        let mut gate = [0.0, 20.0, -20.0];
        silu_times(&mut gate, &[2.0, 2.0, 2.0]);
        assert_eq!(gate[0], 0.0);
        assert!((gate[1] - 40.0).abs() < 1e-4);
        assert!(gate[2].abs() < 1e-6);
    }
}
