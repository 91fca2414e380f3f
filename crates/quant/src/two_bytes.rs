//! What the formats of 2 bytes per value share.
//!
//! In a file a row is its values, little-endian. A panel is `[column][row of the panel]`, 64 bytes
//! per column. Each weight is converted to `f32`, exactly, and multiplied as one.

use crate::PANEL;
use crate::format::{Encode, Format, NotFinite, PlaneBytes, RowLayout};
use crate::pack::interleave;
use crate::product::{FloatWeights, Floats, HalfPanel, Product, product};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa, LANES, Simd};

/// Bytes of a value.
pub(crate) const VALUE: usize = 2;

/// A format of 2 bytes per value.
pub(crate) trait TwoBytes: Send + Sync + 'static {
    /// The bits of the exponent, all of which are set in infinities and NaN.
    const EXPONENT: u16;

    /// The number that the bits stand for, exactly.
    fn to_f32(bits: u16) -> f32;

    /// The bits of the nearest number, ties to even.
    fn from_f32(value: f32) -> u16;

    /// Loads little-endian numbers.
    fn load<S: Simd>(simd: S, bytes: &[u8; VALUE * LANES]) -> S::Floats;
}

impl<T: TwoBytes> Format for T {
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
        let columns = panel.as_chunks::<{ PANEL * VALUE }>().0;
        for (output, column) in output.iter_mut().zip(columns) {
            *output = value::<T>(column.as_chunks().0[row_in_panel]);
        }
    }

    fn decode_row(&self, _: RowLayout, planes: [&[u8]; 2], output: &mut [f32]) {
        for (output, &bytes) in output.iter_mut().zip(planes[0].as_chunks().0) {
            *output = value::<T>(bytes);
        }
    }

    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite> {
        let numbers = planes[0].as_chunks().0.iter().map(|&value| u16::from_le_bytes(value).into());
        NotFinite::check(numbers, T::EXPONENT.into())
    }

    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
        product::<Floats<T>>(cpu, isa)
    }

    fn encoder(&self) -> Option<&dyn Encode> {
        Some(self)
    }
}

impl<T: TwoBytes> Encode for T {
    fn encode_row(&self, _: RowLayout, values: &[f32], planes: [&mut [u8]; 2]) {
        for (bytes, &value) in planes[0].as_chunks_mut().0.iter_mut().zip(values) {
            *bytes = T::from_f32(value).to_le_bytes();
        }
    }
}

fn value<T: TwoBytes>(bytes: [u8; VALUE]) -> f32 {
    T::to_f32(u16::from_le_bytes(bytes))
}

impl<T: TwoBytes> FloatWeights for T {
    const COLUMN: usize = PANEL * VALUE;

    #[inline(always)]
    fn load<S: Simd>(simd: S, half: HalfPanel, column: &[u8]) -> S::Floats {
        T::load(simd, half.of(column))
    }
}
