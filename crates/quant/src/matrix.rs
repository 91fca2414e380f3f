//! A packed weight matrix and its products.

use crate::{AlignedBytes, Groups, InputBuffer, Kernel, PANEL, Shape};
use alloc::collections::TryReserveError;
use bootllm_cores::{Cores, split_rows};
use bootllm_simd::Isa;

/// A weight matrix in memory, packed for its products.
pub struct Matrix {
    shape: Shape,
    panel_bytes: usize,
    panels: AlignedBytes,
    kernel: Kernel,
}

/// Why a matrix could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The packed matrix would be larger than the address space.
    #[error("a matrix of {rows} rows and {columns} columns is larger than the address space")]
    TooLarge {
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
    },
    /// The memory for it is not there.
    #[error("no memory for {bytes} bytes in one piece")]
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: usize,
    },
}

/// A matrix that is being packed, row by row as its file is read.
pub struct MatrixBuilder {
    matrix: Matrix,
    rows: usize,
}

impl MatrixBuilder {
    /// Allocates a matrix of this shape; its kernel is the best within `isa`.
    pub fn new(shape: Shape, isa: Isa) -> Result<Self, PackError> {
        let Shape { rows, columns, .. } = shape;
        let format = shape.encoding.format();
        let panel_bytes = format.panel_bytes(&shape);
        let (Some(panel_bytes), Some(bytes)) = (panel_bytes, shape.packed_bytes()) else {
            return Err(PackError::TooLarge { rows, columns });
        };
        let panels = AlignedBytes::zeroed(bytes)
            .map_err(|_: TryReserveError| PackError::OutOfMemory { bytes })?;
        let kernel = Kernel::select(format, isa);
        Ok(MatrixBuilder { matrix: Matrix { shape, panel_bytes, panels, kernel }, rows: 0 })
    }

    /// Packs the next row, given as it lies in the file's planes.
    ///
    /// # Panics
    /// If all rows are there already.
    pub fn push_row(&mut self, planes: [&[u8]; 2]) {
        let Matrix { shape, panel_bytes, panels, .. } = &mut self.matrix;
        let panel = &mut panels.as_mut_slice()[self.rows / PANEL * *panel_bytes..][..*panel_bytes];
        shape.encoding.format().pack_row(shape, planes, self.rows % PANEL, panel);
        self.rows += 1;
    }

    /// The matrix, once every row has been pushed.
    ///
    /// # Panics
    /// If rows are missing.
    pub fn finish(self) -> Matrix {
        assert_eq!(self.rows, self.matrix.shape.rows, "rows of a matrix are missing");
        self.matrix
    }
}

impl Matrix {
    /// Its rows, columns and format.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The instructions that its products use.
    pub fn isa(&self) -> Isa {
        self.kernel.isa
    }

    /// Row `row` in `f32`; `output` has one element a column.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize, output: &mut [f32]) {
        let panel = &self.panels.as_slice()[row / PANEL * self.panel_bytes..][..self.panel_bytes];
        self.shape.encoding.format().unpack_row(&self.shape, panel, row % PANEL, output);
    }

    fn input_groups(&self) -> Option<Groups> {
        self.shape.encoding.format().input_groups(&self.shape)
    }
}

/// `output = matrix · x` for each pair of `products`: matrices that share an input.
///
/// `x` has one value a column and each output one a row. `buffer` has room for `x`.
pub fn multiply<const N: usize>(
    cores: &dyn Cores,
    buffer: &mut InputBuffer,
    x: &[f32],
    products: [(&Matrix, &mut [f32]); N],
) {
    let mut prepared_for = None;
    let mut input = buffer.prepare(x, None);
    for (matrix, output) in products {
        let groups = matrix.input_groups();
        if groups != prepared_for {
            input = buffer.prepare(x, groups);
            prepared_for = groups;
        }
        let panels = matrix.panels.as_slice();
        split_rows(cores, output, PANEL, |first, output| {
            let panels = panels.chunks_exact(matrix.panel_bytes).skip(first);
            for (panel, output) in panels.zip(output.chunks_mut(PANEL)) {
                let mut sums = [0.0; PANEL];
                (matrix.kernel.multiply)(&matrix.shape, panel, &input, &mut sums);
                output.copy_from_slice(&sums[..output.len()]);
            }
        });
    }
}
