//! 32-bit floating point: the weights of llama2.c's v0 and v1, and GGUF's F32.
//!
//! In a file, a row is its values, little-endian. A panel is `[column][row of the panel]`.

use crate::format::{Format, GgufType, NotFinite, PlaneBytes, Shape, Twin};
use crate::pack::interleave;
use crate::product::{FloatWeights, Floats, Product, Strip, product};
use crate::{Groups, Input, PANEL};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa, Simd};

/// Bytes of a value.
const VALUE: usize = size_of::<f32>();

/// The format itself; see the module's page.
pub struct F32;

impl Format for F32 {
    fn name(&self) -> &'static str {
        "f32"
    }

    fn gguf_type(&self) -> Option<GgufType> {
        Some(GgufType { tensor: 0, file: 0 })
    }

    fn plane_bytes(&self, shape: &Shape) -> Option<PlaneBytes> {
        Some([(shape.columns as u64).checked_mul(VALUE as u64)?, 0])
    }

    fn panel_bytes(&self, shape: &Shape) -> Option<usize> {
        shape.columns.checked_mul(PANEL * VALUE)
    }

    fn pack_panel(&self, shape: &Shape, planes: [&[u8]; 2], panel: &mut [u8]) {
        interleave::<VALUE>(planes[0].chunks_exact(shape.columns * VALUE), panel, 0);
    }

    fn unpack_row(&self, _: &Shape, panel: &[u8], row_in_panel: usize, output: &mut [f32]) {
        let (columns, _) = panel.as_chunks::<{ PANEL * VALUE }>();
        for (output, column) in output.iter_mut().zip(columns) {
            *output = f32::from_le_bytes(column.as_chunks().0[row_in_panel]);
        }
    }

    fn decode_row(&self, _: &Shape, planes: [&[u8]; 2], output: &mut [f32]) {
        for (output, &value) in output.iter_mut().zip(planes[0].as_chunks().0) {
            *output = f32::from_le_bytes(value);
        }
    }

    fn encode_row(&self, _: &Shape, row: &[f32], planes: [&mut [u8]; 2]) {
        for (bytes, value) in planes[0].as_chunks_mut().0.iter_mut().zip(row) {
            *bytes = value.to_le_bytes();
        }
    }

    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite> {
        NotFinite::check_f32(planes[0])
    }

    fn input_groups(&self, _: &Shape) -> Option<Groups> {
        None
    }

    fn twin(&self) -> Twin {
        multiply_scalar
    }

    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
        product::<Floats<Self>>(cpu, isa)
    }
}

impl FloatWeights for F32 {
    const COLUMN: usize = PANEL * VALUE;

    #[inline(always)]
    fn load<S: Simd>(simd: S, strip: Strip, column: &[u8]) -> S::Floats {
        simd.load_bytes(strip.own(column))
    }
}

/// The scalar twin: `matmul` of llama2.c's `run.c` for 32 rows at once.
fn multiply_scalar(_: &Shape, panel: &[u8], input: &Input<'_>, output: &mut [f32; PANEL]) {
    let mut sums = [0.0f32; PANEL];
    let (columns, _) = panel.as_chunks::<{ PANEL * VALUE }>();
    for (column, &x) in columns.iter().zip(input.values) {
        for (sum, &weight) in sums.iter_mut().zip(column.as_chunks().0) {
            *sum += f32::from_le_bytes(weight) * x;
        }
    }
    *output = sums;
}
