//! A packed weight matrix and its products.

use crate::format::{Format, NotFinite};
use crate::product::Product;
use crate::{AlignedBytes, NoMemory, PANEL, Shape};
use alloc::boxed::Box;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_cores::{Cores, split_columns, split_rows, split_rows_overlapped};
use bootllm_simd::{Cpu, Isa};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// A weight matrix in memory, packed for its products.
pub struct Matrix {
    shape: Shape,
    panel_bytes: usize,
    panels: AlignedBytes,
    product: Box<dyn Product>,
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
    /// Its memory cannot be allocated.
    #[error("cannot allocate {bytes} bytes in one piece")]
    OutOfMemory {
        /// Bytes that were requested.
        bytes: usize,
    },
}

/// A matrix that is being packed, some panels at a time, as its file is read.
pub struct MatrixBuilder {
    matrix: Matrix,
    /// Bytes of a row in each plane of the file.
    row_bytes: [usize; 2],
    /// Rows that have been packed.
    rows: usize,
}

/// A row that no trained model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The row's index.
    pub row: usize,
    /// What is wrong with it.
    pub error: NotFinite,
}

impl MatrixBuilder {
    /// Allocates a matrix of this shape, with the product for the widest instruction set of `cpu`.
    pub fn new(shape: Shape, cpu: Cpu) -> Result<Self, PackError> {
        let Shape { rows, columns, .. } = shape;
        let sizes = (shape.panel_bytes(), shape.packed_bytes(), shape.plane_bytes());
        let (Some(panel_bytes), Some(bytes), Some(row_bytes)) = sizes else {
            return Err(PackError::TooLarge { rows, columns });
        };
        // A packed panel has as many bytes as its rows in the file, and those fit a `usize`.
        let row_bytes = row_bytes.map(|bytes| bytes as usize);
        let panels =
            AlignedBytes::zeroed(bytes).map_err(|NoMemory| PackError::OutOfMemory { bytes })?;
        let product = widest(shape.encoding.format(), cpu);
        let matrix = Matrix { shape, panel_bytes, panels, product };
        Ok(MatrixBuilder { matrix, row_bytes, rows: 0 })
    }

    /// Checks and packs the next rows, given as they follow each other in the file's planes: whole
    /// panels of [`PANEL`] rows, except for the last rows. The cores divide the panels; the calling
    /// one does its `own` work first (see [`Cores::run_overlapped`]).
    ///
    /// # Errors
    /// The first of the matrix's rows with a value that is NaN or infinite. The matrix is unusable
    /// then.
    ///
    /// # Panics
    /// If the matrix has fewer rows, or the rows before did not end with a whole panel.
    pub fn push_rows(
        &mut self,
        cores: &dyn Cores,
        planes: [&[u8]; 2],
        own: &mut dyn FnMut(),
    ) -> Result<(), BadRow> {
        let Matrix { shape, panel_bytes, panels, .. } = &mut self.matrix;
        let (format, layout, row_bytes) = (shape.encoding.format(), shape.row(), self.row_bytes);
        assert!(self.rows.is_multiple_of(PANEL), "rows that begin within a panel");
        let (first, rows) = (self.rows, planes[0].len() / row_bytes[0]);
        assert!(rows <= shape.rows - first, "more rows than the matrix has");
        let panels = &mut panels.as_mut_slice()[first / PANEL * *panel_bytes..];
        let panels = &mut panels[..rows.div_ceil(PANEL) * *panel_bytes];
        // A row among these.
        let row = |row: usize| {
            let own = |plane: usize| &planes[plane][row * row_bytes[plane]..][..row_bytes[plane]];
            [own(0), own(1)]
        };
        // An index is all that a core reports, because it must not allocate.
        let bad = AtomicUsize::new(usize::MAX);
        let pack = |first: usize, panels: &mut [u8]| {
            for (number, panel) in (first..).zip(panels.chunks_exact_mut(*panel_bytes)) {
                let own = number * PANEL..rows.min((number + 1) * PANEL);
                if let Some(row) = own.clone().find(|&i| format.check_row(row(i)).is_err()) {
                    bad.fetch_min(row, Relaxed);
                }
                let rows_of = |plane: usize| {
                    &planes[plane][own.start * row_bytes[plane]..own.end * row_bytes[plane]]
                };
                format.pack_panel(layout, [rows_of(0), rows_of(1)], panel);
            }
        };
        split_rows_overlapped(cores, panels, *panel_bytes, pack, own);
        self.rows += rows;
        match bad.into_inner() {
            usize::MAX => Ok(()),
            bad => {
                let found = format.check_row(row(bad));
                found.map_err(|error| BadRow { row: first + bad, error })
            }
        }
    }

    /// The matrix, after every row has been pushed.
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

    /// The instruction set that its products use.
    pub fn isa(&self) -> Isa {
        self.product.isa()
    }

    /// Converts row `row` to `f32`; `output` has one element for each column.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize, output: &mut [f32]) {
        let panel = &self.panels.as_slice()[row / PANEL * self.panel_bytes..][..self.panel_bytes];
        self.shape.encoding.format().unpack_row(self.shape.row(), panel, row % PANEL, output);
    }
}

/// The product of a format with the widest instruction set that the CPU has.
fn widest(format: &dyn Format, cpu: Cpu) -> Box<dyn Product> {
    match cpu.widest_first().find_map(|isa| format.product(cpu, isa)) {
        Some(product) => product,
        None => unreachable!("every CPU runs plain Rust"),
    }
}

/// Memory for packed input vectors, reused by every product.
pub struct InputBuffer {
    words: Vec<u32>,
}

impl InputBuffer {
    /// Memory for `words` words.
    pub fn new(words: usize) -> Result<Self, TryReserveError> {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(words)?;
        buffer.resize(words, 0);
        Ok(InputBuffer { words: buffer })
    }
}

/// Words of up to `tokens` vectors that are packed for a matrix of this shape, with any instruction
/// set of this CPU.
pub fn input_words(shape: &Shape, tokens: usize) -> usize {
    let (format, cpu) = (shape.encoding.format(), Cpu::detect());
    let products = Isa::ALL.into_iter().filter_map(|isa| format.product(cpu, isa));
    let words = products.map(|product| {
        let tile = product.tile();
        let many = tokens.div_ceil(tile).saturating_mul(product.tile_words(shape.row(), tile));
        many.max(product.tile_words(shape.row(), 1))
    });
    words.max().unwrap_or(0)
}

/// `output = matrix · x` for each of `tokens` vectors in `x` and each pair of `products`: matrices
/// that share their inputs.
///
/// `x` is (tokens, columns), and each output (tokens, rows); `buffer` has at least [`input_words`]
/// words for every matrix.
pub fn multiply<const N: usize>(
    cores: &dyn Cores,
    buffer: &mut InputBuffer,
    (tokens, x): (usize, &[f32]),
    mut products: [(&Matrix, &mut [f32]); N],
) {
    // Matrices of one format share the packed vectors and are divided among the cores in one run.
    // Usually those are all.
    let mut done = 0;
    while done < N {
        let first = products[done].0;
        let same = |(matrix, _): &(&Matrix, &mut [f32])| {
            matrix.shape.encoding == first.shape.encoding && matrix.isa() == first.isa()
        };
        let count = products[done..].iter().take_while(|product| same(product)).count();
        let inputs = PackedInputs::pack(cores, buffer, first, (tokens, x));
        match &mut products[done..done + count] {
            [a] => inputs.multiply(cores, [a]),
            [a, b] => inputs.multiply(cores, [a, b]),
            [a, b, c] => inputs.multiply(cores, [a, b, c]),
            more => more.iter_mut().for_each(|product| inputs.multiply(cores, [product])),
        }
        done += count;
    }
}

/// Input vectors, packed in tiles.
struct PackedInputs<'a> {
    words: &'a [u32],
    /// Vectors of a tile.
    tile: usize,
}

impl<'a> PackedInputs<'a> {
    fn pack(
        cores: &dyn Cores,
        buffer: &'a mut InputBuffer,
        matrix: &Matrix,
        (tokens, x): (usize, &[f32]),
    ) -> Self {
        let Matrix { shape, product, .. } = matrix;
        let tile = if tokens == 1 { 1 } else { product.tile() };
        let (row, each) = (shape.row(), product.tile_words(shape.row(), tile));
        let words = &mut buffer.words[..tokens.div_ceil(tile) * each];
        split_rows(cores, words, each, |first, words| {
            let x = x.chunks(tile * shape.columns).skip(first);
            for (words, x) in words.chunks_exact_mut(each).zip(x) {
                product.pack_inputs(row, x, tile, words);
            }
        });
        PackedInputs { words, tile }
    }

    /// Multiplies matrices of the format and instruction set that these were packed for.
    fn multiply<const M: usize>(
        &self,
        cores: &dyn Cores,
        products: [&mut (&Matrix, &mut [f32]); M],
    ) {
        let matrices = products.each_ref().map(|(matrix, _)| *matrix);
        let outputs = products.map(|(matrix, output)| (&mut **output, matrix.shape.rows));
        split_columns(cores, PANEL, outputs, |matrix, first, mut output| {
            let Matrix { shape, product, panel_bytes, panels } = matrices[matrix];
            let own = output.width().div_ceil(PANEL) * panel_bytes;
            let panels = &panels.as_slice()[first * panel_bytes..][..own];
            product.multiply(shape.row(), panels, self.words, self.tile, &mut output);
        });
    }
}
