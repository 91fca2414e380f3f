//! Plain Rust, which the compiler spreads over the registers that the build target guarantees.

use super::{LANES, Quad, Simd, SmallBytes, VECTOR_BYTES, VectorWidth, quad_word};
use crate::{Cpu, Isa, half};

/// Nothing beyond what the build target guarantees. It is also what other instruction sets are
/// checked against.
#[derive(Clone, Copy)]
pub struct Scalar(());

/// A vector with one result of `lane` per lane.
#[inline(always)]
fn lanes<T>(lane: impl FnMut(usize) -> T) -> [T; LANES] {
    core::array::from_fn(lane)
}

/// A vector with one result of `byte` per byte.
#[inline(always)]
fn bytes(byte: impl FnMut(usize) -> u8) -> [u8; VECTOR_BYTES] {
    core::array::from_fn(byte)
}

/// Adds to each lane the products of its four bytes with the integers of a quad.
#[inline(always)]
fn dot(sums: [i32; LANES], weights: &[u8; VECTOR_BYTES], x: u32) -> [i32; LANES] {
    let weights = weights.as_chunks::<4>().0;
    let x = x.to_le_bytes().map(|x| i32::from(x.cast_signed()));
    lanes(|lane| (0..4).fold(sums[lane], |sum, i| sum + i32::from(weights[lane][i]) * x[i]))
}

impl Simd for Scalar {
    const ISA: Isa = Isa::Scalar;
    const WIDTH: VectorWidth = VectorWidth::V128;
    type Floats = [f32; LANES];
    type Integers = [i32; LANES];
    type Bytes = [u8; VECTOR_BYTES];
    type PackedQuad = [u32; 1];
    const WEIGHT_BIAS: i32 = 128;

    fn new(_: Cpu) -> Option<Self> {
        Some(Scalar(()))
    }

    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        work()
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Floats {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Self::Floats {
        *values
    }

    #[inline(always)]
    fn load_f32(self, bytes: &[u8; 4 * LANES]) -> Self::Floats {
        let values = bytes.as_chunks().0;
        lanes(|lane| f32::from_le_bytes(values[lane]))
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
        let values = bytes.as_chunks().0;
        lanes(|lane| half::f16_to_f32(u16::from_le_bytes(values[lane])))
    }

    #[inline(always)]
    fn load_finite_f16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
        let values = bytes.as_chunks().0;
        lanes(|lane| half::finite_f16_to_f32(u16::from_le_bytes(values[lane])))
    }

    #[inline(always)]
    fn load_bf16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
        let values = bytes.as_chunks().0;
        lanes(|lane| half::bf16_to_f32(u16::from_le_bytes(values[lane])))
    }

    #[inline(always)]
    fn store(self, values: Self::Floats, output: &mut [f32; LANES]) {
        *output = values;
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        lanes(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        lanes(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn splat_i32(self, value: i32) -> Self::Integers {
        [value; LANES]
    }

    #[inline(always)]
    fn widen_u8(self, bytes: &[u8; LANES]) -> Self::Integers {
        bytes.map(i32::from)
    }

    #[inline(always)]
    fn widen_i8(self, bytes: &[u8; LANES]) -> Self::Integers {
        bytes.map(|byte| i32::from(byte.cast_signed()))
    }

    #[inline(always)]
    fn add_i32(self, a: Self::Integers, b: Self::Integers) -> Self::Integers {
        lanes(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn mul_i32(self, a: Self::Integers, b: Self::Integers) -> Self::Integers {
        lanes(|lane| a[lane].wrapping_mul(b[lane]))
    }

    #[inline(always)]
    fn to_floats(self, values: Self::Integers) -> Self::Floats {
        values.map(|value| value as f32)
    }

    #[inline(always)]
    fn splat_u8(self, value: u8) -> Self::Bytes {
        [value; VECTOR_BYTES]
    }

    #[inline(always)]
    fn load_u8(self, bytes: &[u8; VECTOR_BYTES]) -> Self::Bytes {
        *bytes
    }

    #[inline(always)]
    fn store_u8(self, bytes: Self::Bytes, output: &mut [u8; VECTOR_BYTES]) {
        *output = bytes;
    }

    #[inline(always)]
    fn and_u8(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        bytes(|i| a[i] & b[i])
    }

    #[inline(always)]
    fn or_u8(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        bytes(|i| a[i] | b[i])
    }

    #[inline(always)]
    fn add_u8(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        bytes(|i| a[i].wrapping_add(b[i]))
    }

    #[inline(always)]
    fn shift_left_u8<const N: i32>(self, bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|byte| byte << N)
    }

    #[inline(always)]
    fn shift_right_u8<const N: i32>(self, bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|byte| byte >> N)
    }

    #[inline(always)]
    fn lookup_u8(self, table: &[u8; 16], indices: SmallBytes<Self>) -> Self::Bytes {
        indices.0.map(|index| table[usize::from(index & 15)])
    }

    #[inline(always)]
    fn pack_input(quad: Quad) -> [u32; 1] {
        [quad_word(quad)]
    }

    #[inline(always)]
    fn dot(self, sums: Self::Integers, weights: Self::Bytes, [x]: [u32; 1]) -> Self::Integers {
        dot(sums, &weights, x)
    }

    #[inline(always)]
    fn dot_small(
        self,
        sums: Self::Integers,
        [first, second]: [SmallBytes<Self>; 2],
        x: [u32; 2],
    ) -> Self::Integers {
        dot(dot(sums, &first.0, x[0]), &second.0, x[1])
    }

    #[inline(always)]
    fn prefetch(self, _: &[u8], _: usize) {}
}
