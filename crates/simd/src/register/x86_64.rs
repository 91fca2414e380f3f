//! The registers of x86-64.
//!
//! Products of bytes: `vpdpbusd` multiplies unsigned bytes with signed ones and adds four products
//! to a 32-bit sum, exactly. Without it the bytes at even places and those at odd places are made
//! 16-bit numbers, which `pmaddwd` multiplies and adds in pairs, exactly too. (`pmaddubsw` would
//! saturate, but not with factors below 16: for nibbles it does.)

use super::{LANES, Quad, Registers, Simd, word};
use crate::half::F16_SCALE;
use crate::{Cpu, Isa};
use core::arch::x86_64::*;

/// Uses intrinsics.
macro_rules! intrinsics {
    ($body:expr) => {
        // SAFETY: the method was called on a value of its type, and `Simd::new` makes one only
        // where the CPU has the instructions. Loads and stores go through references to arrays of
        // the size that is moved.
        unsafe { $body }
    };
}

/// One instruction set: its type, its features, and what differs between those with the same
/// registers.
macro_rules! instruction_set {
    (
        $(#[$doc:meta])* $name:ident: $isa:expr, $features:literal, $registers:ident: $size:ident,
        words: $words:ty, $pack:expr, dot: $dot:ident, nibbles: $nibbles:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(());

        impl Simd for $name {
            const ISA: Isa = $isa;
            type Floats = $registers::Floats;
            type Integers = $registers::Integers;
            type Words = $words;
            const REGISTERS: Registers = Registers::$size;
            const EXCESS: i32 = 128;

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
            fn load_bytes(self, bytes: &[u8; 4 * LANES]) -> Self::Floats {
                intrinsics!($registers::load(bytes.as_ptr().cast()))
            }

            #[inline(always)]
            fn load_f16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
                intrinsics!($registers::load_f16(bytes))
            }

            #[inline(always)]
            fn load_bf16(self, bytes: &[u8; 2 * LANES]) -> Self::Floats {
                intrinsics!($registers::load_bf16(bytes))
            }

            #[inline(always)]
            fn load_i8(self, bytes: &[u8; LANES]) -> Self::Floats {
                intrinsics!($registers::to_floats($registers::load_i8(bytes)))
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
            fn splat_integer(self, value: i32) -> Self::Integers {
                intrinsics!($registers::splat_integer(value))
            }

            #[inline(always)]
            fn to_floats(self, values: Self::Integers) -> Self::Floats {
                intrinsics!($registers::to_floats(values))
            }

            #[inline(always)]
            fn words(quad: Quad) -> $words {
                $pack(quad)
            }

            #[inline(always)]
            fn dot(
                self,
                sums: Self::Integers,
                weights: &[u8; 4 * LANES],
                x: $words,
            ) -> Self::Integers {
                intrinsics!($registers::$dot(sums, weights, x))
            }

            #[inline(always)]
            fn dot_nibbles(
                self,
                sums: Self::Integers,
                weights: &[u8; 4 * LANES],
                x: [u32; 2],
            ) -> Self::Integers {
                intrinsics!($registers::$nibbles(sums, weights, x.map(u32::cast_signed)))
            }

            #[inline(always)]
            fn prefetch(self, bytes: &[u8], distance: usize) {
                // SAFETY: a prefetch of an address where there is nothing does nothing.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(bytes.as_ptr().wrapping_add(distance).cast()) }
            }
        }
    };
}

/// The bytes as they are, for `vpdpbusd`.
#[inline(always)]
fn bytes(quad: Quad) -> [u32; 1] {
    [word(quad)]
}

/// 16-bit numbers, those at even places and those at odd places, for `pmaddwd`.
#[inline(always)]
fn even_and_odd([a, b, c, d]: Quad) -> [u32; 2] {
    let both = |low: i8, high: i8| {
        u32::from(i16::from(low).cast_unsigned()) | u32::from(i16::from(high).cast_unsigned()) << 16
    };
    [both(a, c), both(b, d)]
}

instruction_set!(
    /// SSE2.
    Sse2: Isa::Sse2, "sse2", xmm: Small,
    words: [u32; 2], even_and_odd, dot: dot, nibbles: dot_nibbles
);
instruction_set!(
    /// SSSE3.
    Ssse3: Isa::Ssse3, "ssse3", xmm: Small,
    words: [u32; 2], even_and_odd, dot: dot, nibbles: dot_nibbles_ssse3
);
instruction_set!(
    /// AVX2 and F16C.
    Avx2: Isa::Avx2, "avx2,f16c", ymm: Middle,
    words: [u32; 2], even_and_odd, dot: dot, nibbles: dot_nibbles
);
instruction_set!(
    /// AVX2, F16C and AVX-VNNI.
    AvxVnni: Isa::AvxVnni, "avx2,f16c,avxvnni", ymm: Middle,
    words: [u32; 1], bytes, dot: dot_vnni, nibbles: dot_nibbles_vnni
);
instruction_set!(
    /// The twin of [`AvxVnni`] in the encoding of AVX-512, by which it is tested where a CPU has
    /// only that.
    AvxVnniTwin: Isa::Avx512Vnni, "avx2,f16c,avx512f,avx512vl,avx512vnni", ymm: Middle,
    words: [u32; 1], bytes, dot: dot_vnni_twin, nibbles: dot_nibbles_vnni_twin
);
instruction_set!(
    /// AVX-512 F, BW and VL.
    Avx512: Isa::Avx512, "avx512f,avx512bw,avx512vl,avx2,f16c", zmm: Wide,
    words: [u32; 2], even_and_odd, dot: dot, nibbles: dot_nibbles
);
instruction_set!(
    /// AVX-512 F, BW, VL and VNNI.
    Avx512Vnni: Isa::Avx512Vnni, "avx512f,avx512bw,avx512vl,avx512vnni,avx2,f16c", zmm: Wide,
    words: [u32; 1], bytes, dot: dot_vnni, nibbles: dot_nibbles_vnni
);

/// Four registers of 128 bits.
mod xmm {
    use super::*;

    pub(super) type Floats = [__m128; 4];
    pub(super) type Integers = [__m128i; 4];

    /// One register a quarter of the lanes.
    #[inline(always)]
    fn each<T>(register: impl FnMut(usize) -> T) -> [T; 4] {
        core::array::from_fn(register)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn splat(value: f32) -> Floats {
        [_mm_set1_ps(value); 4]
    }

    /// # Safety
    ///
    /// [`LANES`] numbers lie there.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) unsafe fn load(values: *const f32) -> Floats {
        // SAFETY: the caller's promise.
        each(|i| unsafe { _mm_loadu_ps(values.add(4 * i)) })
    }

    /// The eight bytes with the 16-bit numbers of a register, each in the lower half of a lane.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn load_words(bytes: &[u8; 2 * LANES], i: usize) -> __m128i {
        let [words, ..] = bytes[8 * i..].as_chunks::<8>().0 else { unreachable!() };
        let words = _mm_cvtsi64_si128(i64::from_le_bytes(*words));
        _mm_unpacklo_epi16(words, _mm_setzero_si128())
    }

    /// As [`crate::half::f16_to_f32`]; there is no instruction for it.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn load_f16(bytes: &[u8; 2 * LANES]) -> Floats {
        let mut floats = [_mm_setzero_ps(); 4];
        for (i, float) in floats.iter_mut().enumerate() {
            let bits = load_words(bytes, i);
            let sign = _mm_slli_epi32::<16>(_mm_and_si128(bits, _mm_set1_epi32(0x8000)));
            let magnitude = _mm_slli_epi32::<13>(_mm_and_si128(bits, _mm_set1_epi32(0x7fff)));
            let magnitude = _mm_mul_ps(_mm_castsi128_ps(magnitude), _mm_set1_ps(F16_SCALE));
            *float = _mm_or_ps(magnitude, _mm_castsi128_ps(sign));
        }
        floats
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn load_bf16(bytes: &[u8; 2 * LANES]) -> Floats {
        let mut floats = [_mm_setzero_ps(); 4];
        for (i, float) in floats.iter_mut().enumerate() {
            *float = _mm_castsi128_ps(_mm_slli_epi32::<16>(load_words(bytes, i)));
        }
        floats
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn load_i8(bytes: &[u8; LANES]) -> Integers {
        // SAFETY: sixteen bytes are read from a reference to sixteen.
        let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
        // A byte is moved to the top of its 32 bits and back, which spreads its sign.
        let (low, high) = (_mm_unpacklo_epi8(bytes, bytes), _mm_unpackhi_epi8(bytes, bytes));
        let quarters = [
            _mm_unpacklo_epi16(low, low),
            _mm_unpackhi_epi16(low, low),
            _mm_unpacklo_epi16(high, high),
            _mm_unpackhi_epi16(high, high),
        ];
        let [a, b, c, d] = quarters;
        [
            _mm_srai_epi32::<24>(a),
            _mm_srai_epi32::<24>(b),
            _mm_srai_epi32::<24>(c),
            _mm_srai_epi32::<24>(d),
        ]
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn store(values: Floats, output: &mut [f32; LANES]) {
        for (value, output) in values.into_iter().zip(output.as_chunks_mut::<4>().0) {
            // SAFETY: `output` has four numbers.
            unsafe { _mm_storeu_ps(output.as_mut_ptr(), value) };
        }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn add(a: Floats, b: Floats) -> Floats {
        [
            _mm_add_ps(a[0], b[0]),
            _mm_add_ps(a[1], b[1]),
            _mm_add_ps(a[2], b[2]),
            _mm_add_ps(a[3], b[3]),
        ]
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn mul(a: Floats, b: Floats) -> Floats {
        [
            _mm_mul_ps(a[0], b[0]),
            _mm_mul_ps(a[1], b[1]),
            _mm_mul_ps(a[2], b[2]),
            _mm_mul_ps(a[3], b[3]),
        ]
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn scale(values: Floats, by: &f32) -> Floats {
        mul(values, splat(*by))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn splat_integer(value: i32) -> Integers {
        [_mm_set1_epi32(value); 4]
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn to_floats(values: Integers) -> Floats {
        let [a, b, c, d] = values;
        [_mm_cvtepi32_ps(a), _mm_cvtepi32_ps(b), _mm_cvtepi32_ps(c), _mm_cvtepi32_ps(d)]
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load_weights(weights: &[u8; 4 * LANES], i: usize) -> __m128i {
        let weights = &weights.as_chunks::<16>().0[i];
        // SAFETY: sixteen bytes are read from a reference to sixteen.
        unsafe { _mm_loadu_si128(weights.as_ptr().cast()) }
    }

    /// Σ of the products of unsigned bytes with 16-bit numbers, even places and odd places apart.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn multiply_add(sum: __m128i, weights: __m128i, even: __m128i, odd: __m128i) -> __m128i {
        let even = _mm_madd_epi16(_mm_and_si128(weights, _mm_set1_epi16(0xff)), even);
        let odd = _mm_madd_epi16(_mm_srli_epi16::<8>(weights), odd);
        _mm_add_epi32(sum, _mm_add_epi32(even, odd))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn dot(
        mut sums: Integers,
        weights: &[u8; 4 * LANES],
        [even, odd]: [u32; 2],
    ) -> Integers {
        let even = _mm_set1_epi32(even.cast_signed());
        let odd = _mm_set1_epi32(odd.cast_signed());
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = multiply_add(*sum, load_weights(weights, i), even, odd);
        }
        sums
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn dot_nibbles(
        mut sums: Integers,
        weights: &[u8; 4 * LANES],
        [low, high]: [i32; 2],
    ) -> Integers {
        let mask = _mm_set1_epi8(15);
        let (low, high) = (_mm_set1_epi32(low), _mm_set1_epi32(high));
        // Signed bytes become 16-bit numbers by shifts that keep the sign.
        let (low_even, low_odd) =
            (_mm_srai_epi16::<8>(_mm_slli_epi16::<8>(low)), _mm_srai_epi16::<8>(low));
        let (high_even, high_odd) =
            (_mm_srai_epi16::<8>(_mm_slli_epi16::<8>(high)), _mm_srai_epi16::<8>(high));
        for (i, sum) in sums.iter_mut().enumerate() {
            let weights = load_weights(weights, i);
            let (lower, upper) =
                (_mm_and_si128(weights, mask), _mm_and_si128(_mm_srli_epi16::<4>(weights), mask));
            *sum = multiply_add(*sum, lower, low_even, low_odd);
            *sum = multiply_add(*sum, upper, high_even, high_odd);
        }
        sums
    }

    /// The largest sum that `pmaddubsw` makes here, 4 · 15 · 128, is far from saturating.
    #[inline]
    #[target_feature(enable = "ssse3")]
    pub(super) fn dot_nibbles_ssse3(
        mut sums: Integers,
        weights: &[u8; 4 * LANES],
        [low, high]: [i32; 2],
    ) -> Integers {
        let (mask, ones) = (_mm_set1_epi8(15), _mm_set1_epi16(1));
        let (low, high) = (_mm_set1_epi32(low), _mm_set1_epi32(high));
        for (i, sum) in sums.iter_mut().enumerate() {
            let weights = load_weights(weights, i);
            let lower = _mm_maddubs_epi16(_mm_and_si128(weights, mask), low);
            let upper = _mm_and_si128(_mm_srli_epi16::<4>(weights), mask);
            let pairs = _mm_add_epi16(lower, _mm_maddubs_epi16(upper, high));
            *sum = _mm_add_epi32(*sum, _mm_madd_epi16(pairs, ones));
        }
        sums
    }
}

/// Two registers of 256 bits.
mod ymm {
    use super::*;

    pub(super) type Floats = [__m256; 2];
    pub(super) type Integers = [__m256i; 2];

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn splat(value: f32) -> Floats {
        [_mm256_set1_ps(value); 2]
    }

    /// # Safety
    ///
    /// [`LANES`] numbers lie there.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn load(values: *const f32) -> Floats {
        // SAFETY: the caller's promise.
        unsafe { [_mm256_loadu_ps(values), _mm256_loadu_ps(values.add(8))] }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_words(bytes: &[u8; 2 * LANES]) -> [__m128i; 2] {
        let words = bytes.as_chunks::<16>().0;
        // SAFETY: sixteen bytes are read from a reference to sixteen.
        [0, 1].map(|i: usize| unsafe { _mm_loadu_si128(words[i].as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn load_f16(bytes: &[u8; 2 * LANES]) -> Floats {
        let [low, high] = load_words(bytes);
        [_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn bf16(words: __m128i) -> __m256 {
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(words)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn load_bf16(bytes: &[u8; 2 * LANES]) -> Floats {
        let [low, high] = load_words(bytes);
        [bf16(low), bf16(high)]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn load_i8(bytes: &[u8; LANES]) -> Integers {
        // SAFETY: sixteen bytes are read from a reference to sixteen.
        let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
        [_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes))]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn store([low, high]: Floats, output: &mut [f32; LANES]) {
        // SAFETY: `output` has room for two registers.
        unsafe {
            _mm256_storeu_ps(output.as_mut_ptr(), low);
            _mm256_storeu_ps(output.as_mut_ptr().add(8), high);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn add(a: Floats, b: Floats) -> Floats {
        [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn mul(a: Floats, b: Floats) -> Floats {
        [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn scale(values: Floats, by: &f32) -> Floats {
        mul(values, splat(*by))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn splat_integer(value: i32) -> Integers {
        [_mm256_set1_epi32(value); 2]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn to_floats([low, high]: Integers) -> Floats {
        [_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_weights(weights: &[u8; 4 * LANES]) -> [__m256i; 2] {
        let weights = weights.as_chunks::<32>().0;
        // SAFETY: 32 bytes are read from a reference to 32.
        [0, 1].map(|i: usize| unsafe { _mm256_loadu_si256(weights[i].as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn multiply_add(sum: __m256i, weights: __m256i, even: __m256i, odd: __m256i) -> __m256i {
        let even = _mm256_madd_epi16(_mm256_and_si256(weights, _mm256_set1_epi16(0xff)), even);
        let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(weights), odd);
        _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn dot(
        sums: Integers,
        weights: &[u8; 4 * LANES],
        [even, odd]: [u32; 2],
    ) -> Integers {
        let even = _mm256_set1_epi32(even.cast_signed());
        let odd = _mm256_set1_epi32(odd.cast_signed());
        let [low, high] = load_weights(weights);
        [multiply_add(sums[0], low, even, odd), multiply_add(sums[1], high, even, odd)]
    }

    /// The lower and the upper four bits of each byte.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn nibbles(bytes: __m256i) -> [__m256i; 2] {
        let mask = _mm256_set1_epi8(15);
        [_mm256_and_si256(bytes, mask), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask)]
    }

    /// The largest sum that `vpmaddubsw` makes here, 4 · 15 · 128, is far from saturating.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn maddubs_nibbles(sum: __m256i, weights: __m256i, low: __m256i, high: __m256i) -> __m256i {
        let [lower, upper] = nibbles(weights);
        let pairs =
            _mm256_add_epi16(_mm256_maddubs_epi16(lower, low), _mm256_maddubs_epi16(upper, high));
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn dot_nibbles(
        sums: Integers,
        weights: &[u8; 4 * LANES],
        [low, high]: [i32; 2],
    ) -> Integers {
        let (low, high) = (_mm256_set1_epi32(low), _mm256_set1_epi32(high));
        let [first, second] = load_weights(weights);
        [maddubs_nibbles(sums[0], first, low, high), maddubs_nibbles(sums[1], second, low, high)]
    }

    /// `vpdpbusd` in one of its two encodings.
    macro_rules! with_vnni {
        ($features:literal, $dpbusd:ident, $dot:ident, $dot_nibbles:ident) => {
            #[inline]
            #[target_feature(enable = $features)]
            pub(super) fn $dot(
                sums: Integers,
                weights: &[u8; 4 * LANES],
                [x]: [u32; 1],
            ) -> Integers {
                let x = _mm256_set1_epi32(x.cast_signed());
                let [low, high] = load_weights(weights);
                [$dpbusd(sums[0], low, x), $dpbusd(sums[1], high, x)]
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub(super) fn $dot_nibbles(
                sums: Integers,
                weights: &[u8; 4 * LANES],
                [low, high]: [i32; 2],
            ) -> Integers {
                let (low, high) = (_mm256_set1_epi32(low), _mm256_set1_epi32(high));
                let [first, second] = load_weights(weights);
                let ([lower, upper], [lower2, upper2]) = (nibbles(first), nibbles(second));
                [
                    $dpbusd($dpbusd(sums[0], lower, low), upper, high),
                    $dpbusd($dpbusd(sums[1], lower2, low), upper2, high),
                ]
            }
        };
    }
    with_vnni!("avx2,avxvnni", _mm256_dpbusd_avx_epi32, dot_vnni, dot_nibbles_vnni);
    with_vnni!(
        "avx2,avx512f,avx512vl,avx512vnni",
        _mm256_dpbusd_epi32,
        dot_vnni_twin,
        dot_nibbles_vnni_twin
    );
}

/// One register of 512 bits.
mod zmm {
    use super::*;

    pub(super) type Floats = __m512;
    pub(super) type Integers = __m512i;

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn splat(value: f32) -> Floats {
        _mm512_set1_ps(value)
    }

    /// # Safety
    ///
    /// [`LANES`] numbers lie there.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn load(values: *const f32) -> Floats {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(values) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_words(bytes: &[u8; 2 * LANES]) -> __m256i {
        // SAFETY: 32 bytes are read from a reference to 32.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx2")]
    pub(super) fn load_f16(bytes: &[u8; 2 * LANES]) -> Floats {
        _mm512_cvtph_ps(load_words(bytes))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx2")]
    pub(super) fn load_bf16(bytes: &[u8; 2 * LANES]) -> Floats {
        let words = _mm512_cvtepu16_epi32(load_words(bytes));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn load_i8(bytes: &[u8; LANES]) -> Integers {
        // SAFETY: sixteen bytes are read from a reference to sixteen.
        _mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn store(values: Floats, output: &mut [f32; LANES]) {
        // SAFETY: `output` has room for the register.
        unsafe { _mm512_storeu_ps(output.as_mut_ptr(), values) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn add(a: Floats, b: Floats) -> Floats {
        _mm512_add_ps(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn mul(a: Floats, b: Floats) -> Floats {
        _mm512_mul_ps(a, b)
    }

    /// A multiplication that reads its factor for all lanes itself. LLVM would put the factor into a
    /// register first where it is used twice, and on Zen 4 that takes the place of an addition: a
    /// third of the speed.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn scale(values: Floats, by: &f32) -> Floats {
        let products;
        // SAFETY: one number is read from a reference to one, and no memory is written. Not
        // `preserves_flags`: a rounding sets flags of MXCSR.
        unsafe {
            core::arch::asm!(
                "vmulps {products}, {values}, dword ptr [{by}]{{1to16}}",
                products = lateout(zmm_reg) products,
                values = in(zmm_reg) values,
                by = in(reg) by,
                options(pure, readonly, nostack),
            );
        }
        products
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn splat_integer(value: i32) -> Integers {
        _mm512_set1_epi32(value)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn to_floats(values: Integers) -> Floats {
        _mm512_cvtepi32_ps(values)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_weights(weights: &[u8; 4 * LANES]) -> __m512i {
        // SAFETY: 64 bytes are read from a reference to 64.
        unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn dot(sums: Integers, weights: &[u8; 4 * LANES], x: [u32; 2]) -> Integers {
        let [even, odd] = x.map(|x| _mm512_set1_epi32(x.cast_signed()));
        let weights = load_weights(weights);
        let even = _mm512_madd_epi16(_mm512_and_si512(weights, _mm512_set1_epi16(0xff)), even);
        let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(weights), odd);
        _mm512_add_epi32(sums, _mm512_add_epi32(even, odd))
    }

    /// The lower and the upper four bits of each byte.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn nibbles(bytes: __m512i) -> [__m512i; 2] {
        let mask = _mm512_set1_epi8(15);
        [_mm512_and_si512(bytes, mask), _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), mask)]
    }

    /// The largest sum that `vpmaddubsw` makes here, 4 · 15 · 128, is far from saturating.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn dot_nibbles(
        sums: Integers,
        weights: &[u8; 4 * LANES],
        [low, high]: [i32; 2],
    ) -> Integers {
        let [lower, upper] = nibbles(load_weights(weights));
        let pairs = _mm512_add_epi16(
            _mm512_maddubs_epi16(lower, _mm512_set1_epi32(low)),
            _mm512_maddubs_epi16(upper, _mm512_set1_epi32(high)),
        );
        _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn dot_vnni(sums: Integers, weights: &[u8; 4 * LANES], [x]: [u32; 1]) -> Integers {
        let x = _mm512_set1_epi32(x.cast_signed());
        _mm512_dpbusd_epi32(sums, load_weights(weights), x)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn dot_nibbles_vnni(
        sums: Integers,
        weights: &[u8; 4 * LANES],
        [low, high]: [i32; 2],
    ) -> Integers {
        let [lower, upper] = nibbles(load_weights(weights));
        let sums = _mm512_dpbusd_epi32(sums, lower, _mm512_set1_epi32(low));
        _mm512_dpbusd_epi32(sums, upper, _mm512_set1_epi32(high))
    }
}
