//! What formats of 2 bytes a value share.
//!
//! In a file, a row is its values, little-endian. A panel is `[column][row of the panel]`, 64 bytes
//! a column. A product is that of `f32`, each weight being turned into the `f32` that it is.

use crate::PANEL;
use crate::format::{Format, GgufType, NotFinite, PlaneBytes, Shape, Twin};
use crate::input::{Groups, Input};
use crate::pack::interleave;
use crate::product::{FloatWeights, Floats, Product, Strip, product};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa, LANES, Simd};

/// Bytes of a value.
pub(crate) const VALUE: usize = 2;

/// A format of 2 bytes a value.
pub(crate) trait TwoBytes: Send + Sync + 'static {
    /// See [`Format::name`].
    const NAME: &'static str;
    /// See [`Format::gguf_type`].
    const GGUF_TYPE: GgufType;
    /// The bits of the exponent, all of which are set in infinities and NaN.
    const EXPONENT: u16;

    /// The number that the bits stand for, exact.
    fn to_f32(bits: u16) -> f32;

    /// The bits of the nearest number, halfway to the even one.
    fn from_f32(value: f32) -> u16;

    /// Finite numbers as they lie in memory.
    fn load<S: Simd>(simd: S, bytes: &[u8; VALUE * LANES]) -> S::Floats;
}

impl<T: TwoBytes> Format for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn gguf_type(&self) -> Option<GgufType> {
        Some(T::GGUF_TYPE)
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
        let columns = panel.as_chunks::<{ PANEL * VALUE }>().0;
        for (output, column) in output.iter_mut().zip(columns) {
            *output = value::<T>(column.as_chunks().0[row_in_panel]);
        }
    }

    fn decode_row(&self, _: &Shape, planes: [&[u8]; 2], output: &mut [f32]) {
        for (output, &bytes) in output.iter_mut().zip(planes[0].as_chunks().0) {
            *output = value::<T>(bytes);
        }
    }

    fn encode_row(&self, _: &Shape, row: &[f32], planes: [&mut [u8]; 2]) {
        for (bytes, &value) in planes[0].as_chunks_mut().0.iter_mut().zip(row) {
            *bytes = T::from_f32(value).to_le_bytes();
        }
    }

    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite> {
        let numbers = planes[0].as_chunks().0.iter().map(|&value| u16::from_le_bytes(value).into());
        NotFinite::check(numbers, T::EXPONENT.into())
    }

    fn input_groups(&self, _: &Shape) -> Option<Groups> {
        None
    }

    fn twin(&self) -> Twin {
        multiply_scalar::<T>
    }

    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
        product::<Floats<T>>(cpu, isa)
    }
}

fn value<T: TwoBytes>(bytes: [u8; VALUE]) -> f32 {
    T::to_f32(u16::from_le_bytes(bytes))
}

impl<T: TwoBytes> FloatWeights for T {
    const COLUMN: usize = PANEL * VALUE;

    #[inline(always)]
    fn load<S: Simd>(simd: S, strip: Strip, column: &[u8]) -> S::Floats {
        T::load(simd, strip.own(column))
    }
}

/// The scalar twin: `matmul` of llama2.c's `run.c` for 32 rows at once.
fn multiply_scalar<T: TwoBytes>(
    _: &Shape,
    panel: &[u8],
    input: &Input<'_>,
    output: &mut [f32; PANEL],
) {
    let mut sums = [0.0f32; PANEL];
    let columns = panel.as_chunks::<{ PANEL * VALUE }>().0;
    for (column, &x) in columns.iter().zip(input.values) {
        for (sum, &weight) in sums.iter_mut().zip(column.as_chunks().0) {
            *sum += value::<T>(weight) * x;
        }
    }
    *output = sums;
}
