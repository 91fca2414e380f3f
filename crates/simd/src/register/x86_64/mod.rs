//! The registers of x86-64.
//!
//! Dot products: `vpdpbusd` multiplies unsigned bytes by signed ones and adds four products to a
//! 32-bit sum, exactly. Without it the bytes at even places and those at odd places are widened to
//! 16-bit numbers, which `pmaddwd` multiplies and adds in pairs, exactly too. `pmaddubsw` would
//! saturate with any bytes, but not with those of [`SmallBytes`]: the sum of two of its results is
//! at most 4 · 63 · 128 = 32,256.

mod xmm;
mod ymm;
mod zmm;

use super::{LANES, Quad, Simd, SmallBytes, VECTOR_BYTES, VectorWidth, quad_word};
use crate::{Cpu, Isa};
use core::arch::x86_64::_MM_HINT_T1;
use core::arch::x86_64::_mm_prefetch;

/// Wraps calls of intrinsics.
macro_rules! intrinsics {
    ($body:expr) => {
        // SAFETY: the caller of the method has a value of its type, which `Simd::new` makes only
        // where the CPU has the instructions. Loads and stores go through references to arrays that
        // hold all bytes that are moved.
        unsafe { $body }
    };
}

/// One instruction set: its type, its features, the module of its registers, and what differs
/// between instruction sets with the same registers.
macro_rules! instruction_set {
    (
        $(#[$doc:meta])* $name:ident: $isa:expr, $features:literal, $registers:ident: $width:ident,
        quads: $quad:ty, $pack:expr, dot: $dot:ident, small: $small:ident, lookup: $lookup:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(());

        impl Simd for $name {
            const ISA: Isa = $isa;
            const WIDTH: VectorWidth = VectorWidth::$width;
            type Floats = $registers::Floats;
            type Integers = $registers::Integers;
            type Bytes = $registers::Bytes;
            type PackedQuad = $quad;
            const WEIGHT_BIAS: i32 = 128;

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
            fn splat(self, value: f32) -> Self::Floats {
                intrinsics!($registers::splat(value))
            }

            #[inline(always)]
            fn load(self, values: &[f32; LANES]) -> Self::Floats {
                intrinsics!($registers::load(values.as_ptr()))
            }

            #[inline(always)]
            fn load_f32(self, bytes: &[u8; 4 * LANES]) -> Self::Floats {
                intrinsics!($registers::load(bytes.as_ptr().cast()))
            }

            #[inline(always)]
            fn load_f16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
                intrinsics!($registers::load_f16(bytes))
            }

            #[inline(always)]
            fn load_finite_f16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
                intrinsics!($registers::load_finite_f16(bytes))
            }

            #[inline(always)]
            fn load_bf16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
                intrinsics!($registers::load_bf16(bytes))
            }

            #[inline(always)]
            fn store(self, values: Self::Floats, output: &mut [f32; LANES]) {
                intrinsics!($registers::store(values, output))
            }

            #[inline(always)]
            fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
                intrinsics!($registers::add(a, b))
            }

            #[inline(always)]
            fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
                intrinsics!($registers::mul(a, b))
            }

            #[inline(always)]
            fn scale(self, values: Self::Floats, by: &f32) -> Self::Floats {
                intrinsics!($registers::scale(values, by))
            }

            #[inline(always)]
            fn splat_i32(self, value: i32) -> Self::Integers {
                intrinsics!($registers::splat_i32(value))
            }

            #[inline(always)]
            fn widen_u8(self, bytes: &[u8; LANES]) -> Self::Integers {
                intrinsics!($registers::widen_u8(bytes))
            }

            #[inline(always)]
            fn widen_i8(self, bytes: &[u8; LANES]) -> Self::Integers {
                intrinsics!($registers::widen_i8(bytes))
            }

            #[inline(always)]
            fn add_i32(self, a: Self::Integers, b: Self::Integers) -> Self::Integers {
                intrinsics!($registers::add_i32(a, b))
            }

            #[inline(always)]
            fn mul_i32(self, a: Self::Integers, b: Self::Integers) -> Self::Integers {
                intrinsics!($registers::mul_i32(a, b))
            }

            #[inline(always)]
            fn to_floats(self, values: Self::Integers) -> Self::Floats {
                intrinsics!($registers::to_floats(values))
            }

            #[inline(always)]
            fn splat_u8(self, value: u8) -> Self::Bytes {
                intrinsics!($registers::splat_u8(value))
            }

            #[inline(always)]
            fn load_u8(self, bytes: &[u8; VECTOR_BYTES]) -> Self::Bytes {
                intrinsics!($registers::load_u8(bytes))
            }

            #[inline(always)]
            fn store_u8(self, bytes: Self::Bytes, output: &mut [u8; VECTOR_BYTES]) {
                intrinsics!($registers::store_u8(bytes, output))
            }

            #[inline(always)]
            fn and_u8(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
                intrinsics!($registers::and_u8(a, b))
            }

            #[inline(always)]
            fn or_u8(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
                intrinsics!($registers::or_u8(a, b))
            }

            #[inline(always)]
            fn add_u8(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
                intrinsics!($registers::add_u8(a, b))
            }

            #[inline(always)]
            fn shift_left_u8<const N: i32>(self, bytes: Self::Bytes) -> Self::Bytes {
                intrinsics!($registers::shift_left_u8::<N>(bytes))
            }

            #[inline(always)]
            fn shift_right_u8<const N: i32>(self, bytes: Self::Bytes) -> Self::Bytes {
                intrinsics!($registers::shift_right_u8::<N>(bytes))
            }

            #[inline(always)]
            fn lookup_u8(self, table: &[u8; 16], indices: SmallBytes<Self>) -> Self::Bytes {
                intrinsics!($registers::$lookup(table, indices.0))
            }

            #[inline(always)]
            fn pack_input(quad: Quad) -> $quad {
                $pack(quad)
            }

            #[inline(always)]
            fn dot(self, sums: Self::Integers, weights: Self::Bytes, x: $quad) -> Self::Integers {
                intrinsics!($registers::$dot(sums, weights, x))
            }

            #[inline(always)]
            fn dot_small(
                self,
                sums: Self::Integers,
                [first, second]: [SmallBytes<Self>; 2],
                x: [u32; 2],
            ) -> Self::Integers {
                intrinsics!($registers::$small(sums, first.0, second.0, x.map(u32::cast_signed)))
            }

            #[inline(always)]
            fn prefetch(self, bytes: &[u8], distance: usize) {
                let address = bytes.as_ptr().wrapping_add(distance);
                // SAFETY: a prefetch reads nothing, and one of an address that is not mapped has no
                // effect.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
            }
        }
    };
}

/// The bytes as they are, for `vpdpbusd`.
#[inline(always)]
fn as_bytes(quad: Quad) -> [u32; 1] {
    [quad_word(quad)]
}

/// 16-bit numbers, the integers at even places and those at odd places, for `pmaddwd`.
#[inline(always)]
fn as_even_and_odd([a, b, c, d]: Quad) -> [u32; 2] {
    let pair = |low: i8, high: i8| {
        u32::from(i16::from(low).cast_unsigned()) | u32::from(i16::from(high).cast_unsigned()) << 16
    };
    [pair(a, c), pair(b, d)]
}

instruction_set!(
    /// SSE2.
    Sse2: Isa::Sse2, "sse2", xmm: V128,
    quads: [u32; 2], as_even_and_odd, dot: dot, small: dot_small, lookup: lookup_u8
);
instruction_set!(
    /// SSSE3.
    Ssse3: Isa::Ssse3, "ssse3", xmm: V128,
    quads: [u32; 2], as_even_and_odd, dot: dot, small: dot_small_ssse3, lookup: lookup_u8_ssse3
);
instruction_set!(
    /// AVX2 and F16C.
    Avx2: Isa::Avx2, "avx2,f16c", ymm: V256,
    quads: [u32; 2], as_even_and_odd, dot: dot, small: dot_small, lookup: lookup_u8
);
instruction_set!(
    /// AVX2, F16C and AVX-VNNI.
    AvxVnni: Isa::AvxVnni, "avx2,f16c,avxvnni", ymm: V256,
    quads: [u32; 1], as_bytes, dot: dot_vnni, small: dot_small_vnni, lookup: lookup_u8
);
instruction_set!(
    /// [`AvxVnni`] in the encoding of AVX-512, by which it is tested on a CPU that has only that.
    AvxVnniEvex: Isa::Avx512Vnni, "avx2,f16c,avx512f,avx512vl,avx512vnni", ymm: V256,
    quads: [u32; 1], as_bytes, dot: dot_vnni_evex, small: dot_small_vnni_evex, lookup: lookup_u8
);
instruction_set!(
    /// AVX-512 F, BW and VL.
    Avx512: Isa::Avx512, "avx512f,avx512bw,avx512vl,avx2,f16c", zmm: V512,
    quads: [u32; 2], as_even_and_odd, dot: dot, small: dot_small, lookup: lookup_u8
);
instruction_set!(
    /// AVX-512 F, BW, VL and VNNI.
    Avx512Vnni: Isa::Avx512Vnni, "avx512f,avx512bw,avx512vl,avx512vnni,avx2,f16c", zmm: V512,
    quads: [u32; 1], as_bytes, dot: dot_vnni, small: dot_small_vnni, lookup: lookup_u8
);
