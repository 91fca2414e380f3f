//! 4-bit integers in blocks of 32, GGUF's Q4_0 (ggml's `block_q4_0`).
//!
//! A weight is `(q − 8) · d` with q from 0 to 15 and one `f16` d for each block of 32 values of a
//! row. In a file a block has 18 bytes: d, and 16 bytes with the values 0 to 15 in their low halves
//! and 16 to 31 in their high halves. In a panel it has 576, as `blocks.rs` says.

use crate::PANEL;
use crate::blocks::{self, GROUPS, QUAD, SCALE, VALUES};
use crate::format::{Format, GgufType, NotFinite, PlaneBytes, Shape, Twin};
use crate::half::f16_from_f32;
use crate::input::{Groups, Input, Rounding};
use crate::product::{Blocks, IntegerWeights, Product, Strip, product};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa, LANES, Simd, word};

/// The format itself; see the module's page.
pub struct Q4_0;

/// Bytes of a block in a file.
const BLOCK: usize = SCALE + HALF;
/// Values in the low halves of a block's bytes, and in the high ones.
const HALF: usize = VALUES / 2;
/// The q of a weight of 0.
const ZERO: i32 = 8;

impl Format for Q4_0 {
    fn name(&self) -> &'static str {
        "q4_0"
    }

    fn gguf_type(&self) -> Option<GgufType> {
        Some(GgufType { tensor: 2, file: 2 })
    }

    fn plane_bytes(&self, shape: &Shape) -> Option<PlaneBytes> {
        blocks::plane_bytes::<BLOCK>(shape)
    }

    fn panel_bytes(&self, shape: &Shape) -> Option<usize> {
        blocks::panel_bytes::<BLOCK>(shape)
    }

    fn pack_panel(&self, shape: &Shape, planes: [&[u8]; 2], panel: &mut [u8]) {
        blocks::pack_panel::<BLOCK>(shape, planes[0], panel, 0);
    }

    fn unpack_row(&self, _: &Shape, panel: &[u8], row_in_panel: usize, output: &mut [f32]) {
        let packed = blocks::packed_row(panel, row_in_panel, 0);
        packed.zip(output.as_chunks_mut().0).for_each(|(block, output)| decode(&block, output));
    }

    fn decode_row(&self, _: &Shape, planes: [&[u8]; 2], output: &mut [f32]) {
        let blocks = planes[0].as_chunks().0.iter();
        blocks.zip(output.as_chunks_mut().0).for_each(|(block, output)| decode(block, output));
    }

    fn encode_row(&self, _: &Shape, row: &[f32], planes: [&mut [u8]; 2]) {
        let blocks = planes[0].as_chunks_mut().0.iter_mut();
        blocks.zip(row.as_chunks().0).for_each(|(block, values)| encode(values, block));
    }

    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite> {
        blocks::check_row::<BLOCK>(planes[0])
    }

    fn input_groups(&self, _: &Shape) -> Option<Groups> {
        Some(GROUPS)
    }

    fn twin(&self) -> Twin {
        multiply_scalar
    }

    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
        product::<Blocks<Self>>(cpu, isa)
    }
}

impl IntegerWeights for Q4_0 {
    const ROUNDING: Rounding = GROUPS.rounding;
    const SCALE: usize = SCALE;

    fn values(_: &Shape) -> usize {
        VALUES
    }

    fn lines(_: &Shape) -> usize {
        HALF / QUAD
    }

    fn words<S: Simd>() -> usize {
        2
    }

    /// A line's bytes hold four values of the first half and four of the second.
    #[inline(always)]
    fn prepare<S: Simd>(block: &[i8], mut put: impl FnMut(u32)) {
        let (low, high) = block.split_at(HALF);
        for (&low, &high) in low.as_chunks().0.iter().zip(high.as_chunks().0) {
            put(word(low));
            put(word(high));
        }
    }

    #[inline(always)]
    fn start<S: Simd>(sum: i32) -> i32 {
        -ZERO * sum
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, strip: Strip, scales: &[u8]) -> S::Floats {
        simd.load_f16(strip.own(scales))
    }

    #[inline(always)]
    fn dot<S: Simd>(
        simd: S,
        sums: S::Integers,
        weights: &[u8; LANES * QUAD],
        words: impl Fn(usize) -> u32,
    ) -> S::Integers {
        simd.dot_nibbles(sums, weights, [words(0), words(1)])
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
/// value of the largest magnitude becomes −8, so what has the other sign may be cut off at 7.
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

fn multiply_scalar(_: &Shape, panel: &[u8], input: &Input<'_>, output: &mut [f32; PANEL]) {
    blocks::multiply_scalar::<BLOCK>(panel, input, output, integer_sums);
}

/// Σ (q − 8) · x of one block for each of the 32 rows, exact.
fn integer_sums(values: &[u8], x: &[i8]) -> [i32; PANEL] {
    let mut sums = [0; PANEL];
    let (low, high) = x.split_at(HALF);
    let quads = values.as_chunks::<{ PANEL * QUAD }>().0.iter();
    for (quad, (low, high)) in quads.zip(low.chunks(QUAD).zip(high.chunks(QUAD))) {
        for (sum, bytes) in sums.iter_mut().zip(quad.as_chunks::<QUAD>().0) {
            for (&byte, (&low, &high)) in bytes.iter().zip(low.iter().zip(high)) {
                let [first, second] = halves(byte);
                *sum += first * i32::from(low) + second * i32::from(high);
            }
        }
    }
    sums
}
