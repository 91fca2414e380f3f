//! Streaming a tensor's rows through a chunk of memory.

use crate::Tensor;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bootllm_platform::{ReadAt, StorageError};
use bootllm_quant::NotFinite;

/// Bytes of a chunk. Large reads are fast and some firmware fails on very large ones; 1 MiB is
/// safe and near a disk's speed.
pub const CHUNK: usize = 1 << 20;

/// The memory that rows are read into, used again for every tensor.
#[derive(Default)]
pub struct Chunk {
    bytes: Vec<u8>,
}

/// Why rows could not be streamed.
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

impl Chunk {
    /// Bytes of the chunk that [`for_each_row`] uses for this tensor: [`CHUNK`], less if the
    /// tensor is smaller, more if one row is larger.
    pub fn bytes_for(tensor: &Tensor) -> u64 {
        let row: u64 = tensor.row_bytes().iter().sum();
        (CHUNK as u64).max(row).min(tensor.bytes())
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
    let bytes = usize::try_from(Chunk::bytes_for(tensor)).unwrap_or(usize::MAX);
    let missing = bytes.saturating_sub(chunk.bytes.len());
    chunk.bytes.try_reserve_exact(missing).map_err(|_| RowError::OutOfMemory { bytes })?;
    chunk.bytes.resize(chunk.bytes.len() + missing, 0);

    let format = tensor.shape.encoding.format();
    // A row lies within the chunk, so its bytes fit a usize.
    let row_bytes = tensor.row_bytes().map(|bytes| bytes as usize);
    let rows_at_once = (bytes / row_bytes.iter().sum::<usize>()).max(1);
    for first in (0..tensor.shape.rows).step_by(rows_at_once) {
        let rows = rows_at_once.min(tensor.shape.rows - first);
        let (mut planes, mut free) = ([&[] as &[u8]; 2], chunk.bytes.as_mut_slice());
        for ((plane, place), row_bytes) in planes.iter_mut().zip(&tensor.planes).zip(row_bytes) {
            let (bytes, rest) = free.split_at_mut(rows * row_bytes);
            if row_bytes > 0 {
                let offset = place.offset + first as u64 * place.row_bytes;
                file.read_at(offset, bytes).map_err(RowError::from)?;
            }
            (*plane, free) = (bytes, rest);
        }
        for row in 0..rows {
            let own = |plane: usize| &planes[plane][row * row_bytes[plane]..][..row_bytes[plane]];
            let (row, own) = (first + row, [own(0), own(1)]);
            format.check_row(own).map_err(|NotFinite { index, nan }| RowError::NotFinite {
                tensor: tensor.to_string(),
                row,
                index,
                nan,
            })?;
            each(row, own)?;
        }
    }
    Ok(())
}
