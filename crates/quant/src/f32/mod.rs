//! 32-bit floating point: the weights of llama2.c's v0 and v1, and GGUF's F32.
//!
//! In a file a row is its values, little-endian. A panel is `[column][row of the panel]`.

use crate::PANEL;
use crate::format::{Encode, Format, NotFinite, PlaneBytes, RowLayout};
use crate::pack::interleave;
use crate::product::{FloatWeights, Floats, HalfPanel, Product, product};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa, Simd};

/// Bytes of a value.
const VALUE: usize = size_of::<f32>();

/// The format.
pub struct F32;

impl Format for F32 {
    fn plane_bytes(&self, row: RowLayout) -> Option<PlaneBytes> {
        Some([(row.columns as u64).checked_mul(VALUE as u64)?, 0])
    }

    fn panel_bytes(&self, row: RowLayout) -> Option<usize> {
        row.columns.checked_mul(PANEL * VALUE)
    }

    fn pack_panel(&self, row: RowLayout, planes: [&[u8]; 2], panel: &mut [u8]) {
        interleave::<VALUE>(planes[0].chunks_exact(row.columns * VALUE), panel, 0);
    }

    fn unpack_row(&self, _: RowLayout, panel: &[u8], row_in_panel: usize, output: &mut [f32]) {
        let (columns, _) = panel.as_chunks::<{ PANEL * VALUE }>();
        for (output, column) in output.iter_mut().zip(columns) {
            *output = f32::from_le_bytes(column.as_chunks().0[row_in_panel]);
        }
    }

    fn decode_row(&self, _: RowLayout, planes: [&[u8]; 2], output: &mut [f32]) {
        for (output, &value) in output.iter_mut().zip(planes[0].as_chunks().0) {
            *output = f32::from_le_bytes(value);
        }
    }

    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite> {
        NotFinite::check_f32(planes[0])
    }

    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
        product::<Floats<Self>>(cpu, isa)
    }

    fn encoder(&self) -> Option<&dyn Encode> {
        Some(self)
    }
}

impl Encode for F32 {
    fn encode_row(&self, _: RowLayout, values: &[f32], planes: [&mut [u8]; 2]) {
        for (bytes, value) in planes[0].as_chunks_mut().0.iter_mut().zip(values) {
            *bytes = value.to_le_bytes();
        }
    }
}

impl FloatWeights for F32 {
    const COLUMN: usize = PANEL * VALUE;

    #[inline(always)]
    fn load<S: Simd>(simd: S, half: HalfPanel, column: &[u8]) -> S::Floats {
        simd.load_f32(half.of(column))
    }
}
