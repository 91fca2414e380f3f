//! The upper halves of `f32` (bfloat16), GGUF's BF16.
//!
//! The layout of rows and panels is described in `two_bytes.rs`.

use crate::two_bytes::{TwoBytes, VALUE};
use bootllm_simd::{LANES, Simd, bf16_from_f32, bf16_to_f32};

/// The format.
pub struct Bf16;

impl TwoBytes for Bf16 {
    const EXPONENT: u16 = 0x7f80;

    fn to_f32(bits: u16) -> f32 {
        bf16_to_f32(bits)
    }

    fn from_f32(value: f32) -> u16 {
        bf16_from_f32(value)
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, bytes: &[u8; VALUE * LANES]) -> S::Floats {
        simd.load_bf16(bytes)
    }
}
