//! The registers of AArch64.
//!
//! Dot products: `sdot` multiplies signed bytes and adds four products to a 32-bit sum, exactly.
//! Without it the products are 16-bit numbers, which are added in pairs, twice.

use super::{LANES, Quad, Simd, SmallBytes, VECTOR_BYTES, VectorWidth, quad_word};
use crate::{Cpu, Isa};
use core::arch::aarch64::*;
use core::arch::asm;

/// Wraps calls of intrinsics.
macro_rules! intrinsics {
    ($body:expr) => {
        // SAFETY: the caller of the method has a value of its type, which `Simd::new` makes only
        // where the CPU has the instructions. Loads and stores go through references to arrays that
        // hold all bytes that are moved.
        unsafe { $body }
    };
}

/// Four registers of 128 bits.
type Floats = [float32x4_t; 4];
type Integers = [int32x4_t; 4];
type Bytes = [uint8x16_t; 4];

macro_rules! instruction_set {
    ($(#[$doc:meta])* $name:ident: $isa:expr, $features:literal, $dot:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(());

        impl Simd for $name {
            const ISA: Isa = $isa;
            const WIDTH: VectorWidth = VectorWidth::V256;
            type Floats = Floats;
            type Integers = Integers;
            type Bytes = Bytes;
            type PackedQuad = [u32; 1];
            const WEIGHT_BIAS: i32 = 0;

            fn new(cpu: Cpu) -> Option<Self> {
                cpu.has($isa).then_some($name(()))
            }

            #[inline(always)]
            fn run<R>(self, work: impl FnOnce() -> R) -> R {
                #[target_feature(enable = $features)]
                fn run<R>(work: impl FnOnce() -> R) -> R {
                    work()
                }
                intrinsics!(run(work))
            }

            #[inline(always)]
            fn splat(self, value: f32) -> Floats {
                intrinsics!([vdupq_n_f32(value); 4])
            }

            #[inline(always)]
            fn load(self, values: &[f32; LANES]) -> Floats {
                [0, 4, 8, 12].map(|at| intrinsics!(vld1q_f32(values.as_ptr().add(at))))
            }

            #[inline(always)]
            fn load_f32(self, bytes: &[u8; 4 * LANES]) -> Floats {
                [0, 16, 32, 48].map(|at| {
                    intrinsics!(vreinterpretq_f32_u8(vld1q_u8(bytes.as_ptr().add(at))))
                })
            }

            #[inline(always)]
            fn load_f16(self, bytes: &[u8; 2 * LANES]) -> Floats {
                [0, 8, 16, 24].map(|at| intrinsics!(f16(vld1_u8(bytes.as_ptr().add(at)))))
            }

            #[inline(always)]
            fn load_bf16(self, bytes: &[u8; 2 * LANES]) -> Floats {
                [0, 8, 16, 24].map(|at| {
                    let words = intrinsics!(vreinterpret_u16_u8(vld1_u8(bytes.as_ptr().add(at))));
                    intrinsics!(vreinterpretq_f32_u32(vshll_n_u16::<16>(words)))
                })
            }

            #[inline(always)]
            fn store(self, values: Floats, output: &mut [f32; LANES]) {
                for (value, output) in values.into_iter().zip(output.as_chunks_mut::<4>().0) {
                    intrinsics!(vst1q_f32(output.as_mut_ptr(), value));
                }
            }

            #[inline(always)]
            fn add(self, a: Floats, b: Floats) -> Floats {
                [0, 1, 2, 3].map(|i: usize| intrinsics!(vaddq_f32(a[i], b[i])))
            }

            #[inline(always)]
            fn mul(self, a: Floats, b: Floats) -> Floats {
                [0, 1, 2, 3].map(|i: usize| intrinsics!(vmulq_f32(a[i], b[i])))
            }

            #[inline(always)]
            fn splat_i32(self, value: i32) -> Integers {
                intrinsics!([vdupq_n_s32(value); 4])
            }

            #[inline(always)]
            fn widen_u8(self, bytes: &[u8; LANES]) -> Integers {
                let bytes = intrinsics!(vld1q_u8(bytes.as_ptr()));
                let (low, high) = intrinsics!((vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes)));
                intrinsics!([
                    vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
                    vreinterpretq_s32_u32(vmovl_high_u16(low)),
                    vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
                    vreinterpretq_s32_u32(vmovl_high_u16(high)),
                ])
            }

            #[inline(always)]
            fn widen_i8(self, bytes: &[u8; LANES]) -> Integers {
                let bytes = intrinsics!(vreinterpretq_s8_u8(vld1q_u8(bytes.as_ptr())));
                let (low, high) = intrinsics!((vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)));
                intrinsics!([
                    vmovl_s16(vget_low_s16(low)),
                    vmovl_high_s16(low),
                    vmovl_s16(vget_low_s16(high)),
                    vmovl_high_s16(high),
                ])
            }

            #[inline(always)]
            fn add_i32(self, a: Integers, b: Integers) -> Integers {
                [0, 1, 2, 3].map(|i: usize| intrinsics!(vaddq_s32(a[i], b[i])))
            }

            #[inline(always)]
            fn mul_i32(self, a: Integers, b: Integers) -> Integers {
                [0, 1, 2, 3].map(|i: usize| intrinsics!(vmulq_s32(a[i], b[i])))
            }

            #[inline(always)]
            fn to_floats(self, values: Integers) -> Floats {
                values.map(|value| intrinsics!(vcvtq_f32_s32(value)))
            }

            #[inline(always)]
            fn splat_u8(self, value: u8) -> Bytes {
                intrinsics!([vdupq_n_u8(value); 4])
            }

            #[inline(always)]
            fn load_u8(self, bytes: &[u8; VECTOR_BYTES]) -> Bytes {
                [0, 16, 32, 48].map(|at| intrinsics!(vld1q_u8(bytes.as_ptr().add(at))))
            }

            #[inline(always)]
            fn store_u8(self, bytes: Bytes, output: &mut [u8; VECTOR_BYTES]) {
                for (bytes, output) in bytes.into_iter().zip(output.as_chunks_mut::<16>().0) {
                    intrinsics!(vst1q_u8(output.as_mut_ptr(), bytes));
                }
            }

            #[inline(always)]
            fn and_u8(self, a: Bytes, b: Bytes) -> Bytes {
                [0, 1, 2, 3].map(|i: usize| intrinsics!(vandq_u8(a[i], b[i])))
            }

            #[inline(always)]
            fn or_u8(self, a: Bytes, b: Bytes) -> Bytes {
                [0, 1, 2, 3].map(|i: usize| intrinsics!(vorrq_u8(a[i], b[i])))
            }

            #[inline(always)]
            fn add_u8(self, a: Bytes, b: Bytes) -> Bytes {
                [0, 1, 2, 3].map(|i: usize| intrinsics!(vaddq_u8(a[i], b[i])))
            }

            #[inline(always)]
            fn shift_left_u8<const N: i32>(self, bytes: Bytes) -> Bytes {
                bytes.map(|bytes| intrinsics!(vshlq_u8(bytes, vdupq_n_s8(N as i8))))
            }

            #[inline(always)]
            fn shift_right_u8<const N: i32>(self, bytes: Bytes) -> Bytes {
                // A shift to the left by a negative number; the immediate form excludes 0.
                bytes.map(|bytes| intrinsics!(vshlq_u8(bytes, vdupq_n_s8(-N as i8))))
            }

            #[inline(always)]
            fn lookup_u8(self, table: &[u8; 16], indices: SmallBytes<Self>) -> Bytes {
                let table = intrinsics!(vld1q_u8(table.as_ptr()));
                let indices = self.and_u8(indices.0, self.splat_u8(15));
                indices.map(|indices| intrinsics!(vqtbl1q_u8(table, indices)))
            }

            #[inline(always)]
            fn pack_input(quad: Quad) -> [u32; 1] {
                [quad_word(quad)]
            }

            #[inline(always)]
            fn dot(self, sums: Integers, weights: Bytes, [x]: [u32; 1]) -> Integers {
                let x = intrinsics!(vreinterpretq_s8_u32(vdupq_n_u32(x)));
                let bias = intrinsics!(vdupq_n_u8(0x80));
                [0, 1, 2, 3].map(|i: usize| {
                    let weights = intrinsics!(vreinterpretq_s8_u8(veorq_u8(weights[i], bias)));
                    intrinsics!($dot(sums[i], weights, x))
                })
            }

            #[inline(always)]
            fn dot_small(
                self,
                sums: Integers,
                [first, second]: [SmallBytes<Self>; 2],
                x: [u32; 2],
            ) -> Integers {
                // Bytes below 64 are the same numbers as signed ones.
                let x = x.map(|x| intrinsics!(vreinterpretq_s8_u32(vdupq_n_u32(x))));
                [0, 1, 2, 3].map(|i: usize| {
                    let first = intrinsics!(vreinterpretq_s8_u8(first.0[i]));
                    let second = intrinsics!(vreinterpretq_s8_u8(second.0[i]));
                    intrinsics!($dot($dot(sums[i], first, x[0]), second, x[1]))
                })
            }

            #[inline(always)]
            fn prefetch(self, bytes: &[u8], distance: usize) {
                let address = bytes.as_ptr().wrapping_add(distance);
                // SAFETY: a prefetch reads nothing, and one of an address that is not mapped has no effect.
                unsafe {
                    asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly));
                }
            }
        }
    };
}

instruction_set!(
    /// NEON.
    Neon: Isa::Neon, "neon", dot
);
instruction_set!(
    /// NEON with its dot product.
    NeonDot: Isa::NeonDot, "neon,dotprod", sdot
);

/// Four 16-bit floats as `f32`. (The intrinsic asks for FEAT_FP16, the instruction does not.)
#[inline]
#[target_feature(enable = "neon")]
fn f16(bytes: uint8x8_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: only registers are read and written.
    unsafe {
        asm!(
            "fcvtl {0:v}.4s, {1:v}.4h",
            out(vreg) floats,
            in(vreg) bytes,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    floats
}

/// Adds four products of signed bytes to each sum.
#[inline]
#[target_feature(enable = "neon")]
fn dot(sums: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    let low = vpaddlq_s16(vmull_s8(vget_low_s8(weights), vget_low_s8(x)));
    let high = vpaddlq_s16(vmull_high_s8(weights, x));
    vaddq_s32(sums, vpaddq_s32(low, high))
}

/// [`dot`] as one instruction, whose intrinsic is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sums: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: only registers are read and written, and the CPU has the instruction, which the target
    // feature demands of the caller.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) sums,
            in(vreg) weights,
            in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
