//! 4-bit integers in blocks of 32, GGUF's Q4_0 (ggml's `block_q4_0`).
//!
//! A weight is `(q − 8) · d` with q from 0 to 15 and one `f16` d for each block of 32 values of a
//! row. In a file a block has 18 bytes: d, and 16 bytes with the values 0 to 15 in their low halves
//! and 16 to 31 in their high halves. In a panel the blocks of 32 rows have 576 bytes, as `blocks.rs`
//! describes.

use crate::blocks::{self, QUAD, SCALE, VALUES};
use crate::format::{Encode, Format, NotFinite, PlaneBytes, RowLayout};
use crate::input::Rounding;
use crate::product::{HalfPanel, IntegerWeights, Integers, Product, product};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa, Simd, SmallBytes, VECTOR_BYTES, f16_from_f32, quad_word};

/// The format.
pub struct Q4_0;

/// Bytes of a block in a file.
const BLOCK: usize = SCALE + HALF;
/// Values in the low halves of a block's bytes, and in the high ones.
const HALF: usize = VALUES / 2;
/// The q of a weight of 0.
const ZERO: i32 = 8;

impl Format for Q4_0 {
    fn plane_bytes(&self, row: RowLayout) -> Option<PlaneBytes> {
        blocks::plane_bytes::<BLOCK>(row)
    }

    fn panel_bytes(&self, row: RowLayout) -> Option<usize> {
        blocks::panel_bytes::<BLOCK>(row)
    }

    fn pack_panel(&self, row: RowLayout, planes: [&[u8]; 2], panel: &mut [u8]) {
        blocks::pack_panel::<BLOCK>(row, planes[0], panel, 0);
    }

    fn unpack_row(&self, _: RowLayout, panel: &[u8], row_in_panel: usize, output: &mut [f32]) {
        let packed = blocks::packed_row(panel, row_in_panel, 0);
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

impl Encode for Q4_0 {
    fn encode_row(&self, _: RowLayout, values: &[f32], planes: [&mut [u8]; 2]) {
        let blocks = planes[0].as_chunks_mut().0.iter_mut();
        blocks.zip(values.as_chunks().0).for_each(|(block, values)| encode(values, block));
    }
}

impl IntegerWeights for Q4_0 {
    const ROUNDING: Rounding = blocks::ROUNDING;
    const SCALE: usize = SCALE;

    /// The q of values of the first half of a block, and of the second.
    type Line<S: Simd> = [SmallBytes<S>; 2];

    fn block_len(_: RowLayout) -> usize {
        VALUES
    }

    fn lines(_: RowLayout) -> usize {
        HALF / QUAD
    }

    fn line_words<S: Simd>() -> usize {
        2
    }

    #[inline(always)]
    fn pack_input<S: Simd>(block: &[i8], mut put: impl FnMut(u32)) {
        let (low, high) = block.split_at(HALF);
        for (&low, &high) in low.as_chunks().0.iter().zip(high.as_chunks().0) {
            put(quad_word(low));
            put(quad_word(high));
        }
    }

    #[inline(always)]
    fn correction<S: Simd>(input_sum: i32) -> i32 {
        -ZERO * input_sum
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, half: HalfPanel, scales: &[u8]) -> S::Floats {
        simd.load_finite_f16(half.of(scales))
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, line: &[u8; VECTOR_BYTES]) -> [SmallBytes<S>; 2] {
        let bytes = simd.load_u8(line);
        [simd.low_bits::<4>(bytes), simd.high_bits::<4>(bytes)]
    }

    #[inline(always)]
    fn dot<S: Simd>(
        simd: S,
        sums: S::Integers,
        line: [SmallBytes<S>; 2],
        words: impl Fn(usize) -> u32,
    ) -> S::Integers {
        simd.dot_small(sums, line, [words(0), words(1)])
    }
}

/// The integers of a byte of a block: of its low half and of its high half.
fn halves(byte: u8) -> [i32; 2] {
    [i32::from(byte & 15) - ZERO, i32::from(byte >> 4) - ZERO]
}

fn decode(block: &[u8; BLOCK], output: &mut [f32; VALUES]) {
    let scale = blocks::scale(block);
    for (index, &byte) in block[SCALE..].iter().enumerate() {
        let [low, high] = halves(byte);
        output[index] = low as f32 * scale;
        output[index + HALF] = high as f32 * scale;
    }
}

/// The operations of ggml's `quantize_row_q4_0_ref`, so that the bytes are llama.cpp's too: the
/// value of the largest magnitude becomes −8, so one of the other sign may be clamped to 7.
fn encode(values: &[f32; VALUES], block: &mut [u8; BLOCK]) {
    let mut largest = 0.0f32;
    for &value in values {
        if value.abs() > largest.abs() {
            largest = value;
        }
    }
    let scale = largest / -8.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    block[..SCALE].copy_from_slice(&f16_from_f32(scale).to_le_bytes());
    let quantized = |index: usize| ((values[index] * inverse + 8.5) as u8).min(15);
    for (index, byte) in block[SCALE..].iter_mut().enumerate() {
        *byte = quantized(index) | quantized(index + HALF) << 4;
    }
}
