//! The upper halves of `f32` (bfloat16), GGUF's BF16.
//!
//! How rows and panels lie is in `two_bytes.rs`.

use crate::format::{GgufType, Kernel};
use crate::half::{bf16_from_f32, bf16_to_f32};
use crate::two_bytes::{TwoBytes, multiply_scalar};
use bootllm_simd::Isa;

/// The format itself; see the module's page.
pub struct Bf16;

impl TwoBytes for Bf16 {
    const NAME: &'static str = "bf16";
    const GGUF_TYPE: GgufType = GgufType { tensor: 30, file: 32 };
    const KERNELS: &'static [Kernel] =
        &[Kernel { isa: Isa::Scalar, multiply: multiply_scalar::<Bf16> }];

    fn to_f32(bits: u16) -> f32 {
        bf16_to_f32(bits)
    }

    fn from_f32(value: f32) -> u16 {
        bf16_from_f32(value)
    }
}
