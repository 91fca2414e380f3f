//! The registers of AArch64.
//!
//! Products of bytes: `sdot` multiplies signed bytes and adds four products to a 32-bit sum,
//! exactly. Without it products are made 16-bit numbers, which are added in pairs, twice.

use super::{LANES, Quad, Registers, Simd, word};
use crate::{Cpu, Isa};
use core::arch::aarch64::*;
use core::arch::asm;

/// Uses intrinsics.
macro_rules! intrinsics {
    ($body:expr) => {
        // SAFETY: the method was called on a value of its type, and `Simd::new` makes one only
        // where the CPU has the instructions. Loads and stores go through references to arrays of
        // the size that is moved.
        unsafe { $body }
    };
}

/// Four registers of 32-bit numbers.
type Floats = [float32x4_t; 4];
type Integers = [int32x4_t; 4];

macro_rules! instruction_set {
    ($(#[$doc:meta])* $name:ident: $isa:expr, $features:literal, $dot:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(());

        impl Simd for $name {
            const ISA: Isa = $isa;
            type Floats = Floats;
            type Integers = Integers;
            type Words = [u32; 1];
            const REGISTERS: Registers = Registers::Middle;
            const EXCESS: i32 = 0;

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
            fn load_bytes(self, bytes: &[u8; 4 * LANES]) -> Floats {
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
            fn load_i8(self, bytes: &[u8; LANES]) -> Floats {
                let bytes = intrinsics!(vreinterpretq_s8_u8(vld1q_u8(bytes.as_ptr())));
                let (low, high) = intrinsics!((vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)));
                let words = intrinsics!([
                    vmovl_s16(vget_low_s16(low)),
                    vmovl_high_s16(low),
                    vmovl_s16(vget_low_s16(high)),
                    vmovl_high_s16(high),
                ]);
                self.to_floats(words)
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
            fn splat_integer(self, value: i32) -> Integers {
                intrinsics!([vdupq_n_s32(value); 4])
            }

            #[inline(always)]
            fn to_floats(self, values: Integers) -> Floats {
                values.map(|value| intrinsics!(vcvtq_f32_s32(value)))
            }

            #[inline(always)]
            fn words(quad: Quad) -> [u32; 1] {
                [word(quad)]
            }

            #[inline(always)]
            fn dot(self, sums: Integers, weights: &[u8; 4 * LANES], [x]: [u32; 1]) -> Integers {
                let x = intrinsics!(vreinterpretq_s8_u32(vdupq_n_u32(x)));
                let sign = intrinsics!(vdupq_n_u8(0x80));
                [0, 1, 2, 3].map(|i: usize| {
                    let weights = intrinsics!(vld1q_u8(weights.as_ptr().add(16 * i)));
                    let weights = intrinsics!(vreinterpretq_s8_u8(veorq_u8(weights, sign)));
                    intrinsics!($dot(sums[i], weights, x))
                })
            }

            #[inline(always)]
            fn dot_nibbles(
                self,
                sums: Integers,
                weights: &[u8; 4 * LANES],
                x: [u32; 2],
            ) -> Integers {
                let [low, high] = x.map(|x| intrinsics!(vreinterpretq_s8_u32(vdupq_n_u32(x))));
                let mask = intrinsics!(vdupq_n_u8(15));
                [0, 1, 2, 3].map(|i: usize| {
                    let weights = intrinsics!(vld1q_u8(weights.as_ptr().add(16 * i)));
                    let lower = intrinsics!(vreinterpretq_s8_u8(vandq_u8(weights, mask)));
                    let upper = intrinsics!(vreinterpretq_s8_u8(vshrq_n_u8::<4>(weights)));
                    intrinsics!($dot($dot(sums[i], lower, low), upper, high))
                })
            }

            #[inline(always)]
            fn prefetch(self, bytes: &[u8], distance: usize) {
                let address = bytes.as_ptr().wrapping_add(distance);
                // SAFETY: a prefetch of an address where there is nothing does nothing.
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

/// Four numbers of binary16 as `f32`. (The intrinsic asks for FEAT_FP16, the instruction does not.)
#[inline]
#[target_feature(enable = "neon")]
fn f16(bytes: uint8x8_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: it computes with registers alone.
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

/// Adds to each sum four products of signed bytes.
#[inline]
#[target_feature(enable = "neon")]
fn dot(sums: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    let low = vpaddlq_s16(vmull_s8(vget_low_s8(weights), vget_low_s8(x)));
    let high = vpaddlq_s16(vmull_high_s8(weights, x));
    vaddq_s32(sums, vpaddq_s32(low, high))
}

/// The same in one instruction. (Its intrinsic is not stable yet.)
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sums: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: it computes with registers alone, and the CPU has the instruction.
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
