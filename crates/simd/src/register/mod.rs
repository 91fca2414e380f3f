//! Vector registers as one trait: a kernel is written once on [`Simd`], and an instruction set only
//! says how each operation is done with its registers.
//!
//! The trait knows no weight format. It offers three kinds of vectors, each the same 512 bits on
//! every machine: [`LANES`] floats, [`LANES`] integers, and four bytes for each lane.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{Neon, NeonDot};
pub use scalar::Scalar;
#[cfg(target_arch = "x86_64")]
pub use x86_64::{Avx2, Avx512, Avx512Vnni, AvxVnni, AvxVnniEvex, Sse2, Ssse3};

use crate::{Cpu, Isa};

/// Numbers that a [`Simd`] vector holds: 1 register of 512 bits, 2 of 256 or 4 of 128.
pub const LANES: usize = 16;

/// Bytes that a vector holds.
pub const VECTOR_BYTES: usize = 4 * LANES;

/// Four consecutive 8-bit integers of an input, which dot products take at once.
pub type Quad = [i8; 4];

/// A [`Quad`] as one word, its first integer in the lowest byte.
#[inline(always)]
pub fn quad_word(quad: Quad) -> u32 {
    u32::from_le_bytes(quad.map(i8::cast_unsigned))
}

/// A reference to the bits of a float, as a reference to the float.
#[inline(always)]
pub fn float_ref(bits: &u32) -> &f32 {
    // SAFETY: both types have the same size and alignment, and all bits are a valid `f32`.
    unsafe { &*core::ptr::from_ref(bits).cast() }
}

/// How much the registers of an instruction set hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorWidth {
    /// 16 registers of 128 bits: a vector takes 4 of them.
    V128,
    /// 16 registers of 256 bits, of which a vector takes 2, or 32 of 128 bits, of which it takes 4.
    V256,
    /// 32 registers of 512 bits: a vector takes 1 of them.
    V512,
}

/// Bytes none of which is larger than 63, so that four products with signed bytes, the most that
/// [`Simd::dot_small`] adds up in 16 bits, stay below 2^15.
///
/// Only operations that guarantee it make them: [`Simd::low_bits`], [`Simd::high_bits`],
/// [`Simd::combine`].
pub struct SmallBytes<S: Simd>(S::Bytes);

impl<S: Simd> Clone for SmallBytes<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Simd> Copy for SmallBytes<S> {}

impl<S: Simd> SmallBytes<S> {
    /// The bytes.
    #[inline(always)]
    pub fn bytes(self) -> S::Bytes {
        self.0
    }
}

/// An instruction set's operations on vectors of [`LANES`] lanes.
///
/// A value of the type proves that the CPU has the instructions: only [`Simd::new`] makes one, and
/// it checks. That is what makes the other methods safe.
///
/// Every operation on floats is rounded by itself (no fused multiply-add) and every operation on
/// integers is exact, so all implementations give the same bits. Methods are meant to be inlined
/// into a closure given to [`Simd::run`], which is compiled for the instruction set; elsewhere they
/// are correct and slow.
///
/// ```
/// use bootllm_simd::{Cpu, LANES, Scalar, Simd};
///
/// fn double<S: Simd>(simd: S, values: &mut [f32; LANES]) {
///     simd.run(|| {
///         let vector = simd.load(values);
///         simd.store(simd.add(vector, vector), values);
///     });
/// }
///
/// let mut values = [1.5; LANES];
/// double(Scalar::new(Cpu::detect()).unwrap(), &mut values);
/// assert_eq!(values, [3.0; LANES]);
/// ```
pub trait Simd: Copy + Send + Sync + 'static {
    /// The instruction set.
    const ISA: Isa;
    /// How much its registers hold.
    const WIDTH: VectorWidth;
    /// [`LANES`] floats of 32 bits.
    type Floats: Copy;
    /// [`LANES`] integers of 32 bits.
    type Integers: Copy;
    /// [`VECTOR_BYTES`] bytes, four for each lane.
    type Bytes: Copy;
    /// A [`Quad`] in the form that [`Simd::dot`] takes: one word or two.
    type PackedQuad: Copy + Default + AsRef<[u32]> + AsMut<[u32]>;
    /// Words of a [`Simd::PackedQuad`].
    const QUAD_WORDS: usize = size_of::<Self::PackedQuad>() / size_of::<u32>();
    /// Bias of the weight bytes as [`Simd::dot`] sees them. Packed weights are stored as value + 128.
    /// Instruction sets that multiply them as stored have 128 here, those that remove the bias first
    /// have 0.
    const WEIGHT_BIAS: i32;

    /// The instruction set, if the calling core has it.
    fn new(cpu: Cpu) -> Option<Self>;

    /// Runs `work`, compiled for this instruction set if it can be inlined.
    fn run<R>(self, work: impl FnOnce() -> R) -> R;

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::Floats;
    /// Loads floats.
    fn load(self, values: &[f32; LANES]) -> Self::Floats;
    /// Loads little-endian floats.
    fn load_f32(self, bytes: &[u8; 4 * LANES]) -> Self::Floats;
    /// Loads little-endian 16-bit floats (IEEE 754 binary16), infinities and NaN included.
    fn load_f16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats;
    /// [`Simd::load_f16`] for numbers that are known to be finite, such as weights that were checked:
    /// fewer steps where there is no instruction for it.
    #[inline(always)]
    fn load_finite_f16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
        self.load_f16(bytes)
    }
    /// Loads little-endian bfloat16, the upper halves of `f32`.
    fn load_bf16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats;
    /// Loads signed bytes as floats.
    #[inline(always)]
    fn load_i8(self, bytes: &[u8; LANES]) -> Self::Floats {
        self.to_floats(self.widen_i8(bytes))
    }
    /// Stores all lanes.
    fn store(self, values: Self::Floats, output: &mut [f32; LANES]);
    /// Stores all lanes, little-endian.
    #[inline(always)]
    fn store_f32(self, values: Self::Floats, output: &mut [u8; 4 * LANES]) {
        let mut lanes = [0.0; LANES];
        self.store(values, &mut lanes);
        for (bytes, lane) in output.as_chunks_mut().0.iter_mut().zip(lanes) {
            *bytes = lane.to_le_bytes();
        }
    }
    /// The sum of each pair of lanes.
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The product of each pair of lanes.
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The product of each lane with a float in memory.
    #[inline(always)]
    fn scale(self, values: Self::Floats, by: &f32) -> Self::Floats {
        self.mul(values, self.splat(*by))
    }

    /// `value` in every lane.
    fn splat_i32(self, value: i32) -> Self::Integers;
    /// Loads unsigned bytes, one for each lane.
    fn widen_u8(self, bytes: &[u8; LANES]) -> Self::Integers;
    /// Loads signed bytes, one for each lane.
    fn widen_i8(self, bytes: &[u8; LANES]) -> Self::Integers;
    /// The sum of each pair of lanes, modulo 2^32.
    fn add_i32(self, a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// The product of each pair of lanes, modulo 2^32.
    fn mul_i32(self, a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// Each lane as a float, rounded to the nearest.
    fn to_floats(self, values: Self::Integers) -> Self::Floats;

    /// `value` in every byte.
    fn splat_u8(self, value: u8) -> Self::Bytes;
    /// Loads bytes.
    fn load_u8(self, bytes: &[u8; VECTOR_BYTES]) -> Self::Bytes;
    /// Stores bytes.
    fn store_u8(self, bytes: Self::Bytes, output: &mut [u8; VECTOR_BYTES]);
    /// The bitwise and of each pair of bytes.
    fn and_u8(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// The bitwise or of each pair of bytes.
    fn or_u8(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// The sum of each pair of bytes, modulo 256.
    fn add_u8(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// Each byte shifted left by `N` bits, 0 to 7.
    fn shift_left_u8<const N: i32>(self, bytes: Self::Bytes) -> Self::Bytes;
    /// Each byte shifted right by `N` bits, 0 to 7, filled with zeros.
    fn shift_right_u8<const N: i32>(self, bytes: Self::Bytes) -> Self::Bytes;
    /// For each byte, the entry of the table that its low four bits name.
    fn lookup_u8(self, table: &[u8; 16], indices: SmallBytes<Self>) -> Self::Bytes;
    /// The low `N` bits of each byte, 0 to 6.
    #[inline(always)]
    fn low_bits<const N: i32>(self, bytes: Self::Bytes) -> SmallBytes<Self> {
        const { assert!(0 <= N && N <= 6) };
        SmallBytes(self.and_u8(bytes, self.splat_u8((1 << N) - 1)))
    }
    /// The bits of each byte above its low `N`, 2 to 7, moved down.
    #[inline(always)]
    fn high_bits<const N: i32>(self, bytes: Self::Bytes) -> SmallBytes<Self> {
        const { assert!(2 <= N && N <= 7) };
        SmallBytes(self.shift_right_u8::<N>(bytes))
    }
    /// The bitwise or of each pair of bytes. (Of two numbers below 64 that is below 64.)
    #[inline(always)]
    fn combine(self, a: SmallBytes<Self>, b: SmallBytes<Self>) -> SmallBytes<Self> {
        SmallBytes(self.or_u8(a.0, b.0))
    }

    /// Converts a quad to the form that [`Simd::dot`] takes.
    fn pack_input(quad: Quad) -> Self::PackedQuad;
    /// Adds to each lane the products of its four bytes with the input's four integers, exactly. The
    /// bytes are any, unsigned; [`Simd::WEIGHT_BIAS`] says what is subtracted from them first.
    fn dot(self, sums: Self::Integers, weights: Self::Bytes, x: Self::PackedQuad)
    -> Self::Integers;
    /// Adds to each lane the products of its bytes in `weights[0]` with the integers of `x[0]` and
    /// of those in `weights[1]` with `x[1]`, exactly. The quads are as [`quad_word`] makes them; the
    /// weights have no bias.
    ///
    /// It takes two at once because without VNNI the 16-bit sums of two are added before they are
    /// widened. Formats of up to six bits hold the values of two quads in a byte, or in parts of two.
    fn dot_small(
        self,
        sums: Self::Integers,
        weights: [SmallBytes<Self>; 2],
        x: [u32; 2],
    ) -> Self::Integers;

    /// Prefetches the cache line that lies `distance` bytes after `bytes` begin.
    fn prefetch(self, bytes: &[u8], distance: usize);
}

/// An operation that is compiled for every instruction set.
pub trait SimdOp {
    /// What it returns.
    type Output;
    /// Does it with `simd`.
    fn eval<S: Simd>(self, simd: S) -> Self::Output;
}

/// Whether there is an implementation of [`Simd`] for `isa` here that this CPU can run.
pub fn is_available(cpu: Cpu, isa: Isa) -> bool {
    struct Nothing;
    impl SimdOp for Nothing {
        type Output = ();
        fn eval<S: Simd>(self, _: S) {}
    }
    dispatch(cpu, isa, Nothing).is_some()
}

/// Does an operation with `isa`. `None` if `cpu` does not have it or this build has no code for it.
/// This is the one place that lists all implementations of [`Simd`].
pub fn dispatch<O: SimdOp>(cpu: Cpu, isa: Isa, op: O) -> Option<O::Output> {
    match isa {
        Isa::Scalar => Scalar::new(cpu).map(|simd| op.eval(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::Sse2 => Sse2::new(cpu).map(|simd| op.eval(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::Ssse3 => Ssse3::new(cpu).map(|simd| op.eval(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Avx2::new(cpu).map(|simd| op.eval(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => match (AvxVnni::new(cpu), AvxVnniEvex::new(cpu)) {
            (Some(simd), _) => Some(op.eval(simd)),
            (None, Some(simd)) => Some(op.eval(simd)),
            (None, None) => None,
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Avx512::new(cpu).map(|simd| op.eval(simd)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => Avx512Vnni::new(cpu).map(|simd| op.eval(simd)),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => Neon::new(cpu).map(|simd| op.eval(simd)),
        #[cfg(target_arch = "aarch64")]
        Isa::NeonDot => NeonDot::new(cpu).map(|simd| op.eval(simd)),
        _ => None,
    }
}
