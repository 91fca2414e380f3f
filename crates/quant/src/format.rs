//! What a weight format is, and the table of formats.

use crate::product::Product;
use crate::{Groups, Input, PANEL, bf16, blocks, f16, f32, int8, q4_0, q8_0};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, Isa};

/// In which format a matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point (IEEE 754 binary16).
    F16,
    /// The upper 16 bits of 32-bit floating point.
    Bf16,
    /// 8-bit integers in blocks of 32 along a row, each block with an `f16` scale.
    Q8_0,
    /// 4-bit integers in blocks of 32 along a row, each block with an `f16` scale.
    Q4_0,
    /// 8-bit integers in groups along a row, each group with an `f32` scale.
    Int8 {
        /// Values in a group.
        group: usize,
    },
}

impl Encoding {
    /// The formats that a GGUF file can have.
    pub const IN_GGUF: [Encoding; 5] =
        [Encoding::F32, Encoding::F16, Encoding::Bf16, Encoding::Q8_0, Encoding::Q4_0];

    /// The table of formats: what this one can do. This is the one place that knows all of them.
    pub fn format(self) -> &'static dyn Format {
        match self {
            Encoding::F32 => &f32::F32,
            Encoding::F16 => &f16::F16,
            Encoding::Bf16 => &bf16::Bf16,
            Encoding::Q8_0 => &q8_0::Q8_0,
            Encoding::Q4_0 => &q4_0::Q4_0,
            Encoding::Int8 { .. } => &int8::Int8,
        }
    }

    /// Values that share a scale; 1 where there are no scales. It divides the length of every row.
    pub fn group(self) -> usize {
        match self {
            Encoding::F32 | Encoding::F16 | Encoding::Bf16 => 1,
            Encoding::Q8_0 | Encoding::Q4_0 => blocks::VALUES,
            Encoding::Int8 { group } => group,
        }
    }
}

/// A matrix as its file describes it: rows (outputs), columns (inputs), and the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows: one for each output.
    pub rows: usize,
    /// Columns: one for each input.
    pub columns: usize,
    /// The format of its values.
    pub encoding: Encoding,
}

impl Shape {
    /// Panels that the rows fill, the last perhaps in part.
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    /// Bytes of the packed matrix; `None` beyond `usize`.
    pub fn packed_bytes(&self) -> Option<usize> {
        self.encoding.format().panel_bytes(self)?.checked_mul(self.panels())
    }
}

/// How many bytes of a row lie in each plane of the file. A plane is a run of rows: formats that
/// keep scales apart from values have two, the others one (and 0 bytes in the second).
pub type PlaneBytes = [u64; 2];

/// What GGUF calls a format (`ggml_type` in ggml.h, `llama_ftype` in llama.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GgufType {
    /// The number of the format in a tensor's description.
    pub tensor: u32,
    /// The number of a file whose matrices have this format (`general.file_type`).
    pub file: u32,
}

/// What one weight format can do. Methods take whole panels of [`PANEL`] rows or single rows.
pub trait Format: Sync {
    /// Its name as a person knows it.
    fn name(&self) -> &'static str;

    /// What GGUF calls it, if it has it.
    fn gguf_type(&self) -> Option<GgufType> {
        None
    }

    /// Bytes of one row in each plane of a file; `None` beyond `u64`.
    fn plane_bytes(&self, shape: &Shape) -> Option<PlaneBytes>;

    /// Bytes of one packed panel; `None` beyond `usize`.
    fn panel_bytes(&self, shape: &Shape) -> Option<usize>;

    /// Packs up to [`PANEL`] rows, which follow each other in `planes` as in the file's. The places
    /// of rows that are not there stay as they are.
    fn pack_panel(&self, shape: &Shape, planes: [&[u8]; 2], panel: &mut [u8]);

    /// Gives one packed row back as `f32`; `output` has one element a column.
    fn unpack_row(&self, shape: &Shape, panel: &[u8], row_in_panel: usize, output: &mut [f32]);

    /// Turns one row of a file into `f32`.
    fn decode_row(&self, shape: &Shape, planes: [&[u8]; 2], output: &mut [f32]);

    /// Turns `f32` into one row of a file, the nearest that the format can say.
    fn encode_row(&self, shape: &Shape, row: &[f32], planes: [&mut [u8]; 2]);

    /// The first value or scale in a row of a file that is NaN or infinite, if there is one.
    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite>;

    /// How the vector that the matrix is multiplied with has to be quantized; `None` if it stays
    /// `f32`.
    fn input_groups(&self, shape: &Shape) -> Option<Groups>;

    /// The product with a vector in the plainest form, which all others equal to the bit.
    fn twin(&self) -> Twin;

    /// The products with vectors for an instruction set, if the CPU has it.
    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>>;
}

/// `output[r] = Σ panel[r][k] · input[k]`, k ascending, for the [`PANEL`] rows of a panel.
pub type Twin = fn(shape: &Shape, panel: &[u8], input: &Input<'_>, output: &mut [f32; PANEL]);

/// A value that no trained model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// Which value of the row, or which of its scales.
    pub index: usize,
    /// Whether it is NaN; infinite otherwise.
    pub nan: bool,
}

impl NotFinite {
    /// Looks for NaN and infinities among the bits of numbers of a kind whose exponent has the bits
    /// `exponent`.
    ///
    /// Usually there is none, so all are looked at together: a loop that might end at each number is
    /// several times slower.
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
            // The fraction lies below the exponent.
            Some((index, number)) => {
                let fraction = (1 << exponent.trailing_zeros()) - 1;
                Err(NotFinite { index, nan: number & fraction != 0 })
            }
        }
    }

    /// Looks for NaN and infinities in little-endian `f32`.
    pub(crate) fn check_f32(bytes: &[u8]) -> Result<(), Self> {
        let numbers = bytes.as_chunks().0.iter().map(|&value| u32::from_le_bytes(value));
        Self::check(numbers, 0x7f80_0000)
    }
}
