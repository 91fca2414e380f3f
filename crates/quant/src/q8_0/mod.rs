//! 8-bit integers in blocks of 32, GGUF's Q8_0 (ggml's `block_q8_0`).
//!
//! A weight is `q · d` with q an `i8` and one `f16` d for each block of 32 values of a row. In a
//! file a block has 34 bytes: d, and the values in order. In a panel it has 1088, as `blocks.rs`
//! says, the values' sign bits flipped as in `int8`.

use crate::PANEL;
use crate::blocks::{self, GROUPS, QUAD, SCALE, VALUES};
use crate::format::{Format, GgufType, NotFinite, PlaneBytes, Shape, Twin};
use crate::half::f16_from_f32;
use crate::input::{Groups, Input, Rounding};
use crate::int8::{Int8, SIGN, integer_sums};
use crate::product::{Blocks, IntegerWeights, Product, Strip, product};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa, LANES, Simd, round_half_away};

/// The format itself; see the module's page.
pub struct Q8_0;

/// Bytes of a block in a file.
const BLOCK: usize = SCALE + VALUES;

impl Format for Q8_0 {
    fn name(&self) -> &'static str {
        "q8_0"
    }

    fn gguf_type(&self) -> Option<GgufType> {
        Some(GgufType { tensor: 8, file: 7 })
    }

    fn plane_bytes(&self, shape: &Shape) -> Option<PlaneBytes> {
        blocks::plane_bytes::<BLOCK>(shape)
    }

    fn panel_bytes(&self, shape: &Shape) -> Option<usize> {
        blocks::panel_bytes::<BLOCK>(shape)
    }

    fn pack_panel(&self, shape: &Shape, planes: [&[u8]; 2], panel: &mut [u8]) {
        blocks::pack_panel::<BLOCK>(shape, planes[0], panel, SIGN);
    }

    fn unpack_row(&self, _: &Shape, panel: &[u8], row_in_panel: usize, output: &mut [f32]) {
        let packed = blocks::packed_row(panel, row_in_panel, SIGN);
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

/// As int8's, but for the scales, and a block's length.
impl IntegerWeights for Q8_0 {
    const ROUNDING: Rounding = GROUPS.rounding;
    const SCALE: usize = SCALE;

    fn values(_: &Shape) -> usize {
        VALUES
    }

    fn lines(_: &Shape) -> usize {
        VALUES / QUAD
    }

    fn words<S: Simd>() -> usize {
        <Int8 as IntegerWeights>::words::<S>()
    }

    #[inline(always)]
    fn prepare<S: Simd>(block: &[i8], put: impl FnMut(u32)) {
        <Int8 as IntegerWeights>::prepare::<S>(block, put);
    }

    #[inline(always)]
    fn start<S: Simd>(sum: i32) -> i32 {
        Int8::start::<S>(sum)
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
        Int8::dot(simd, sums, weights, words)
    }
}

fn decode(block: &[u8; BLOCK], output: &mut [f32; VALUES]) {
    let scale = blocks::scale(block);
    for (output, &value) in output.iter_mut().zip(&block[SCALE..]) {
        *output = f32::from(value as i8) * scale;
    }
}

/// The operations of ggml's `quantize_row_q8_0_ref`, so that the bytes are llama.cpp's too: a
/// product with the inverse, by the scale before it is rounded to `f16`; halves away from zero.
fn encode(values: &[f32; VALUES], block: &mut [u8; BLOCK]) {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    block[..SCALE].copy_from_slice(&f16_from_f32(scale).to_le_bytes());
    for (byte, value) in block[SCALE..].iter_mut().zip(values) {
        *byte = round_half_away(value * inverse) as i8 as u8;
    }
}

fn multiply_scalar(_: &Shape, panel: &[u8], input: &Input<'_>, output: &mut [f32; PANEL]) {
    blocks::multiply_scalar::<BLOCK>(panel, input, output, integer_sums);
}
