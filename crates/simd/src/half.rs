//! 16-bit floating point to `f32`, which holds every such number exactly.

/// 2^112: what the exponents of binary16 and `f32` differ by.
pub(crate) const F16_SCALE: f32 = f32::from_bits((127 + 112) << 23);

/// A finite number of IEEE 754's binary16: shifted into place it is an `f32` 2^112 times too small,
/// and the product that puts it right is exact, for subnormal numbers too.
#[inline(always)]
pub fn f16_to_f32(bits: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * F16_SCALE;
    f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
}

/// A number of bfloat16: the upper half of an `f32`.
#[inline(always)]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_is_its_sign_exponent_and_fraction() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
            if exponent == 31 {
                continue;
            }
            let magnitude = match exponent {
                0 => libm::ldexp(fraction, -24),
                _ => libm::ldexp(1024.0 + fraction, exponent - 25),
            };
            let value = if bits >> 15 == 1 { -magnitude } else { magnitude };
            assert_eq!(f16_to_f32(bits).to_bits(), (value as f32).to_bits(), "{bits:#x}");
        }
    }
}
