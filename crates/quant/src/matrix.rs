//! A packed weight matrix and its products.

use crate::Format;
use crate::{AlignedBytes, PANEL, Product, Shape};
use alloc::boxed::Box;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_cores::Cores;
use bootllm_simd::{Cpu, Isa};

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
    /// Allocates a matrix of this shape; its product the widest that `cpu` has.
    pub fn new(shape: Shape, cpu: Cpu) -> Result<Self, PackError> {
        let Shape { rows, columns, .. } = shape;
        let format = shape.encoding.format();
        let panel_bytes = format.panel_bytes(&shape);
        let (Some(panel_bytes), Some(bytes)) = (panel_bytes, shape.packed_bytes()) else {
            return Err(PackError::TooLarge { rows, columns });
        };
        let panels = AlignedBytes::zeroed(bytes)
            .map_err(|_: TryReserveError| PackError::OutOfMemory { bytes })?;
        let product = widest(format, cpu);
        Ok(MatrixBuilder { matrix: Matrix { shape, panel_bytes, panels, product }, rows: 0 })
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
        self.product.isa()
    }

    /// Row `row` in `f32`; `output` has one element a column.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize, output: &mut [f32]) {
        let panel = &self.panels.as_slice()[row / PANEL * self.panel_bytes..][..self.panel_bytes];
        self.shape.encoding.format().unpack_row(&self.shape, panel, row % PANEL, output);
    }
}

/// The product of a format with the widest instruction set that the CPU has.
fn widest(format: &dyn Format, cpu: Cpu) -> Box<dyn Product> {
    match cpu.widest_first().find_map(|isa| format.product(cpu, isa)) {
        Some(product) => product,
        None => unreachable!("plain Rust is for every CPU"),
    }
}

/// Room for prepared input vectors, used again for every product.
pub struct InputBuffer {
    words: Vec<u32>,
}

impl InputBuffer {
    /// Room for `words` words.
    pub fn new(words: usize) -> Result<Self, TryReserveError> {
        let mut room = Vec::new();
        room.try_reserve_exact(words)?;
        room.resize(words, 0);
        Ok(InputBuffer { words: room })
    }
}

/// Words that `tokens` vectors take when they are prepared for a matrix of this shape.
pub fn input_words(shape: &Shape, cpu: Cpu, tokens: usize) -> usize {
    let product = widest(shape.encoding.format(), cpu);
    let tile = if tokens == 1 { 1 } else { product.tile() };
    tokens.div_ceil(tile).saturating_mul(product.tile_words(shape, tile))
}

/// `output = matrix · x` for each of `tokens` vectors in `x` and each pair of `products`: matrices
/// that share their inputs.
///
/// `x` has one value a column for each token, and each output one a row for each token; `buffer`
/// has the room that [`input_words`] says.
pub fn multiply<const N: usize>(
    cores: &dyn Cores,
    buffer: &mut InputBuffer,
    (tokens, x): (usize, &[f32]),
    products: [(&Matrix, &mut [f32]); N],
) {
    let _ = cores;
    for (matrix, output) in products {
        let Matrix { shape, product, .. } = matrix;
        let tile = if tokens == 1 { 1 } else { product.tile() };
        let tile_words = product.tile_words(shape, tile);
        let tiles = &mut buffer.words[..tokens.div_ceil(tile) * tile_words];
        for (tile_x, words) in
            x.chunks(tile * shape.columns).zip(tiles.chunks_exact_mut(tile_words))
        {
            product.prepare(shape, tile_x, tile, words);
        }
        let panels = matrix.panels.as_slice().chunks(2 * matrix.panel_bytes);
        for (pair, panels) in panels.enumerate() {
            for (number, words) in tiles.chunks_exact(tile_words).enumerate() {
                product.multiply(shape, panels, words, tile, &mut |panel, token, sums| {
                    let (token, row) = (number * tile + token, (2 * pair + panel) * PANEL);
                    if token < tokens {
                        let output = &mut output[token * shape.rows..][..shape.rows][row..];
                        let count = output.len().min(PANEL);
                        output[..count].copy_from_slice(&sums[..count]);
                    }
                });
            }
        }
    }
}
