//! Sine and cosine.

use core::f64::consts::{FRAC_PI_2, PI};

/// sin r ≈ r + S1·r³ + S2·r⁵ + S3·r⁷ for |r| ≤ π/4.
const S1: f64 = f64::from_bits(0xbfc5_5554_5995_a603);
const S2: f64 = f64::from_bits(0x3f81_1076_0523_0bc4);
const S3: f64 = f64::from_bits(0xbf29_94eb_3774_cf24);
/// cos r ≈ 1 + C1·r² + C2·r⁴ + C3·r⁶ + C4·r⁸ for |r| ≤ π/4.
const C1: f64 = f64::from_bits(0xbfdf_ffff_fd0c_621c);
const C2: f64 = f64::from_bits(0x3fa5_5553_e106_8f19);
const C3: f64 = f64::from_bits(0xbf56_c087_e89a_359d);
const C4: f64 = f64::from_bits(0x3ef9_9343_027b_f8c3);

/// Below this, one step in `f64` reduces an angle.
const LARGE: f32 = 120.0;
/// 2/π · 2^24.
const QUARTERS: f64 = f64::from_bits(0x4164_5f30_6dc9_c883);
/// 2/π · 2^96, rounded down.
const QUARTERS_LARGE: u128 = 0xa2f9_836e_4e44_1529_fc27_57d1;

/// The sine and the cosine of an angle of 0 to 2^31, at most 0.561 ULP from the true values (the
/// method's published bound; the test `error_stays_within_its_bound` measures it).
///
/// The method and its constants are those of `sinf` and `cosf` in ARM's optimized-routines
/// (Wilco Dijkstra), which glibc uses too: quarter turns are subtracted, and a short polynomial
/// suffices for the rest, all in `f64`.
pub(crate) fn sin_cos(x: f32) -> (f32, f32) {
    let (quarter, r) = if x < LARGE { reduce(x) } else { reduce_large(x) };
    let r2 = r * r;
    let (r3, r4) = (r * r2, r2 * r2);
    let sin = (r + r3 * S1) + (r3 * r2) * (S2 + r2 * S3);
    let cos = ((1.0 + r2 * C1) + r4 * C2) + (r4 * r2) * (C3 + r2 * C4);
    let (sin, cos) = (sin as f32, cos as f32);
    match quarter % 4 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Splits an angle below [`LARGE`] into quarter turns and a remainder from −π/4 to π/4.
fn reduce(x: f32) -> (u32, f64) {
    let x = f64::from(x);
    // The quarters are a fixed-point number with 24 bits of fraction, rounded by adding a half.
    let quarter = ((x * QUARTERS) as i32 + (1 << 23)) >> 24;
    (quarter.cast_unsigned(), x - f64::from(quarter) * FRAC_PI_2)
}

/// [`reduce`] for larger angles, whose `f64` product would keep too few bits: integers keep all.
fn reduce_large(x: f32) -> (u32, f64) {
    let mantissa = u128::from(x.to_bits() & 0x007f_ffff | 0x0080_0000);
    let exponent = (x.to_bits() >> 23) as i32 - 127 - 23;
    // x · 2/π with 96 − exponent bits of fraction. Of whole quarters only two bits matter; shifted
    // to the top, they and 62 bits of fraction are the upper half.
    let quarters = ((mantissa * QUARTERS_LARGE) << (30 + exponent)) >> 64;
    let quarters = quarters as u64;
    let quarter = quarters.wrapping_add(1 << 61) >> 62;
    let rest = quarters.wrapping_sub(quarter << 62).cast_signed();
    (quarter as u32, rest as f64 * (PI / (1u64 << 63) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_in_ulp(result: f32, truth: f64) -> f64 {
        let ulp = libm::ldexp(1.0, libm::ilogb(truth).max(-126) - 23);
        ((f64::from(result) - truth) / ulp).abs()
    }

    #[test]
    fn error_stays_within_its_bound() {
        let ends = [0.0f32, 1e-8, 0.5, 119.9, 120.0, 121.0, 1e6, 2_147_483_648.0].map(f32::to_bits);
        let angles = (0..=ends[7]).step_by(9001).chain(ends).map(f32::from_bits);
        for x in angles {
            let (sin, cos) = sin_cos(x);
            let truth = libm::sincos(f64::from(x));
            assert!(error_in_ulp(sin, truth.0) <= 0.561, "sin {x}");
            assert!(error_in_ulp(cos, truth.1) <= 0.561, "cos {x}");
        }
    }

    #[test]
    fn results_equal_glibc_s_where_those_are_not_the_nearest() {
        // Printed by a C program with glibc 2.36; the nearest f32 is the neighbour.
        for (x, sin) in [(34.0f32, 0x3f07_71f6), (98.0, 0xbf12_c927), (195.0, 0x3e60_b8ba)] {
            assert_eq!(sin_cos(x).0.to_bits(), sin, "{x}");
        }
        for (x, cos) in [(96.0f32, 0xbe38_c2c3), (131.0, 0x3f15_8eb5), (467.0, 0xbee9_784c)] {
            assert_eq!(sin_cos(x).1.to_bits(), cos, "{x}");
        }
    }
}
