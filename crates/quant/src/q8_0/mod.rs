//! 8-bit integers in blocks of 32, GGUF's Q8_0 (ggml's `block_q8_0`).
//!
//! A weight is `q · d` with q an `i8` and one `f16` d for each block of 32 values of a row. In a
//! file a block has 34 bytes: d, and the values in order. In a panel the blocks of 32 rows have 1088
//! bytes, as `blocks.rs` describes, the values' sign bits flipped as in `int8`.

use crate::blocks::{self, QUAD, SCALE, VALUES};
use crate::format::{Encode, Format, NotFinite, PlaneBytes, RowLayout};
use crate::input::Rounding;
use crate::int8::{Int8, SIGN_BIT};
use crate::product::{HalfPanel, IntegerWeights, Integers, Product, product};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa, Simd, VECTOR_BYTES, f16_from_f32, round_half_away};

/// The format.
pub struct Q8_0;

/// Bytes of a block in a file.
const BLOCK: usize = SCALE + VALUES;

impl Format for Q8_0 {
    fn plane_bytes(&self, row: RowLayout) -> Option<PlaneBytes> {
        blocks::plane_bytes::<BLOCK>(row)
    }

    fn panel_bytes(&self, row: RowLayout) -> Option<usize> {
        blocks::panel_bytes::<BLOCK>(row)
    }

    fn pack_panel(&self, row: RowLayout, planes: [&[u8]; 2], panel: &mut [u8]) {
        blocks::pack_panel::<BLOCK>(row, planes[0], panel, SIGN_BIT);
    }

    fn unpack_row(&self, _: RowLayout, panel: &[u8], row_in_panel: usize, output: &mut [f32]) {
        let packed = blocks::packed_row(panel, row_in_panel, SIGN_BIT);
        packed.zip(output.as_chunks_mut().0).for_each(|(block, output)| decode(&block, output));
    }

    fn decode_row(&self, _: RowLayout, planes: [&[u8]; 2], output: &mut [f32]) {
        let blocks = planes[0].as_chunks().0.iter();
        blocks.zip(output.as_chunks_mut().0).for_each(|(block, output)| decode(block, output));
    }

    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite> {
        blocks::check_row::<BLOCK>(planes[0])
    }

    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
        product::<Integers<Self>>(cpu, isa)
    }

    fn encoder(&self) -> Option<&dyn Encode> {
        Some(self)
    }
}

impl Encode for Q8_0 {
    fn encode_row(&self, _: RowLayout, values: &[f32], planes: [&mut [u8]; 2]) {
        let blocks = planes[0].as_chunks_mut().0.iter_mut();
        blocks.zip(values.as_chunks().0).for_each(|(block, values)| encode(values, block));
    }
}

/// Lines are those of int8.
impl IntegerWeights for Q8_0 {
    const ROUNDING: Rounding = blocks::ROUNDING;
    const SCALE: usize = SCALE;

    type Line<S: Simd> = S::Bytes;

    fn block_len(_: RowLayout) -> usize {
        VALUES
    }

    fn lines(_: RowLayout) -> usize {
        VALUES / QUAD
    }

    fn line_words<S: Simd>() -> usize {
        Int8::line_words::<S>()
    }

    #[inline(always)]
    fn pack_input<S: Simd>(block: &[i8], put: impl FnMut(u32)) {
        Int8::pack_input::<S>(block, put);
    }

    #[inline(always)]
    fn correction<S: Simd>(input_sum: i32) -> i32 {
        Int8::correction::<S>(input_sum)
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, half: HalfPanel, scales: &[u8]) -> S::Floats {
        simd.load_finite_f16(half.of(scales))
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, line: &[u8; VECTOR_BYTES]) -> S::Bytes {
        Int8::load(simd, line)
    }

    #[inline(always)]
    fn dot<S: Simd>(
        simd: S,
        sums: S::Integers,
        line: S::Bytes,
        words: impl Fn(usize) -> u32,
    ) -> S::Integers {
        Int8::dot(simd, sums, line, words)
    }
}

fn decode(block: &[u8; BLOCK], output: &mut [f32; VALUES]) {
    let scale = blocks::scale(block);
    for (output, &value) in output.iter_mut().zip(&block[SCALE..]) {
        *output = f32::from(value.cast_signed()) * scale;
    }
}

/// The operations of ggml's `quantize_row_q8_0_ref`, so that the bytes are llama.cpp's too: a
/// product with the inverse of the scale before it is rounded to `f16`; ties away from zero.
fn encode(values: &[f32; VALUES], block: &mut [u8; BLOCK]) {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    block[..SCALE].copy_from_slice(&f16_from_f32(scale).to_le_bytes());
    for (byte, value) in block[SCALE..].iter_mut().zip(values) {
        *byte = round_half_away(value * inverse) as i8 as u8;
    }
}
