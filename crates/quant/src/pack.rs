//! Packing: from the order of rows in a file to that in a panel.

use crate::PANEL;

/// Bytes of each row that are packed at a time: a cache line. The lines of a panel's rows and their
/// packed bytes stay in L1, however far apart the rows are.
const LINE: usize = 64;

/// Interleaves the bytes of up to [`PANEL`] rows in groups of `N`: `output` is
/// `[group][row of the panel][N]`. The bits `flip` of every byte are flipped.
///
/// The rest of an incomplete last group keeps its values, and so do the bytes of missing rows.
pub(crate) fn interleave<'a, const N: usize>(
    rows: impl Iterator<Item = &'a [u8]> + Clone,
    output: &mut [u8],
    flip: u8,
) {
    for (number, output) in output.chunks_mut(PANEL * LINE).enumerate() {
        for (row, bytes) in rows.clone().take(PANEL).enumerate() {
            let bytes = &bytes[number * LINE..];
            match (bytes.first_chunk::<LINE>(), output.first_chunk_mut::<{ PANEL * LINE }>()) {
                // The other arm, compiled for these lengths.
                (Some(line), Some(output)) => place::<N>(line, row, output, flip),
                _ => place::<N>(bytes, row, output, flip),
            }
        }
    }
}

/// Copies the bytes of one row to their places in `output`, which is `[group][row of the panel][N]`.
#[inline(always)]
pub(crate) fn place<const N: usize>(bytes: &[u8], row: usize, output: &mut [u8], flip: u8) {
    for (group, rows) in bytes.chunks(N).zip(output.chunks_exact_mut(PANEL * N)) {
        for (output, byte) in rows[row * N..][..N].iter_mut().zip(group) {
            *output = byte ^ flip;
        }
    }
}
