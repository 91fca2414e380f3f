//! The exponential function.

/// 2^(i/32) as the bits of an `f64`, minus `i << 47`: adding `k << 47` for k = 32·e + i adds e to the
/// exponent and restores the fraction.
const TABLE: [u64; 32] = [
    0x3ff0_0000_0000_0000,
    0x3fef_d9b0_d315_8574,
    0x3fef_b558_6cf9_890f,
    0x3fef_9301_d012_5b51,
    0x3fef_72b8_3c7d_517b,
    0x3fef_5487_3168_b9aa,
    0x3fef_387a_6e75_6238,
    0x3fef_1e9d_f51f_dee1,
    0x3fef_06fe_0a31_b715,
    0x3fee_f1a7_373a_a9cb,
    0x3fee_dea6_4c12_3422,
    0x3fee_ce08_6061_892d,
    0x3fee_bfda_d536_2a27,
    0x3fee_b42b_569d_4f82,
    0x3fee_ab07_dd48_5429,
    0x3fee_a47e_b03a_5585,
    0x3fee_a09e_667f_3bcd,
    0x3fee_9f75_e8ec_5f74,
    0x3fee_a114_73eb_0187,
    0x3fee_a589_994c_ce13,
    0x3fee_ace5_422a_a0db,
    0x3fee_b737_b0cd_c5e5,
    0x3fee_c491_82a3_f090,
    0x3fee_d503_b23e_255d,
    0x3fee_e89f_995a_d3ad,
    0x3fee_ff76_f2fb_5e47,
    0x3fef_199b_dd85_529c,
    0x3fef_3720_dcef_9069,
    0x3fef_5818_dcfb_a487,
    0x3fef_7c97_337b_9b5f,
    0x3fef_a4af_a2a4_90da,
    0x3fef_d076_5b6e_4540,
];

const STEPS: f64 = TABLE.len() as f64;
/// 32 / ln 2: x in steps of 1/32 of a doubling.
const STEPS_PER_UNIT: f64 = f64::from_bits(0x3ff7_1547_652b_82fe) * STEPS;
/// Adding 1.5·2^52 to a small `f64` leaves it, rounded to the nearest integer, in the low bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
/// 2^(r/32) ≈ 1 + C1·r + C2·r² + C3·r³ for |r| ≤ 1/2.
const C1: f64 = f64::from_bits(0x3fe6_2e42_ff0c_52d6) / STEPS;
const C2: f64 = f64::from_bits(0x3fce_bfce_50fa_c4f3) / STEPS / STEPS;
const C3: f64 = f64::from_bits(0x3fac_6af8_4b91_2394) / STEPS / STEPS / STEPS;

/// Above this, e^x is beyond the largest `f32`.
const OVERFLOW: f32 = f32::from_bits(0x42b1_7217);
/// Below this, e^x is nearer to 0 than to the smallest `f32`.
const UNDERFLOW: f32 = f32::from_bits(0xc2cf_f1b4);

/// e^x, at most 0.502 ULP from the true value (0.502 is the method's published bound; the test
/// `error_stays_within_its_bound` measures it).
///
/// The method and its constants are those of `expf` in ARM's optimized-routines (Szabolcs Nagy),
/// which glibc and musl use too: x·32/ln 2 is split into an integer, looked up in a table of
/// 2^(i/32), and a remainder of at most one half, for which a cubic suffices, all in `f64`. Infinities
/// and NaN give what C's `expf` gives.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let steps = STEPS_PER_UNIT * f64::from(x);
    let shifted = steps + ROUNDING;
    let k = shifted.to_bits();
    let r = steps - (shifted - ROUNDING);
    let power = f64::from_bits(TABLE[(k % 32) as usize].wrapping_add(k << 47));
    let high = C3 * r + C2;
    let low = C1 * r + 1.0;
    let result = ((high * (r * r) + low) * power) as f32;
    // There is no branch before the computation, so that a loop over many is vectorized.
    let result = if x > OVERFLOW { f32::INFINITY } else { result };
    if x < UNDERFLOW { 0.0 } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance of `exp(x)` from e^x in units of the last place of the true value.
    fn error_in_ulp(x: f32) -> f64 {
        let truth = libm::exp(f64::from(x));
        let exponent = (libm::ilogb(truth)).max(-126);
        let ulp = libm::ldexp(1.0, exponent - 23);
        ((f64::from(exp(x)) - truth) / ulp).abs()
    }

    fn largest_error(step: usize) -> f64 {
        let positive = (0..=OVERFLOW.to_bits()).step_by(step);
        let negative = (0x8000_0000..=UNDERFLOW.to_bits()).step_by(step);
        positive.chain(negative).map(f32::from_bits).map(error_in_ulp).fold(0.0, f64::max)
    }

    #[test]
    fn error_stays_within_its_bound() {
        // A prime step, so that all low bits occur.
        assert!(largest_error(4001) <= 0.502);
    }

    #[test]
    #[ignore = "every f32 there is: about two minutes with --release"]
    fn error_stays_within_its_bound_everywhere() {
        assert!(largest_error(1) <= 0.502);
    }

    #[test]
    fn the_ends_are_those_of_c() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(OVERFLOW).is_finite());
        assert_eq!(exp(OVERFLOW.next_up()), f32::INFINITY);
        assert_eq!(exp(UNDERFLOW), f32::from_bits(1));
        assert_eq!(exp(UNDERFLOW.next_down()), 0.0);
    }
}
