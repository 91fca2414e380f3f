//! What the formats of 32 values with one scale share.
//!
//! In a file a row is its blocks; a block is its scale (`f16`) and then the bytes of its values. A
//! panel is, block after block, the 32 rows' scales, then `[quad][row][4]`, the bytes in quads. `B`
//! is the number of bytes of a block in a file.

use crate::PANEL;
use crate::format::{NotFinite, PlaneBytes, RowLayout};
use crate::input::Rounding;
use crate::pack::place;
use bootllm_simd::f16_to_f32;

/// Values in a block.
pub(crate) const VALUES: usize = 32;
/// Bytes of a scale.
pub(crate) const SCALE: usize = 2;
/// Bytes of a row that are adjacent in a panel.
pub(crate) const QUAD: usize = 4;

/// Inputs are quantized in blocks of the same length, ties to even.
pub(crate) const ROUNDING: Rounding = Rounding::HalfEven;

/// The bits of a binary16's exponent, all of which are set in infinities and NaN.
pub(crate) const F16_EXPONENT: u16 = 0x7c00;

/// See [`Format::plane_bytes`](crate::format::Format::plane_bytes).
pub(crate) fn plane_bytes<const B: usize>(row: RowLayout) -> Option<PlaneBytes> {
    Some([(row.blocks() as u64).checked_mul(B as u64)?, 0])
}

/// See [`Format::panel_bytes`](crate::format::Format::panel_bytes).
pub(crate) fn panel_bytes<const B: usize>(row: RowLayout) -> Option<usize> {
    row.blocks().checked_mul(PANEL * B)
}

/// The scale of a block, its first two bytes.
pub(crate) fn scale<const B: usize>(block: &[u8; B]) -> f32 {
    f16_to_f32(scale_bits(block))
}

fn scale_bits<const B: usize>(block: &[u8; B]) -> u16 {
    u16::from_le_bytes([block[0], block[1]])
}

/// Packs up to [`PANEL`] rows. The bits `flip` of the bytes of their values are flipped.
pub(crate) fn pack_panel<const B: usize>(row: RowLayout, rows: &[u8], panel: &mut [u8], flip: u8) {
    let rows = rows.chunks_exact(row.blocks() * B).take(PANEL);
    for (number, packed) in panel.chunks_exact_mut(PANEL * B).enumerate() {
        let (scales, values) = packed.split_at_mut(PANEL * SCALE);
        for (row, blocks) in rows.clone().enumerate() {
            let block = &blocks.as_chunks::<B>().0[number];
            place::<SCALE>(&block[..SCALE], row, scales, 0);
            place::<QUAD>(&block[SCALE..], row, values, flip);
        }
    }
}

/// The blocks of a packed row as they are in a file.
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

/// See [`Format::check_row`](crate::format::Format::check_row).
pub(crate) fn check_row<const B: usize>(row: &[u8]) -> Result<(), NotFinite> {
    let scales = row.as_chunks::<B>().0.iter().map(|block| scale_bits(block).into());
    NotFinite::check(scales, F16_EXPONENT.into())
}
