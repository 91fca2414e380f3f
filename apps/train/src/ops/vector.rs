//! Elementwise loops with run-time dispatch to the instruction set.
//!
//! The product's own vector functions keep llama2.c's order of operations. Training only needs speed
//! and the same result on the same machine.

use pulp::Arch;

/// Runs a closure compiled for the widest vector instructions of the CPU. Functions that it calls
/// must be `inline(always)` to be compiled for them too.
#[inline(always)]
pub fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}

/// Partial sums in flight: they fill two of the widest registers.
const LANES: usize = 32;

/// e^x with an error of about 2 units in the last place; x is clamped so that e^x is normal.
///
/// 2^n · e^r with |r| ≤ ln 2 / 2; the polynomial is that of the Cephes library's `expf`
/// (S. Moshier). It has no branch, so loops over it are vectorized.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // ln 2 in two parts; the first has few bits, so that its product with n is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let n = (x * core::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + coefficient;
    }
    let e = p * r * r + r + 1.0;
    // n is between −126 and 127, so the result is normal.
    f32::from_bits((e.to_bits() as i32 + ((n as i32) << 23)) as u32)
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The sum of a slice.
#[inline(always)]
pub fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().chain(rest).sum()
}

/// The dot product of two slices of equal length.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (chunks_a, rest_a) = a.as_chunks::<LANES>();
    let (chunks_b, rest_b) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// The largest value.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &value| max.max(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close() {
        for step in -8_700..8_800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "exp({x}) is off by {error:e}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), exp(-87.0));
    }

    #[test]
    fn sums_include_every_value() {
        for length in [0, 1, 31, 32, 33, 100] {
            let values: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let expected = (0..length).sum::<i32>() as f32;
            assert_eq!(vectorized(|| sum(&values)), expected);
            assert_eq!(dot(&values, &vec![1.0; length as usize]), expected);
            if length > 0 {
                assert_eq!(max(&values), (length - 1) as f32);
            }
        }
    }
}
