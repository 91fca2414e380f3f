//! Tensors: names, shapes, formats, and offsets in the file.

use alloc::string::String;
use bootllm_quant::{Encoding, PlaneBytes, Shape};
use core::fmt;

/// Dimensions that a tensor may have (ggml's `GGML_MAX_DIMS`).
pub const DIMENSIONS: usize = 4;

/// A tensor of a model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in GGUF: `blk.3.attn_q.weight`.
    pub name: String,
    /// Its dimensions, columns first; 1 where there are fewer than four.
    pub dimensions: [usize; DIMENSIONS],
    /// The format of its values, or the name of one that this program does not know.
    pub encoding: Result<Encoding, UnknownEncoding>,
    /// Where its rows are. A second plane of 0 bytes per row means that there is none.
    pub planes: [Plane; 2],
}

/// A tensor format that this program cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEncoding {
    /// ggml's name for it.
    pub name: &'static str,
    /// Its number in a file (`ggml_type` in ggml.h).
    pub number: u32,
}

impl fmt::Display for UnknownEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Consecutive rows, or one part of each row, in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Offset of the first row in the file.
    pub offset: u64,
    /// Bytes from one row to the next.
    pub row_bytes: u64,
}

impl Tensor {
    /// Values per row: the first dimension.
    pub fn columns(&self) -> usize {
        self.dimensions[0]
    }

    /// Rows: the product of the other dimensions, which every reader keeps within `i32`.
    pub fn rows(&self) -> usize {
        self.dimensions[1..].iter().product()
    }

    /// Whether it has one dimension, as norms and biases do.
    pub fn is_vector(&self) -> bool {
        self.rows() == 1
    }

    /// Rows, columns and format, if the format is a known one.
    pub fn shape(&self) -> Option<Shape> {
        let encoding = self.encoding.ok()?;
        Some(Shape { rows: self.rows(), columns: self.columns(), encoding })
    }

    /// The name of its format.
    pub fn format_name(&self) -> &'static str {
        match &self.encoding {
            Ok(encoding) => encoding.name(),
            Err(unknown) => unknown.name,
        }
    }

    /// Bytes of one row in each plane.
    pub fn row_bytes(&self) -> PlaneBytes {
        self.planes.map(|plane| plane.row_bytes)
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        self.row_bytes().iter().sum::<u64>().saturating_mul(self.rows() as u64)
    }

    /// The number of values.
    pub fn elements(&self) -> u64 {
        (self.rows() as u64).saturating_mul(self.columns() as u64)
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
