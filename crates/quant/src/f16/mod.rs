//! 16-bit floating point (IEEE 754 binary16), GGUF's F16.
//!
//! The layout of rows and panels is described in `two_bytes.rs`.

use crate::blocks::F16_EXPONENT;
use crate::two_bytes::{TwoBytes, VALUE};
use bootllm_simd::{LANES, Simd, f16_from_f32, f16_to_f32};

/// The format.
pub struct F16;

impl TwoBytes for F16 {
    const EXPONENT: u16 = F16_EXPONENT;

    fn to_f32(bits: u16) -> f32 {
        f16_to_f32(bits)
    }

    fn from_f32(value: f32) -> u16 {
        f16_from_f32(value)
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, bytes: &[u8; VALUE * LANES]) -> S::Floats {
        simd.load_finite_f16(bytes)
    }
}
