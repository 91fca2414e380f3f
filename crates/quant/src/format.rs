//! What a weight format implements.

use crate::product::Product;
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa};

/// The size of a row, which is all of a matrix that its format needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowLayout {
    /// Values in a row.
    pub columns: usize,
    /// Values that share a scale; 1 if there are no scales. It divides `columns`.
    pub block: usize,
}

impl RowLayout {
    /// Blocks in a row.
    pub fn blocks(self) -> usize {
        self.columns / self.block
    }
}

/// Bytes of a row in each plane of a file. A plane is a run of rows: formats that store scales apart
/// from values have two, the others one (and 0 bytes in the second).
pub type PlaneBytes = [u64; 2];

/// A weight format. Methods take rows as they are in a file, or packed panels of
/// [`PANEL`](crate::PANEL) rows.
pub(crate) trait Format: Sync {
    /// Bytes of a row in each plane of a file; `None` beyond `u64`.
    fn plane_bytes(&self, row: RowLayout) -> Option<PlaneBytes>;

    /// Bytes of a packed panel; `None` beyond `usize`.
    fn panel_bytes(&self, row: RowLayout) -> Option<usize>;

    /// Packs up to [`PANEL`](crate::PANEL) consecutive rows. The bytes of missing rows keep their
    /// values.
    fn pack_panel(&self, row: RowLayout, planes: [&[u8]; 2], panel: &mut [u8]);

    /// Converts one row of a packed panel to `f32`.
    fn unpack_row(&self, row: RowLayout, panel: &[u8], row_in_panel: usize, output: &mut [f32]);

    /// Converts one row of a file to `f32`.
    fn decode_row(&self, row: RowLayout, planes: [&[u8]; 2], output: &mut [f32]);

    /// The first value or scale in a row of a file that is NaN or infinite, if there is one.
    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite>;

    /// The products with vectors for an instruction set, if the CPU has it.
    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>>;

    /// The way to write it. Formats that are only read have none.
    fn encoder(&self) -> Option<&dyn Encode> {
        None
    }
}

/// A weight format that can be written.
pub(crate) trait Encode: Sync {
    /// Converts `values` to one row of a file, the nearest that the format can represent.
    fn encode_row(&self, row: RowLayout, values: &[f32], planes: [&mut [u8]; 2]);
}

/// A value that no trained model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// The index of the value in its row, or of the scale among those of the row.
    pub index: usize,
    /// Whether it is NaN; infinite otherwise.
    pub nan: bool,
}

impl NotFinite {
    /// Looks for NaN and infinities among the bits of floats whose exponent has the bits `exponent`.
    ///
    /// Usually there is none, so all are checked first without an early exit: a loop that might end
    /// at each number is several times slower.
    #[inline(always)]
    pub(crate) fn check(
        numbers: impl Iterator<Item = u32> + Clone,
        exponent: u32,
    ) -> Result<(), Self> {
        let finite = |number: u32| number & exponent != exponent;
        if numbers.clone().fold(true, |all, number| all & finite(number)) {
            return Ok(());
        }
        match numbers.enumerate().find(|&(_, number)| !finite(number)) {
            None => Ok(()),
            // The fraction is below the exponent.
            Some((index, number)) => {
                let fraction = (1 << exponent.trailing_zeros()) - 1;
                Err(NotFinite { index, nan: number & fraction != 0 })
            }
        }
    }

    /// Looks for NaN and infinities among little-endian `f32`.
    pub(crate) fn check_f32(bytes: &[u8]) -> Result<(), Self> {
        let numbers = bytes.as_chunks().0.iter().map(|&value| u32::from_le_bytes(value));
        Self::check(numbers, 0x7f80_0000)
    }
}
