//! What formats of 32 values with one scale share.
//!
//! In a file, a row is its blocks; a block is its scale (`f16`) and then the bytes of its values. A
//! panel is, block after block: the 32 rows' scales, then `[quad][row][4]`, the bytes in quads. `B`
//! stands for the bytes of a block in a file.

use crate::PANEL;
use crate::format::{NotFinite, PlaneBytes, Shape};
use crate::half::{F16_EXPONENT, f16_to_f32};
use crate::input::{Groups, Input, Rounding};
use crate::pack::place;

/// Values in a block.
pub(crate) const VALUES: usize = 32;
/// Bytes of a scale.
pub(crate) const SCALE: usize = 2;
/// Bytes of a row that lie together in a panel.
pub(crate) const QUAD: usize = 4;

/// Inputs are quantized in blocks of the same length.
pub(crate) const GROUPS: Groups = Groups { values: VALUES, rounding: Rounding::HalfEven };

/// See [`Format::plane_bytes`](crate::Format::plane_bytes).
pub(crate) fn plane_bytes<const B: usize>(shape: &Shape) -> Option<PlaneBytes> {
    Some([((shape.columns / VALUES) as u64).checked_mul(B as u64)?, 0])
}

/// See [`Format::panel_bytes`](crate::Format::panel_bytes).
pub(crate) fn panel_bytes<const B: usize>(shape: &Shape) -> Option<usize> {
    (shape.columns / VALUES).checked_mul(PANEL * B)
}

/// The scale of a block, with which it begins.
pub(crate) fn scale<const B: usize>(block: &[u8; B]) -> f32 {
    f16_to_f32(scale_bits(block))
}

fn scale_bits<const B: usize>(block: &[u8; B]) -> u16 {
    u16::from_le_bytes([block[0], block[1]])
}

/// Packs up to [`PANEL`] rows, flipping the bits `flip` of the bytes of their values.
pub(crate) fn pack_panel<const B: usize>(shape: &Shape, rows: &[u8], panel: &mut [u8], flip: u8) {
    let rows = rows.chunks_exact(shape.columns / VALUES * B).take(PANEL);
    for (number, packed) in panel.chunks_exact_mut(PANEL * B).enumerate() {
        let (scales, values) = packed.split_at_mut(PANEL * SCALE);
        for (row, blocks) in rows.clone().enumerate() {
            let block = &blocks.as_chunks::<B>().0[number];
            place::<SCALE>(&block[..SCALE], row, scales, 0);
            place::<QUAD>(&block[SCALE..], row, values, flip);
        }
    }
}

/// Gives the blocks of a packed row back as they lie in a file.
pub(crate) fn packed_row<const B: usize>(
    panel: &[u8],
    row_in_panel: usize,
    flip: u8,
) -> impl Iterator<Item = [u8; B]> {
    panel.chunks_exact(PANEL * B).map(move |packed| {
        let mut block = [0; B];
        let (scale, values) = block.split_at_mut(SCALE);
        let (scales, quads) = packed.split_at(PANEL * SCALE);
        scale.copy_from_slice(&scales[row_in_panel * SCALE..][..SCALE]);
        let quads = quads.as_chunks::<{ PANEL * QUAD }>().0;
        for (values, quad) in values.as_chunks_mut::<QUAD>().0.iter_mut().zip(quads) {
            *values = quad.as_chunks().0[row_in_panel].map(|value| value ^ flip);
        }
        block
    })
}

/// See [`Format::check_row`](crate::Format::check_row).
pub(crate) fn check_row<const B: usize>(row: &[u8]) -> Result<(), NotFinite> {
    let scales = row.as_chunks::<B>().0.iter().map(|block| scale_bits(block).into());
    NotFinite::check(scales, F16_EXPONENT.into())
}

/// The scalar twin of a product. `integer_sums` gives the exact Σ value · x of one block for each
/// of the 32 rows; it is converted once and scaled by the weight's scale, then by the input's.
pub(crate) fn multiply_scalar<const B: usize>(
    panel: &[u8],
    input: &Input<'_>,
    output: &mut [f32; PANEL],
    integer_sums: fn(&[u8], &[i8]) -> [i32; PANEL],
) {
    let mut sums = [0.0f32; PANEL];
    for ((packed, x), &x_scale) in
        panel.chunks_exact(PANEL * B).zip(input.quantized.chunks_exact(VALUES)).zip(input.scales)
    {
        let (scales, values) = packed.split_at(PANEL * SCALE);
        let integers = integer_sums(values, x);
        for ((sum, integer), &scale) in sums.iter_mut().zip(integers).zip(scales.as_chunks().0) {
            *sum += integer as f32 * f16_to_f32(u16::from_le_bytes(scale)) * x_scale;
        }
    }
    *output = sums;
}
