//! Vector registers, as one trait: an algorithm is written once for [`Simd`], and an instruction
//! set only says how each step is done with its registers.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{Neon, NeonDot};
pub use scalar::Scalar;
#[cfg(target_arch = "x86_64")]
pub use x86_64::{Avx2, Avx512, Avx512Vnni, AvxVnni, AvxVnniTwin, Sse2, Ssse3};

use crate::{Cpu, Isa};

/// Numbers that a [`Simd`] holds side by side: 1 register of 512 bits, 2 of 256 or 4 of 128.
pub const LANES: usize = 16;

/// Four consecutive 8-bit integers of an input, which products take at once.
pub type Quad = [i8; 4];

/// A [`Quad`] in one word, its first integer in the lowest byte.
#[inline(always)]
pub fn word(quad: Quad) -> u32 {
    u32::from_le_bytes(quad.map(i8::cast_unsigned))
}

/// The number whose bits these are, where it lies.
#[inline(always)]
pub fn float(bits: &u32) -> &f32 {
    // SAFETY: both types have the same size and alignment, and every 32 bits are a number.
    unsafe { &*core::ptr::from_ref(bits).cast() }
}

/// How much fits into the registers of an instruction set at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registers {
    /// [`LANES`] numbers take 4 of 16.
    Small,
    /// They take 2 of 16, or 4 of 32.
    Middle,
    /// They take 1 of 32.
    Wide,
}

/// An instruction set's way to compute with [`LANES`] numbers side by side.
///
/// Having a value proves that the CPU has the instructions: only [`Simd::new`] makes one, and it
/// looks. That is what makes the other methods safe.
///
/// Every operation is rounded by itself (no fused multiply-add), so all implementations give the
/// same bits. Methods are meant to be inlined into a closure given to [`Simd::run`], which is
/// compiled for the instruction set; outside of it they are correct and slow.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Its instructions.
    const ISA: Isa;
    /// [`LANES`] numbers of 32-bit floating point.
    type Floats: Copy;
    /// [`LANES`] 32-bit integers.
    type Integers: Copy;
    /// The words of a [`Quad`] in the form that [`Simd::dot`] takes: one or two.
    type Words: Copy + Default + AsRef<[u32]> + AsMut<[u32]>;
    /// How many they are.
    const WORDS: usize = size_of::<Self::Words>() / size_of::<u32>();
    /// How many of its registers hold [`LANES`] numbers, and how many it has.
    const REGISTERS: Registers;

    /// The instruction set, if the calling core has it.
    fn new(cpu: Cpu) -> Option<Self>;

    /// Runs `work`, compiled for this instruction set if it can be inlined.
    fn run<R>(self, work: impl FnOnce() -> R) -> R;

    /// One number in every lane.
    fn splat(self, value: f32) -> Self::Floats;
    /// Numbers as they lie in memory.
    fn load(self, values: &[f32; LANES]) -> Self::Floats;
    /// Numbers as they lie in a packed matrix, little-endian.
    fn load_bytes(self, bytes: &[u8; 4 * LANES]) -> Self::Floats;
    /// Finite numbers of 16-bit floating point (IEEE 754 binary16), little-endian.
    fn load_f16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats;
    /// Numbers of 16-bit floating point with the exponent of `f32`, little-endian.
    fn load_bf16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats;
    /// Signed bytes as numbers.
    fn load_i8(self, bytes: &[u8; LANES]) -> Self::Floats;
    /// Writes all lanes.
    fn store(self, values: Self::Floats, output: &mut [f32; LANES]);
    /// Writes all lanes as they lie in a packed matrix, little-endian.
    #[inline(always)]
    fn store_bytes(self, values: Self::Floats, output: &mut [u8; 4 * LANES]) {
        let mut lanes = [0.0; LANES];
        self.store(values, &mut lanes);
        for (bytes, lane) in output.as_chunks_mut().0.iter_mut().zip(lanes) {
            *bytes = lane.to_le_bytes();
        }
    }
    /// Sums of lanes.
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Products of lanes.
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Products of all lanes with the number that lies there.
    #[inline(always)]
    fn scale(self, values: Self::Floats, by: &f32) -> Self::Floats {
        self.mul(values, self.splat(*by))
    }

    /// One integer in every lane.
    fn splat_integer(self, value: i32) -> Self::Integers;
    /// Integers as numbers, each rounded to the nearest.
    fn to_floats(self, values: Self::Integers) -> Self::Floats;
    /// Turns four integers into the form that [`Simd::dot`] takes.
    fn words(quad: Quad) -> Self::Words;
    /// Packed weights are bytes, 128 too large. By how much are those too large that [`Simd::dot`]
    /// multiplies: 128 if it takes them as they are, 0 if it puts them right.
    const EXCESS: i32;
    /// Adds to each lane the sum of four products of that lane's weights with the input's integers.
    fn dot(self, sums: Self::Integers, weights: &[u8; 4 * LANES], x: Self::Words)
    -> Self::Integers;
    /// The same with the low four bits of each byte and `x[0]`, and the high four and `x[1]`, both
    /// as [`word`] has them, and the four bits as they are.
    fn dot_nibbles(
        self,
        sums: Self::Integers,
        weights: &[u8; 4 * LANES],
        x: [u32; 2],
    ) -> Self::Integers;

    /// Tells the CPU that what lies `distance` bytes behind `bytes` will be read.
    fn prefetch(self, bytes: &[u8], distance: usize);
}

/// What is made for an instruction set, whichever it is.
pub trait ForSimd {
    /// What it is.
    type Made;
    /// Makes it.
    fn make<S: Simd>(self, simd: S) -> Self::Made;
}

/// Makes something for `isa`, if `cpu` has it and there is code for it here. This is the one place
/// that knows all instruction sets.
pub fn with<M: ForSimd>(cpu: Cpu, isa: Isa, maker: M) -> Option<M::Made> {
    match isa {
        Isa::Scalar => Scalar::new(cpu).map(|simd| maker.make(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::Sse2 => Sse2::new(cpu).map(|simd| maker.make(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::Ssse3 => Ssse3::new(cpu).map(|simd| maker.make(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Avx2::new(cpu).map(|simd| maker.make(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => match (AvxVnni::new(cpu), AvxVnniTwin::new(cpu)) {
            (Some(simd), _) => Some(maker.make(simd)),
            (None, Some(simd)) => Some(maker.make(simd)),
            (None, None) => None,
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Avx512::new(cpu).map(|simd| maker.make(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => Avx512Vnni::new(cpu).map(|simd| maker.make(simd)),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => Neon::new(cpu).map(|simd| maker.make(simd)),
        #[cfg(target_arch = "aarch64")]
        Isa::NeonDot => NeonDot::new(cpu).map(|simd| maker.make(simd)),
        _ => None,
    }
}
