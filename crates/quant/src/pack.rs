//! Rows put side by side: from the order of a file to that of a panel.

use crate::PANEL;

/// Bytes of each row that are taken at once: a cache line of it. The lines of a panel's rows and
/// what is made of them stay in the nearest cache, however far apart the rows lie.
const LINE: usize = 64;

/// Puts the bytes of up to [`PANEL`] rows side by side in groups of `N`: `output` is
/// `[group][row of the panel][N]`. The bits `flip` of every byte are flipped.
///
/// If the bytes are no whole groups, the rest of the last group is left as it is, and so are the
/// places of rows that are not there.
pub(crate) fn interleave<'a, const N: usize>(
    rows: impl Iterator<Item = &'a [u8]> + Clone,
    output: &mut [u8],
    flip: u8,
) {
    for (number, output) in output.chunks_mut(PANEL * LINE).enumerate() {
        for (row, bytes) in rows.clone().take(PANEL).enumerate() {
            let bytes = &bytes[number * LINE..];
            match (bytes.first_chunk::<LINE>(), output.first_chunk_mut::<{ PANEL * LINE }>()) {
                // The same, compiled for these lengths.
                (Some(line), Some(output)) => place::<N>(line, row, output, flip),
                _ => place::<N>(bytes, row, output, flip),
            }
        }
    }
}

/// Puts the bytes of one row into its place in `output`, which is `[group][row of the panel][N]`.
#[inline(always)]
pub(crate) fn place<const N: usize>(bytes: &[u8], row: usize, output: &mut [u8], flip: u8) {
    for (group, together) in bytes.chunks(N).zip(output.chunks_exact_mut(PANEL * N)) {
        for (output, byte) in together[row * N..][..N].iter_mut().zip(group) {
            *output = byte ^ flip;
        }
    }
}
