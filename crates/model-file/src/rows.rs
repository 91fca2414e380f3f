//! Reading a tensor's rows, a chunk of memory at a time.

use crate::Tensor;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bootllm_platform::{ReadAt, StorageError};
use bootllm_quant::{BadRow, NotFinite, PANEL};

/// Bytes that are read at once: as many whole panels as fit, or one that is larger. Large reads are
/// fast; 1 MiB is near a disk's speed, and still in a core's cache when it is packed.
const CHUNK: usize = 1 << 20;

/// Rows of a tensor that are read together: whole panels, unless they are the last.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The tensor.
    pub tensor: &'a Tensor,
    /// The first of the rows.
    pub first: usize,
    /// How many rows.
    pub rows: usize,
}

/// Memory that rows are read into, used again for every piece.
#[derive(Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    /// Bytes of each plane that were read last, one plane behind the other.
    planes: [usize; 2],
}

/// Why rows could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The device or its driver failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A number in the file is none.
    #[error(
        "the file is damaged: number {index} in row {row} of {tensor} is {}",
        if *nan { "not a number" } else { "infinite" }
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Its row.
        row: usize,
        /// The value's place in the row, or the scale's among the row's scales.
        index: usize,
        /// Whether it is NaN; infinite otherwise.
        nan: bool,
    },
    /// There is no memory for the chunk.
    #[error("no memory for a chunk of {bytes} bytes")]
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: usize,
    },
}

impl RowError {
    /// What is said of a row of a tensor with a number that is none.
    pub fn not_finite(tensor: &Tensor, BadRow { row, error }: BadRow) -> Self {
        let NotFinite { index, nan } = error;
        RowError::NotFinite { tensor: tensor.to_string(), row, index, nan }
    }
}

impl<'a> Piece<'a> {
    /// All rows of a tensor, in order.
    pub fn all_of(tensor: &'a Tensor) -> impl Iterator<Item = Piece<'a>> {
        let rows = tensor.shape.rows;
        let most = Self::most_rows(tensor);
        (0..rows).step_by(most).map(move |first| Piece {
            tensor,
            first,
            rows: most.min(rows - first),
        })
    }

    /// Bytes of the largest piece of a tensor.
    pub fn most_bytes(tensor: &Tensor) -> u64 {
        row_bytes(tensor).saturating_mul(Self::most_rows(tensor) as u64).min(tensor.bytes())
    }

    fn most_rows(tensor: &Tensor) -> usize {
        let panels = CHUNK as u64 / row_bytes(tensor).max(1) / PANEL as u64;
        panels.max(1) as usize * PANEL
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        row_bytes(self.tensor) * self.rows as u64
    }
}

/// Bytes of a row in all planes.
fn row_bytes(tensor: &Tensor) -> u64 {
    tensor.row_bytes().iter().sum()
}

impl Chunk {
    /// Makes room for pieces of up to `bytes` bytes.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), RowError> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if self.bytes.len() < bytes {
            // Not both at a time.
            self.bytes = Vec::new();
            let reserved = self.bytes.try_reserve_exact(bytes);
            reserved.map_err(|_| RowError::OutOfMemory { bytes })?;
            self.bytes.resize(bytes, 0);
        }
        Ok(())
    }

    /// Reads a piece.
    pub fn read(&mut self, file: &mut dyn ReadAt, piece: &Piece<'_>) -> Result<(), RowError> {
        self.reserve(piece.bytes())?;
        // They lie within the chunk, so they fit a usize.
        self.planes = piece.tensor.row_bytes().map(|bytes| bytes as usize * piece.rows);
        let (first, rest) = self.bytes.split_at_mut(self.planes[0]);
        for (plane, bytes) in piece.tensor.planes.iter().zip([first, &mut rest[..self.planes[1]]]) {
            if !bytes.is_empty() {
                file.read_at(plane.offset + piece.first as u64 * plane.row_bytes, bytes)?;
            }
        }
        Ok(())
    }

    /// The rows that were read last, as they follow each other in the file's planes.
    pub fn planes(&self) -> [&[u8]; 2] {
        let (first, rest) = self.bytes.split_at(self.planes[0]);
        [first, &rest[..self.planes[1]]]
    }
}

/// Calls `each` with every row of a tensor, in order, as the row lies in the file's planes. Every
/// number has been seen to be finite before.
///
/// The first error, of the file or of `each`, ends it.
pub fn for_each_row<E: From<RowError>>(
    file: &mut dyn ReadAt,
    tensor: &Tensor,
    chunk: &mut Chunk,
    mut each: impl FnMut(usize, [&[u8]; 2]) -> Result<(), E>,
) -> Result<(), E> {
    for piece in Piece::all_of(tensor) {
        chunk.read(file, &piece)?;
        let (planes, row_bytes) = (chunk.planes(), chunk.planes.map(|bytes| bytes / piece.rows));
        for row in 0..piece.rows {
            let own = |plane: usize| &planes[plane][row * row_bytes[plane]..][..row_bytes[plane]];
            let (row, own) = (piece.first + row, [own(0), own(1)]);
            tensor
                .shape
                .check_row(own)
                .map_err(|error| RowError::not_finite(tensor, BadRow { row, error }))?;
            each(row, own)?;
        }
    }
    Ok(())
}
