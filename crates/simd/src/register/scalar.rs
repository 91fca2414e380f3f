//! Plain Rust, which the compiler spreads over the registers that the build target guarantees.

use super::{LANES, Quad, Registers, Simd, word};
use crate::{Cpu, Isa, half};

/// Nothing beyond what the build target guarantees.
#[derive(Clone, Copy)]
pub struct Scalar(());

/// One result a lane.
#[inline(always)]
fn lanes<T>(lane: impl FnMut(usize) -> T) -> [T; LANES] {
    core::array::from_fn(lane)
}

impl Simd for Scalar {
    const ISA: Isa = Isa::Scalar;
    type Floats = [f32; LANES];
    type Integers = [i32; LANES];
    type Words = [u32; 1];
    const REGISTERS: Registers = Registers::Small;
    const EXCESS: i32 = 128;

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
    fn load_bytes(self, bytes: &[u8; 4 * LANES]) -> Self::Floats {
        let values = bytes.as_chunks().0;
        lanes(|lane| f32::from_le_bytes(values[lane]))
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
        let values = bytes.as_chunks().0;
        lanes(|lane| half::f16_to_f32(u16::from_le_bytes(values[lane])))
    }

    #[inline(always)]
    fn load_bf16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
        let values = bytes.as_chunks().0;
        lanes(|lane| half::bf16_to_f32(u16::from_le_bytes(values[lane])))
    }

    #[inline(always)]
    fn load_i8(self, bytes: &[u8; LANES]) -> Self::Floats {
        bytes.map(|byte| f32::from(byte.cast_signed()))
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
    fn splat_integer(self, value: i32) -> Self::Integers {
        [value; LANES]
    }

    #[inline(always)]
    fn to_floats(self, values: Self::Integers) -> Self::Floats {
        values.map(|value| value as f32)
    }

    #[inline(always)]
    fn words(quad: Quad) -> [u32; 1] {
        [word(quad)]
    }

    #[inline(always)]
    fn dot(self, sums: Self::Integers, weights: &[u8; 4 * LANES], [x]: [u32; 1]) -> Self::Integers {
        let weights = weights.as_chunks::<4>().0;
        let x = x.to_le_bytes().map(|x| i32::from(x.cast_signed()));
        lanes(|lane| (0..4).fold(sums[lane], |sum, i| sum + i32::from(weights[lane][i]) * x[i]))
    }

    #[inline(always)]
    fn dot_nibbles(
        self,
        sums: Self::Integers,
        weights: &[u8; 4 * LANES],
        [low, high]: [u32; 2],
    ) -> Self::Integers {
        let sums = self.dot(sums, &weights.map(|byte| byte & 15), [low]);
        self.dot(sums, &weights.map(|byte| byte >> 4), [high])
    }

    #[inline(always)]
    fn prefetch(self, _: &[u8], _: usize) {}
}
