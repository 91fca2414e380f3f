//! One register of 512 bits.

use super::{LANES, VECTOR_BYTES};
use core::arch::x86_64::*;

pub(super) type Floats = __m512;
pub(super) type Integers = __m512i;
pub(super) type Bytes = __m512i;

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat(value: f32) -> Floats {
    _mm512_set1_ps(value)
}

/// # Safety
/// `values` points to [`LANES`] floats.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn load(values: *const f32) -> Floats {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_ps(values) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: sixteen bytes are read from a reference to sixteen.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes are read from a reference to 32.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx2")]
pub(super) fn load_f16(bytes: &[u8; 2 * LANES]) -> Floats {
    _mm512_cvtph_ps(load_32(bytes))
}

pub(super) use load_f16 as load_finite_f16;

#[inline]
#[target_feature(enable = "avx512f,avx2")]
pub(super) fn load_bf16(bytes: &[u8; 2 * LANES]) -> Floats {
    let bits = _mm512_cvtepu16_epi32(load_32(bytes));
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(values: Floats, output: &mut [f32; LANES]) {
    // SAFETY: `output` has as many floats as the register.
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

/// A multiplication that broadcasts its factor from memory. LLVM would load a factor that is used
/// twice into a register first, and on Zen 4 that takes the slot of an addition: a third of the
/// speed.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn scale(values: Floats, by: &f32) -> Floats {
    let products;
    // SAFETY: one float is read from a reference to one, and no memory is written. Not
    // `preserves_flags`: rounding sets flags of MXCSR.
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
pub(super) fn splat_i32(value: i32) -> Integers {
    _mm512_set1_epi32(value)
}

#[inline]
#[target_feature(enable = "avx512f,avx2")]
pub(super) fn widen_u8(bytes: &[u8; LANES]) -> Integers {
    _mm512_cvtepu8_epi32(load_16(bytes))
}

#[inline]
#[target_feature(enable = "avx512f,avx2")]
pub(super) fn widen_i8(bytes: &[u8; LANES]) -> Integers {
    _mm512_cvtepi8_epi32(load_16(bytes))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add_i32(a: Integers, b: Integers) -> Integers {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn mul_i32(a: Integers, b: Integers) -> Integers {
    _mm512_mullo_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn to_floats(values: Integers) -> Floats {
    _mm512_cvtepi32_ps(values)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat_u8(value: u8) -> Bytes {
    _mm512_set1_epi8(value.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_u8(bytes: &[u8; VECTOR_BYTES]) -> Bytes {
    // SAFETY: 64 bytes are read from a reference to 64.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_u8(bytes: Bytes, output: &mut [u8; VECTOR_BYTES]) {
    // SAFETY: `output` has as many bytes as the register.
    unsafe { _mm512_storeu_si512(output.as_mut_ptr().cast(), bytes) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn and_u8(a: Bytes, b: Bytes) -> Bytes {
    _mm512_and_si512(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn or_u8(a: Bytes, b: Bytes) -> Bytes {
    _mm512_or_si512(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn add_u8(a: Bytes, b: Bytes) -> Bytes {
    _mm512_add_epi8(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn shift_left_u8<const N: i32>(bytes: Bytes) -> Bytes {
    and_u8(_mm512_sll_epi16(bytes, _mm_cvtsi32_si128(N)), splat_u8(0xff << N))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn shift_right_u8<const N: i32>(bytes: Bytes) -> Bytes {
    and_u8(_mm512_srl_epi16(bytes, _mm_cvtsi32_si128(N)), splat_u8(0xff >> N))
}

/// Indices are below 128, so `vpshufb` uses their low four bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx2")]
pub(super) fn lookup_u8(table: &[u8; 16], indices: Bytes) -> Bytes {
    _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load_16(table)), indices)
}

/// Adds products of unsigned bytes with 16-bit numbers for even places and for odd places.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn dot(sums: Integers, weights: Bytes, x: [u32; 2]) -> Integers {
    let [even, odd] = x.map(|x| _mm512_set1_epi32(x.cast_signed()));
    let even = _mm512_madd_epi16(_mm512_and_si512(weights, _mm512_set1_epi16(0xff)), even);
    let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(weights), odd);
    _mm512_add_epi32(sums, _mm512_add_epi32(even, odd))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn dot_small(sums: Integers, first: Bytes, second: Bytes, x: [i32; 2]) -> Integers {
    let pairs = _mm512_add_epi16(
        _mm512_maddubs_epi16(first, _mm512_set1_epi32(x[0])),
        _mm512_maddubs_epi16(second, _mm512_set1_epi32(x[1])),
    );
    _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn dot_vnni(sums: Integers, weights: Bytes, [x]: [u32; 1]) -> Integers {
    _mm512_dpbusd_epi32(sums, weights, _mm512_set1_epi32(x.cast_signed()))
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn dot_small_vnni(sums: Integers, first: Bytes, second: Bytes, x: [i32; 2]) -> Integers {
    let sums = _mm512_dpbusd_epi32(sums, first, _mm512_set1_epi32(x[0]));
    _mm512_dpbusd_epi32(sums, second, _mm512_set1_epi32(x[1]))
}
