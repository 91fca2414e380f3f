//! Operations on whole vectors of activations.

use crate::exp;

/// `output[i] = weight[i] * (x[i] / rms(x))`, all three of one length; `epsilon` is added to the mean
/// square.
///
/// llama2.c's `rmsnorm`; the method is RMSNorm (Zhang and Sennrich, 2019).
pub fn rms_norm(output: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    let mut sum_of_squares = 0.0f32;
    for &value in x {
        sum_of_squares += value * value;
    }
    let scale = 1.0 / libm::sqrtf(sum_of_squares / x.len() as f32 + epsilon);
    for ((output, &value), &weight) in output.iter_mut().zip(x).zip(weight) {
        *output = weight * (scale * value);
    }
}

/// Turns `x` into probabilities: e^(x[i] − max) over their sum. Nothing happens to an empty slice.
///
/// llama2.c's `softmax`: maximum, exponentials and their plain sum in order, then a division.
pub fn softmax(x: &mut [f32]) {
    let Some((&first, rest)) = x.split_first() else {
        return;
    };
    let mut max = first;
    for &value in rest {
        if value > max {
            max = value;
        }
    }
    let mut sum = 0.0f32;
    for value in x.iter_mut() {
        *value = exp(*value - max);
        sum += *value;
    }
    for value in x {
        *value /= sum;
    }
}

/// Divides attention scores by the square root of the size of a head, as llama2.c does.
pub fn scale_scores(scores: &mut [f32], head_size: usize) {
    let divisor = libm::sqrtf(head_size as f32);
    for score in scores {
        *score /= divisor;
    }
}

/// `gate[i] = silu(gate[i]) * up[i]`, where silu(v) = v · 1 / (1 + e^−v).
///
/// The non-linearity of SwiGLU (Shazeer, 2020) in the order of llama2.c's `forward`.
pub fn silu_times(gate: &mut [f32], up: &[f32]) {
    for (gate, &up) in gate.iter_mut().zip(up) {
        let sigmoid = 1.0 / (1.0 + exp(-*gate));
        *gate = *gate * sigmoid * up;
    }
}

/// `x[i] += y[i]`: the residual connection.
pub fn add(x: &mut [f32], y: &[f32]) {
    for (x, &y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `x` rounded to the nearest integer, halves to the even one, for |x| < 2^22.
///
/// (`f32::round_ties_even` needs std.) Adding 1.5·2^23 leaves no bits for a fraction, so the
/// addition itself rounds, in the mode that every core runs in: to nearest, ties to even.
#[inline]
pub fn round_half_even(x: f32) -> f32 {
    const ROUNDING: f32 = 12_582_912.0;
    (x + ROUNDING) - ROUNDING
}

/// `x` rounded to the nearest integer, halves away from zero as C's `round` does, for |x| < 2^22.
///
/// Adding a half would round the largest `f32` below one half up; adding that number does not.
#[inline]
pub fn round_half_away(x: f32) -> f32 {
    const BELOW_HALF: f32 = 0.5f32.next_down();
    (x + BELOW_HALF.copysign(x)) as i32 as f32
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn rounding_goes_to_the_nearest_and_halves_to_the_even() {
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
    fn rms_norm_of_equal_values_is_the_weight() {
        let mut output = [0.0; 4];
        rms_norm(&mut output, &[3.0; 4], &[1.0, 2.0, -1.0, 0.0], 1e-5);
        for (value, expected) in output.into_iter().zip([1.0, 2.0, -1.0, 0.0]) {
            assert!((value - expected).abs() < 1e-5);
        }
        rms_norm(&mut output, &[3.0; 4], &[1.0, 2.0, -1.0, 0.0], 16.0);
        assert_eq!(output, [0.6, 1.2, -0.6, 0.0]);
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
