//! Two registers of 256 bits.

use super::{LANES, VECTOR_BYTES};
use core::arch::x86_64::*;

pub(super) type Floats = [__m256; 2];
pub(super) type Integers = [__m256i; 2];
pub(super) type Bytes = [__m256i; 2];

/// One result for each register. (A closure would not have the function's target features until it
/// is inlined.)
macro_rules! each {
    ($i:ident => $result:expr) => {
        [
            {
                const $i: usize = 0;
                $result
            },
            {
                const $i: usize = 1;
                $result
            },
        ]
    };
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn splat(value: f32) -> Floats {
    [_mm256_set1_ps(value); 2]
}

/// # Safety
/// `values` points to [`LANES`] floats.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn load(values: *const f32) -> Floats {
    // SAFETY: the caller's promise.
    each!(I => unsafe { _mm256_loadu_ps(values.add(8 * I)) })
}

/// Sixteen bytes of several times as many.
#[inline]
#[target_feature(enable = "avx2")]
fn load_16(bytes: &[u8], i: usize) -> __m128i {
    let bytes = &bytes.as_chunks::<16>().0[i];
    // SAFETY: sixteen bytes are read from a reference to sixteen.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn load_f16(bytes: &[u8; 2 * LANES]) -> Floats {
    each!(I => _mm256_cvtph_ps(load_16(bytes, I)))
}

pub(super) use load_f16 as load_finite_f16;

#[inline]
#[target_feature(enable = "avx2")]
fn bf16(bits: __m128i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits)))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_bf16(bytes: &[u8; 2 * LANES]) -> Floats {
    each!(I => bf16(load_16(bytes, I)))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(values: Floats, output: &mut [f32; LANES]) {
    for (value, output) in values.into_iter().zip(output.as_chunks_mut::<8>().0) {
        // SAFETY: `output` has eight floats.
        unsafe { _mm256_storeu_ps(output.as_mut_ptr(), value) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add(a: Floats, b: Floats) -> Floats {
    each!(I => _mm256_add_ps(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn mul(a: Floats, b: Floats) -> Floats {
    each!(I => _mm256_mul_ps(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn scale(values: Floats, by: &f32) -> Floats {
    mul(values, splat(*by))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn splat_i32(value: i32) -> Integers {
    [_mm256_set1_epi32(value); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn widen_u8(bytes: &[u8; LANES]) -> Integers {
    let bytes = load_16(bytes, 0);
    [_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn widen_i8(bytes: &[u8; LANES]) -> Integers {
    let bytes = load_16(bytes, 0);
    [_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes))]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add_i32(a: Integers, b: Integers) -> Integers {
    each!(I => _mm256_add_epi32(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn mul_i32(a: Integers, b: Integers) -> Integers {
    each!(I => _mm256_mullo_epi32(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn to_floats(values: Integers) -> Floats {
    each!(I => _mm256_cvtepi32_ps(values[I]))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn splat_u8(value: u8) -> Bytes {
    [_mm256_set1_epi8(value.cast_signed()); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_u8(bytes: &[u8; VECTOR_BYTES]) -> Bytes {
    let halves = bytes.as_chunks::<32>().0;
    // SAFETY: 32 bytes are read from a reference to 32.
    each!(I => unsafe { _mm256_loadu_si256(halves[I].as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_u8(bytes: Bytes, output: &mut [u8; VECTOR_BYTES]) {
    for (bytes, output) in bytes.into_iter().zip(output.as_chunks_mut::<32>().0) {
        // SAFETY: `output` has 32 bytes.
        unsafe { _mm256_storeu_si256(output.as_mut_ptr().cast(), bytes) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn and_u8(a: Bytes, b: Bytes) -> Bytes {
    each!(I => _mm256_and_si256(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn or_u8(a: Bytes, b: Bytes) -> Bytes {
    each!(I => _mm256_or_si256(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add_u8(a: Bytes, b: Bytes) -> Bytes {
    each!(I => _mm256_add_epi8(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn shift_left_u8<const N: i32>(bytes: Bytes) -> Bytes {
    and_u8(each!(I => _mm256_slli_epi16::<N>(bytes[I])), splat_u8(0xff << N))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn shift_right_u8<const N: i32>(bytes: Bytes) -> Bytes {
    and_u8(each!(I => _mm256_srli_epi16::<N>(bytes[I])), splat_u8(0xff >> N))
}

/// Indices are below 128, so `vpshufb` uses their low four bits.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn lookup_u8(table: &[u8; 16], indices: Bytes) -> Bytes {
    let table = _mm256_broadcastsi128_si256(load_16(table, 0));
    each!(I => _mm256_shuffle_epi8(table, indices[I]))
}

/// Adds products of unsigned bytes with 16-bit numbers for even places and for odd places.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply_add(sum: __m256i, weights: __m256i, even: __m256i, odd: __m256i) -> __m256i {
    let even = _mm256_madd_epi16(_mm256_and_si256(weights, _mm256_set1_epi16(0xff)), even);
    let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(weights), odd);
    _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn dot(sums: Integers, weights: Bytes, [even, odd]: [u32; 2]) -> Integers {
    let even = _mm256_set1_epi32(even.cast_signed());
    let odd = _mm256_set1_epi32(odd.cast_signed());
    each!(I => multiply_add(sums[I], weights[I], even, odd))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn dot_small(sums: Integers, first: Bytes, second: Bytes, x: [i32; 2]) -> Integers {
    let (x, x2, ones) = (_mm256_set1_epi32(x[0]), _mm256_set1_epi32(x[1]), _mm256_set1_epi16(1));
    each!(I => {
        let pairs = _mm256_maddubs_epi16(first[I], x);
        let pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(second[I], x2));
        _mm256_add_epi32(sums[I], _mm256_madd_epi16(pairs, ones))
    })
}

/// `vpdpbusd` in one of its two encodings.
macro_rules! with_vnni {
    ($features:literal, $dpbusd:ident, $dot:ident, $dot_small:ident) => {
        #[inline]
        #[target_feature(enable = $features)]
        pub(super) fn $dot(sums: Integers, weights: Bytes, [x]: [u32; 1]) -> Integers {
            let x = _mm256_set1_epi32(x.cast_signed());
            each!(I => $dpbusd(sums[I], weights[I], x))
        }

        #[inline]
        #[target_feature(enable = $features)]
        pub(super) fn $dot_small(
            sums: Integers,
            first: Bytes,
            second: Bytes,
            x: [i32; 2],
        ) -> Integers {
            let (x, x2) = (_mm256_set1_epi32(x[0]), _mm256_set1_epi32(x[1]));
            each!(I => $dpbusd($dpbusd(sums[I], first[I], x), second[I], x2))
        }
    };
}
with_vnni!("avx2,avxvnni", _mm256_dpbusd_avx_epi32, dot_vnni, dot_small_vnni);
with_vnni!(
    "avx2,avx512f,avx512vl,avx512vnni",
    _mm256_dpbusd_epi32,
    dot_vnni_evex,
    dot_small_vnni_evex
);
