//! Four registers of 128 bits.

use super::{LANES, VECTOR_BYTES};
use crate::half::{F16_INFINITY_SCALED, F16_SCALE};
use core::arch::x86_64::*;

pub(super) type Floats = [__m128; 4];
pub(super) type Integers = [__m128i; 4];
pub(super) type Bytes = [__m128i; 4];

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
            {
                const $i: usize = 2;
                $result
            },
            {
                const $i: usize = 3;
                $result
            },
        ]
    };
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn splat(value: f32) -> Floats {
    [_mm_set1_ps(value); 4]
}

/// # Safety
/// `values` points to [`LANES`] floats.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) unsafe fn load(values: *const f32) -> Floats {
    // SAFETY: the caller's promise.
    each!(I => unsafe { _mm_loadu_ps(values.add(4 * I)) })
}

/// Sixteen bytes of several times as many.
#[inline]
#[target_feature(enable = "sse2")]
fn load_16(bytes: &[u8], i: usize) -> __m128i {
    let bytes = &bytes.as_chunks::<16>().0[i];
    // SAFETY: sixteen bytes are read from a reference to sixteen.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// The four 16-bit numbers that belong into register `i`, each in the lower half of a lane.
#[inline]
#[target_feature(enable = "sse2")]
fn load_u16(bytes: &[u8; 2 * LANES], i: usize) -> __m128i {
    let numbers = _mm_cvtsi64_si128(i64::from_le_bytes(bytes.as_chunks::<8>().0[i]));
    _mm_unpacklo_epi16(numbers, _mm_setzero_si128())
}

/// The sign and the scaled magnitude of 16-bit floats, as in [`crate::half`].
#[inline]
#[target_feature(enable = "sse2")]
fn scaled_f16(bits: __m128i) -> (__m128, __m128) {
    let sign = _mm_slli_epi32::<16>(_mm_and_si128(bits, _mm_set1_epi32(0x8000)));
    let magnitude = _mm_slli_epi32::<13>(_mm_and_si128(bits, _mm_set1_epi32(0x7fff)));
    let magnitude = _mm_mul_ps(_mm_castsi128_ps(magnitude), _mm_set1_ps(F16_SCALE));
    (_mm_castsi128_ps(sign), magnitude)
}

#[inline]
#[target_feature(enable = "sse2")]
fn f16(bits: __m128i) -> __m128 {
    let (sign, magnitude) = scaled_f16(bits);
    let special = _mm_cmpge_ps(magnitude, _mm_set1_ps(F16_INFINITY_SCALED));
    let special = _mm_and_ps(special, _mm_set1_ps(f32::INFINITY));
    _mm_or_ps(_mm_or_ps(magnitude, special), sign)
}

#[inline]
#[target_feature(enable = "sse2")]
fn finite_f16(bits: __m128i) -> __m128 {
    let (sign, magnitude) = scaled_f16(bits);
    _mm_or_ps(magnitude, sign)
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn load_f16(bytes: &[u8; 2 * LANES]) -> Floats {
    each!(I => f16(load_u16(bytes, I)))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn load_finite_f16(bytes: &[u8; 2 * LANES]) -> Floats {
    each!(I => finite_f16(load_u16(bytes, I)))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn load_bf16(bytes: &[u8; 2 * LANES]) -> Floats {
    each!(I => _mm_castsi128_ps(_mm_slli_epi32::<16>(load_u16(bytes, I))))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn store(values: Floats, output: &mut [f32; LANES]) {
    for (value, output) in values.into_iter().zip(output.as_chunks_mut::<4>().0) {
        // SAFETY: `output` has four floats.
        unsafe { _mm_storeu_ps(output.as_mut_ptr(), value) };
    }
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn add(a: Floats, b: Floats) -> Floats {
    each!(I => _mm_add_ps(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn mul(a: Floats, b: Floats) -> Floats {
    each!(I => _mm_mul_ps(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn scale(values: Floats, by: &f32) -> Floats {
    mul(values, splat(*by))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn splat_i32(value: i32) -> Integers {
    [_mm_set1_epi32(value); 4]
}

/// Each of sixteen bytes at the top of its lane.
#[inline]
#[target_feature(enable = "sse2")]
fn spread(bytes: &[u8; LANES]) -> Integers {
    let (bytes, zero) = (load_16(bytes, 0), _mm_setzero_si128());
    let (low, high) = (_mm_unpacklo_epi8(zero, bytes), _mm_unpackhi_epi8(zero, bytes));
    [
        _mm_unpacklo_epi16(zero, low),
        _mm_unpackhi_epi16(zero, low),
        _mm_unpacklo_epi16(zero, high),
        _mm_unpackhi_epi16(zero, high),
    ]
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn widen_u8(bytes: &[u8; LANES]) -> Integers {
    let spread = spread(bytes);
    each!(I => _mm_srli_epi32::<24>(spread[I]))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn widen_i8(bytes: &[u8; LANES]) -> Integers {
    let spread = spread(bytes);
    each!(I => _mm_srai_epi32::<24>(spread[I]))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn add_i32(a: Integers, b: Integers) -> Integers {
    each!(I => _mm_add_epi32(a[I], b[I]))
}

/// Products of even lanes and of odd lanes, of which the lower halves are kept.
#[inline]
#[target_feature(enable = "sse2")]
fn mul_one_i32(a: __m128i, b: __m128i) -> __m128i {
    let even = _mm_shuffle_epi32::<0b10_00>(_mm_mul_epu32(a, b));
    let odd = _mm_mul_epu32(_mm_srli_epi64::<32>(a), _mm_srli_epi64::<32>(b));
    _mm_unpacklo_epi32(even, _mm_shuffle_epi32::<0b10_00>(odd))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn mul_i32(a: Integers, b: Integers) -> Integers {
    each!(I => mul_one_i32(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn to_floats(values: Integers) -> Floats {
    each!(I => _mm_cvtepi32_ps(values[I]))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn splat_u8(value: u8) -> Bytes {
    [_mm_set1_epi8(value.cast_signed()); 4]
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn load_u8(bytes: &[u8; VECTOR_BYTES]) -> Bytes {
    each!(I => load_16(bytes, I))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn store_u8(bytes: Bytes, output: &mut [u8; VECTOR_BYTES]) {
    for (bytes, output) in bytes.into_iter().zip(output.as_chunks_mut::<16>().0) {
        // SAFETY: `output` has sixteen bytes.
        unsafe { _mm_storeu_si128(output.as_mut_ptr().cast(), bytes) };
    }
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn and_u8(a: Bytes, b: Bytes) -> Bytes {
    each!(I => _mm_and_si128(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn or_u8(a: Bytes, b: Bytes) -> Bytes {
    each!(I => _mm_or_si128(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn add_u8(a: Bytes, b: Bytes) -> Bytes {
    each!(I => _mm_add_epi8(a[I], b[I]))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn shift_left_u8<const N: i32>(bytes: Bytes) -> Bytes {
    and_u8(each!(I => _mm_slli_epi16::<N>(bytes[I])), splat_u8(0xff << N))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn shift_right_u8<const N: i32>(bytes: Bytes) -> Bytes {
    and_u8(each!(I => _mm_srli_epi16::<N>(bytes[I])), splat_u8(0xff >> N))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn lookup_u8(table: &[u8; 16], indices: Bytes) -> Bytes {
    let mut bytes = [0; VECTOR_BYTES];
    store_u8(indices, &mut bytes);
    load_u8(&bytes.map(|index| table[usize::from(index & 15)]))
}

/// Indices are below 128, so `pshufb` uses their low four bits.
#[inline]
#[target_feature(enable = "ssse3")]
pub(super) fn lookup_u8_ssse3(table: &[u8; 16], indices: Bytes) -> Bytes {
    let table = load_16(table, 0);
    each!(I => _mm_shuffle_epi8(table, indices[I]))
}

/// Adds products of unsigned bytes with 16-bit numbers for even places and for odd places.
#[inline]
#[target_feature(enable = "sse2")]
fn multiply_add(sum: __m128i, weights: __m128i, even: __m128i, odd: __m128i) -> __m128i {
    let even = _mm_madd_epi16(_mm_and_si128(weights, _mm_set1_epi16(0xff)), even);
    let odd = _mm_madd_epi16(_mm_srli_epi16::<8>(weights), odd);
    _mm_add_epi32(sum, _mm_add_epi32(even, odd))
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn dot(sums: Integers, weights: Bytes, [even, odd]: [u32; 2]) -> Integers {
    let even = _mm_set1_epi32(even.cast_signed());
    let odd = _mm_set1_epi32(odd.cast_signed());
    each!(I => multiply_add(sums[I], weights[I], even, odd))
}

/// The signed bytes of a word as 16-bit numbers, those at even places and those at odd places.
#[inline]
#[target_feature(enable = "sse2")]
fn widen_quad(x: i32) -> [__m128i; 2] {
    let x = _mm_set1_epi32(x);
    [_mm_srai_epi16::<8>(_mm_slli_epi16::<8>(x)), _mm_srai_epi16::<8>(x)]
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn dot_small(sums: Integers, first: Bytes, second: Bytes, x: [i32; 2]) -> Integers {
    let ([even, odd], [even2, odd2]) = (widen_quad(x[0]), widen_quad(x[1]));
    each!(I => {
        let sum = multiply_add(sums[I], first[I], even, odd);
        multiply_add(sum, second[I], even2, odd2)
    })
}

#[inline]
#[target_feature(enable = "ssse3")]
pub(super) fn dot_small_ssse3(
    sums: Integers,
    first: Bytes,
    second: Bytes,
    x: [i32; 2],
) -> Integers {
    let (x, x2, ones) = (_mm_set1_epi32(x[0]), _mm_set1_epi32(x[1]), _mm_set1_epi16(1));
    each!(I => {
        let pairs = _mm_add_epi16(_mm_maddubs_epi16(first[I], x), _mm_maddubs_epi16(second[I], x2));
        _mm_add_epi32(sums[I], _mm_madd_epi16(pairs, ones))
    })
}
