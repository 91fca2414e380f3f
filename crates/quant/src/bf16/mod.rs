//! The upper halves of `f32` (bfloat16), GGUF's BF16.
//!
//! How rows and panels lie is in `two_bytes.rs`.

use crate::format::GgufType;
use crate::half::{bf16_from_f32, bf16_to_f32};
use crate::two_bytes::{TwoBytes, VALUE};
use bootllm_simd::{LANES, Simd};

/// The format itself; see the module's page.
pub struct Bf16;

impl TwoBytes for Bf16 {
    const NAME: &'static str = "bf16";
    const GGUF_TYPE: GgufType = GgufType { tensor: 30, file: 32 };
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
