//! 16-bit floating point: binary16 (IEEE 754) and bfloat16, to and from `f32`, which holds every such
//! number exactly.

use crate::round_half_even;

/// 2^112: the exponents of binary16 and `f32` have biases that differ by 112.
pub(crate) const F16_SCALE: f32 = f32::from_bits((127 + 112) << 23);
/// What the product makes of the bits of an infinity: larger than every finite number.
pub(crate) const F16_INFINITY_SCALED: f32 = 65536.0;

/// The number that the bits of a binary16 stand for, exactly; infinities and NaN as such.
///
/// There is no branch, so a loop over many is vectorized.
#[inline(always)]
pub fn f16_to_f32(bits: u16) -> f32 {
    let scaled = finite_f16_to_f32(bits);
    let special = if scaled.abs() >= F16_INFINITY_SCALED { f32::INFINITY } else { 0.0 };
    f32::from_bits(scaled.to_bits() | special.to_bits())
}

/// [`f16_to_f32`] for finite numbers.
///
/// Shifted into place the bits are an `f32` that is 2^112 times too small. The product that corrects
/// it is exact, for subnormal numbers too.
#[inline(always)]
pub(crate) fn finite_f16_to_f32(bits: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * F16_SCALE;
    f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
}

/// The binary16 nearest to a number, ties to even; infinite beyond the largest.
pub fn f16_from_f32(value: f32) -> u16 {
    let (sign, magnitude) = ((value.to_bits() >> 16) as u16 & 0x8000, value.abs());
    let bits = magnitude.to_bits();
    let half = if value.is_nan() {
        0x7e00
    } else if magnitude >= 65536.0 {
        0x7c00
    } else if magnitude >= f32::from_bits((127 - 14) << 23) {
        // The 13 bits that are dropped are rounded into the others; a carry into the exponent is
        // right too.
        ((bits + 0xfff + (bits >> 13 & 1) - ((127 - 15) << 23)) >> 13) as u16
    } else {
        round_half_even(magnitude * f32::from_bits((127 + 24) << 23)) as u16
    };
    half | sign
}

/// The number that the bits of a bfloat16 stand for: the upper half of an `f32`.
#[inline(always)]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The bfloat16 nearest to a number, ties to even.
pub fn bf16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        // Rounding could make an infinity of it.
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    /// The definition: sign, exponent, fraction.
    fn f16_by_definition(bits: u16) -> f64 {
        let fraction = f64::from(bits & 0x3ff) / 1024.0;
        let magnitude = match i32::from(bits >> 10 & 0x1f) {
            0 => fraction * 2f64.powi(-14),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            exponent => (1.0 + fraction) * 2f64.powi(exponent - 15),
        };
        if bits >> 15 == 1 { -magnitude } else { magnitude }
    }

    #[test]
    fn every_f16_is_what_the_definition_says_and_converts_back() {
        for bits in 0..=u16::MAX {
            let (value, expected) = (f16_to_f32(bits), f16_by_definition(bits));
            if expected.is_nan() {
                assert!(value.is_nan());
                assert!(f16_to_f32(f16_from_f32(value)).is_nan());
            } else {
                assert_eq!(f64::from(value).to_bits(), expected.to_bits(), "{bits:#06x}");
                assert_eq!(f16_from_f32(value), bits);
            }
        }
    }

    #[test]
    fn f32_rounds_to_the_nearest_f16_ties_to_even() {
        for low in 0..0x7bff {
            let (a, b) = (f16_to_f32(low), f16_to_f32(low + 1));
            // They have 11 bits, so f32 holds the middle.
            let middle = (a + b) / 2.0;
            let even = low + (low & 1);
            for sign in [0, 0x8000] {
                let from = |value: f32| f16_from_f32(if sign == 0 { value } else { -value });
                assert_eq!(from(middle), even | sign, "{low:#06x}");
                assert_eq!(from(middle.next_down()), low | sign);
                assert_eq!(from(middle.next_up()), (low + 1) | sign);
            }
        }
        for (value, expected) in [
            (65519.996, 0x7bff),
            (65520.0, 0x7c00),
            (65536.0, 0x7c00),
            (f32::MAX, 0x7c00),
            (f32::NEG_INFINITY, 0xfc00),
            (f32::from_bits(1), 0),
            (-f32::from_bits(1), 0x8000),
        ] {
            assert_eq!(f16_from_f32(value), expected, "{value}");
        }
    }

    #[test]
    fn every_bf16_is_the_upper_half_of_an_f32_and_converts_back() {
        for bits in 0..=u16::MAX {
            let value = bf16_to_f32(bits);
            assert_eq!(value.to_bits(), u32::from(bits) << 16);
            if value.is_nan() {
                assert!(bf16_to_f32(bf16_from_f32(value)).is_nan());
                continue;
            }
            assert_eq!(bf16_from_f32(value), bits);
            if value.is_finite() {
                // The next one may be an infinity, to which the middle rounds by its even bits.
                let middle = f32::from_bits(value.to_bits() | 0x8000);
                assert_eq!(bf16_from_f32(middle), bits + (bits & 1), "{bits:#06x}");
                assert_eq!(bf16_from_f32(f32::from_bits(middle.to_bits() - 1)), bits);
                assert_eq!(bf16_from_f32(f32::from_bits(middle.to_bits() + 1)), bits + 1);
            }
        }
        // A NaN stays one even if its bits are all in the lower half.
        assert!(bf16_to_f32(bf16_from_f32(f32::from_bits(0x7f80_0001))).is_nan());
    }
}
