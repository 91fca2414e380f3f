//! The table of weight formats, and matrices described with it.

use crate::format::{Encode, Format, NotFinite, PlaneBytes, RowLayout};
use crate::{PANEL, blocks, int8};

/// What GGUF calls a format (`ggml_type` in ggml.h, `llama_ftype` in llama.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GgufType {
    /// The number of the format in a tensor's description.
    pub tensor: u32,
    /// The number of a file most of whose matrices have this format (`general.file_type`).
    pub file: u32,
}

/// A line of the table.
struct Entry {
    name: &'static str,
    gguf_type: Option<GgufType>,
    block: usize,
    format: &'static dyn Format,
}

macro_rules! formats {
    ($(
        $(#[$doc:meta])*
        $encoding:ident, $name:literal, $tensor:literal, $file:literal, $block:expr, $format:expr;
    )*) => {
        /// A weight format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Encoding {
            $($(#[$doc])* $encoding,)*
            /// 8-bit integers in groups along a row, each group with an `f32` scale: llama2.c's v2. All
            /// values come first, then all scales.
            Int8 {
                /// Values in a group.
                group: usize,
            },
        }

        impl Encoding {
            /// The formats that a GGUF file can have, in the order of the table.
            pub const IN_GGUF: [Encoding; [$($tensor),*].len()] = [$(Encoding::$encoding),*];

            const fn entry(self) -> Entry {
                match self {
                    $(Encoding::$encoding => Entry {
                        name: $name,
                        gguf_type: Some(GgufType { tensor: $tensor, file: $file }),
                        block: $block,
                        format: &$format,
                    },)*
                    Encoding::Int8 { group } => {
                        Entry { name: "int8", gguf_type: None, block: group, format: &int8::Int8 }
                    }
                }
            }
        }
    };
}

// The table: what a format is, its name for users, the numbers of `GgufType`, values in a block, and
// its implementation. Programs make their lists from it.
formats! {
    /// 32-bit floating point (llama2.c's v0 and v1, GGUF).
    F32, "f32", 0, 0, 1, crate::f32::F32;
    /// 16-bit floating point (IEEE 754 binary16).
    F16, "f16", 1, 1, 1, crate::f16::F16;
    /// The upper 16 bits of 32-bit floating point.
    Bf16, "bf16", 30, 32, 1, crate::bf16::Bf16;
    /// 8-bit integers in blocks of 32 along a row, each block with an `f16` scale.
    Q8_0, "q8_0", 8, 7, blocks::VALUES, crate::q8_0::Q8_0;
    /// 4-bit integers in blocks of 32 along a row, each block with an `f16` scale.
    Q4_0, "q4_0", 2, 2, blocks::VALUES, crate::q4_0::Q4_0;
}

impl Encoding {
    /// The format of GGUF with this name, as [`Encoding::name`] gives it.
    pub fn named(name: &str) -> Option<Self> {
        Self::IN_GGUF.into_iter().find(|encoding| encoding.name() == name)
    }

    /// The format with this number in a GGUF tensor's description (`ggml_type`).
    pub fn with_ggml_type(number: u32) -> Option<Self> {
        let is = |kind: GgufType| kind.tensor == number;
        Self::IN_GGUF.into_iter().find(|encoding| encoding.gguf_type().is_some_and(is))
    }

    /// The formats of GGUF that can be written, in the order of the table.
    pub fn writable() -> impl Iterator<Item = Self> {
        Self::IN_GGUF.into_iter().filter(|encoding| encoding.is_writable())
    }

    /// Its name as users know it.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What GGUF calls it; `None` for a format that GGUF does not have.
    pub fn gguf_type(self) -> Option<GgufType> {
        self.entry().gguf_type
    }

    /// Values that share a scale; 1 if there are no scales. It divides the length of every row.
    pub fn block_len(self) -> usize {
        self.entry().block
    }

    /// Whether matrices can be written in it.
    pub fn is_writable(self) -> bool {
        self.format().encoder().is_some()
    }

    pub(crate) fn format(self) -> &'static dyn Format {
        self.entry().format
    }
}

/// A matrix as its file describes it: rows (outputs), columns (inputs), and the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows: one for each output.
    pub rows: usize,
    /// Columns: one for each input. [`Encoding::block_len`] divides their number.
    pub columns: usize,
    /// The format of its values.
    pub encoding: Encoding,
}

impl Shape {
    /// Bytes of a row in each plane of a file; `None` beyond `u64`.
    pub fn plane_bytes(&self) -> Option<PlaneBytes> {
        self.encoding.format().plane_bytes(self.row())
    }

    /// Bytes of the packed matrix; `None` beyond `usize`.
    pub fn packed_bytes(&self) -> Option<usize> {
        self.panel_bytes()?.checked_mul(self.panels())
    }

    /// The first value or scale in a row of a file that is NaN or infinite, if there is one.
    pub fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite> {
        self.encoding.format().check_row(planes)
    }

    /// Converts one row of a file to `f32`; `output` has one element for each column.
    pub fn decode_row(&self, planes: [&[u8]; 2], output: &mut [f32]) {
        self.encoding.format().decode_row(self.row(), planes, output);
    }

    /// What writes rows of such a matrix; `None` if its format is only read.
    pub fn encoder(&self) -> Option<RowEncoder> {
        Some(RowEncoder { row: self.row(), format: self.encoding.format().encoder()? })
    }

    /// Panels that the rows fill, the last one perhaps in part.
    pub(crate) fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    /// Bytes of a packed panel; `None` beyond `usize`.
    pub(crate) fn panel_bytes(&self) -> Option<usize> {
        self.encoding.format().panel_bytes(self.row())
    }

    /// Packs up to [`PANEL`] consecutive rows of a file into one panel, as
    /// [`MatrixBuilder`](crate::MatrixBuilder) does. The bytes of missing rows keep their values.
    pub fn pack_panel(&self, planes: [&[u8]; 2], panel: &mut [u8]) {
        self.encoding.format().pack_panel(self.row(), planes, panel);
    }

    pub(crate) fn row(&self) -> RowLayout {
        RowLayout { columns: self.columns, block: self.encoding.block_len() }
    }
}

/// Writes rows of a matrix.
#[derive(Clone, Copy)]
pub struct RowEncoder {
    row: RowLayout,
    format: &'static dyn Encode,
}

impl RowEncoder {
    /// Converts `values` to one row of a file, the nearest that the format can represent. The planes
    /// have the bytes of a row ([`Shape::plane_bytes`]).
    pub fn encode_row(&self, values: &[f32], planes: [&mut [u8]; 2]) {
        self.format.encode_row(self.row, values, planes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_of_formats_are_unique_and_find_them() {
        for encoding in Encoding::IN_GGUF {
            assert_eq!(Encoding::named(encoding.name()), Some(encoding));
            let gguf_type = encoding.gguf_type().unwrap();
            assert_eq!(Encoding::with_ggml_type(gguf_type.tensor), Some(encoding));
            let same_file = |other: &Encoding| other.gguf_type().unwrap().file == gguf_type.file;
            assert_eq!(Encoding::IN_GGUF.into_iter().filter(same_file).count(), 1);
        }
        assert_eq!(Encoding::named("q9"), None);
        assert_eq!(Encoding::with_ggml_type(99), None);
    }
}
