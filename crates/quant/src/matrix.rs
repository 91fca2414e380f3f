//! A packed weight matrix and its products.

use crate::{AlignedBytes, Format, NoMemory, NotFinite, PANEL, Product, Shape};
use alloc::boxed::Box;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_cores::{Cores, split_columns, split_rows, split_rows_beside};
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
    /// The memory for it is not there.
    #[error("no memory for {bytes} bytes in one piece")]
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: usize,
    },
}

/// A matrix that is being packed, some panels at a time as its file is read.
pub struct MatrixBuilder {
    matrix: Matrix,
    /// Bytes of a row in each plane of the file.
    row_bytes: [usize; 2],
    /// Rows that are there.
    rows: usize,
}

/// A row that no trained model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Which row.
    pub row: usize,
    /// What is wrong with it.
    pub error: NotFinite,
}

impl MatrixBuilder {
    /// Allocates a matrix of this shape; its product the widest that `cpu` has.
    pub fn new(shape: Shape, cpu: Cpu) -> Result<Self, PackError> {
        let Shape { rows, columns, .. } = shape;
        let format = shape.encoding.format();
        let sizes = (format.panel_bytes(&shape), shape.packed_bytes(), format.plane_bytes(&shape));
        let (Some(panel_bytes), Some(bytes), Some(row_bytes)) = sizes else {
            return Err(PackError::TooLarge { rows, columns });
        };
        // A panel, which holds as much as its rows, is within a usize.
        let row_bytes = row_bytes.map(|bytes| bytes as usize);
        let panels =
            AlignedBytes::zeroed(bytes).map_err(|NoMemory| PackError::OutOfMemory { bytes })?;
        let product = widest(format, cpu);
        let matrix = Matrix { shape, panel_bytes, panels, product };
        Ok(MatrixBuilder { matrix, row_bytes, rows: 0 })
    }

    /// Checks and packs the next rows, given as they follow each other in the file's planes: whole
    /// panels of [`PANEL`] rows, unless they are the last. The cores share the panels; the calling
    /// one does `beside` first.
    ///
    /// # Errors
    /// The first of the matrix's rows with a value that is NaN or infinite. The matrix is of no use
    /// then.
    ///
    /// # Panics
    /// If they are more rows than the matrix has, or do not begin where a panel does.
    pub fn push_rows(
        &mut self,
        cores: &dyn Cores,
        planes: [&[u8]; 2],
        beside: &mut dyn FnMut(),
    ) -> Result<(), BadRow> {
        let Matrix { shape, panel_bytes, panels, .. } = &mut self.matrix;
        let (format, row_bytes) = (shape.encoding.format(), self.row_bytes);
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
        // A core may have nothing but this to say what it found: it must not allocate.
        let bad = AtomicUsize::new(usize::MAX);
        let pack = |first: usize, panels: &mut [u8]| {
            for (number, panel) in (first..).zip(panels.chunks_exact_mut(*panel_bytes)) {
                let own = number * PANEL..rows.min((number + 1) * PANEL);
                if let Some(row) = own.clone().find(|&i| format.check_row(row(i)).is_err()) {
                    bad.fetch_min(row, Relaxed);
                }
                let own = |plane: usize| {
                    &planes[plane][own.start * row_bytes[plane]..own.end * row_bytes[plane]]
                };
                format.pack_panel(shape, [own(0), own(1)], panel);
            }
        };
        split_rows_beside(cores, panels, *panel_bytes, pack, beside);
        self.rows += rows;
        match bad.into_inner() {
            usize::MAX => Ok(()),
            bad => {
                let found = format.check_row(row(bad));
                found.map_err(|error| BadRow { row: first + bad, error })
            }
        }
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

/// Words that up to `tokens` vectors take when they are prepared for a matrix of this shape,
/// whichever instructions of this CPU its products use.
pub fn input_words(shape: &Shape, tokens: usize) -> usize {
    let (format, cpu) = (shape.encoding.format(), Cpu::detect());
    let products = Isa::ALL.into_iter().filter_map(|isa| format.product(cpu, isa));
    let words = products.map(|product| {
        let tile = product.tile();
        let many = tokens.div_ceil(tile).saturating_mul(product.tile_words(shape, tile));
        many.max(product.tile_words(shape, 1))
    });
    words.max().unwrap_or(0)
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
    mut products: [(&Matrix, &mut [f32]); N],
) {
    // Matrices of one format take the same prepared vectors and are divided among the cores in one
    // run; usually that is all of them.
    let mut done = 0;
    while done < N {
        let first = products[done].0;
        let same = |(matrix, _): &(&Matrix, &mut [f32])| {
            matrix.shape.encoding == first.shape.encoding && matrix.isa() == first.isa()
        };
        let count = products[done..].iter().take_while(|product| same(product)).count();
        let tiles = Tiles::prepare(cores, buffer, first, (tokens, x));
        match &mut products[done..done + count] {
            [a] => tiles.multiply(cores, [a]),
            [a, b] => tiles.multiply(cores, [a, b]),
            [a, b, c] => tiles.multiply(cores, [a, b, c]),
            more => more.iter_mut().for_each(|product| tiles.multiply(cores, [product])),
        }
        done += count;
    }
}

/// Input vectors, prepared in tiles.
struct Tiles<'a> {
    words: &'a [u32],
    /// Vectors of a tile.
    tile: usize,
}

impl<'a> Tiles<'a> {
    fn prepare(
        cores: &dyn Cores,
        buffer: &'a mut InputBuffer,
        matrix: &Matrix,
        (tokens, x): (usize, &[f32]),
    ) -> Self {
        let Matrix { shape, product, .. } = matrix;
        let tile = if tokens == 1 { 1 } else { product.tile() };
        let each = product.tile_words(shape, tile);
        let words = &mut buffer.words[..tokens.div_ceil(tile) * each];
        split_rows(cores, words, each, |first, words| {
            let x = x.chunks(tile * shape.columns).skip(first);
            for (words, x) in words.chunks_exact_mut(each).zip(x) {
                product.prepare(shape, x, tile, words);
            }
        });
        Tiles { words, tile }
    }

    /// Multiplies matrices whose format and instructions are those that this was prepared for.
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
            product.multiply(shape, panels, self.words, self.tile, &mut output);
        });
    }
}
