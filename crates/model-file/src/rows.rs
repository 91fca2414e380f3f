//! Reading a tensor's rows, one buffer at a time.

use crate::Tensor;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{ReadAt, StorageError};
use bootllm_quant::{BadRow, NotFinite, Shape};

/// Bytes per read. Large reads are fast; 1 MiB comes near a disk's full speed and still fits L2 when
/// it is packed.
const READ_BYTES: u64 = 1 << 20;

/// Consecutive rows of a tensor that are read together.
#[derive(Clone, Copy, Debug)]
pub struct RowRange<'a> {
    /// The tensor.
    pub tensor: &'a Tensor,
    /// The first row.
    pub first: usize,
    /// How many rows.
    pub rows: usize,
}

/// Memory that rows are read into, reused for every range.
#[derive(Default)]
pub struct RowBuffer {
    bytes: Vec<u8>,
    /// Bytes of each plane that the last read filled; the planes are one after the other.
    planes: [usize; 2],
}

/// Why rows could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The device or its driver failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A number in the file is NaN or infinite.
    #[error(
        "the file is damaged: number {index} in row {row} of {tensor} is {}",
        if *nan { "not a number" } else { "infinite" }
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Its row.
        row: usize,
        /// The value's index in the row, or the scale's among the row's scales.
        index: usize,
        /// Whether it is NaN; infinite otherwise.
        nan: bool,
    },
    /// The tensor's format is not a known one.
    #[error("{tensor} is in the format {format}, which this version cannot read")]
    Encoding {
        /// The tensor.
        tensor: String,
        /// ggml's name of the format.
        format: &'static str,
    },
    /// The buffer cannot be allocated.
    #[error("cannot allocate {bytes} bytes for the read buffer")]
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: usize,
    },
}

impl RowError {
    /// The error for a row with a NaN or an infinity.
    pub fn not_finite(tensor: &Tensor, BadRow { row, error }: BadRow) -> Self {
        let NotFinite { index, nan } = error;
        RowError::NotFinite { tensor: tensor.name.clone(), row, index, nan }
    }

    /// The tensor's shape, or the error that its format is unknown.
    pub fn shape_of(tensor: &Tensor) -> Result<Shape, Self> {
        tensor.shape().ok_or_else(|| RowError::Encoding {
            tensor: tensor.name.clone(),
            format: tensor.format_name(),
        })
    }
}

impl<'a> RowRange<'a> {
    /// All rows of a tensor in order, in ranges of about 1 MiB. Each range but the last holds a
    /// multiple of `multiple` rows, at least `multiple`.
    pub fn all_of(tensor: &'a Tensor, multiple: usize) -> impl Iterator<Item = RowRange<'a>> {
        let (rows, most) = (tensor.rows(), Self::most_rows(tensor, multiple));
        (0..rows).step_by(most).map(move |first| RowRange {
            tensor,
            first,
            rows: most.min(rows - first),
        })
    }

    /// Bytes of the largest range that [`all_of`](Self::all_of) gives.
    pub fn most_bytes(tensor: &Tensor, multiple: usize) -> u64 {
        let rows = Self::most_rows(tensor, multiple) as u64;
        bytes_per_row(tensor).saturating_mul(rows).min(tensor.bytes())
    }

    fn most_rows(tensor: &Tensor, multiple: usize) -> usize {
        let multiples = READ_BYTES / bytes_per_row(tensor).max(1) / multiple as u64;
        multiples.max(1) as usize * multiple
    }

    /// Bytes of these rows.
    pub fn bytes(&self) -> u64 {
        bytes_per_row(self.tensor) * self.rows as u64
    }
}

/// Bytes of a row in all planes.
fn bytes_per_row(tensor: &Tensor) -> u64 {
    tensor.row_bytes().iter().sum()
}

impl RowBuffer {
    /// Allocates for ranges of up to `bytes` bytes.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), RowError> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if self.bytes.len() < bytes {
            // The old buffer goes first: there may not be memory for both.
            self.bytes = Vec::new();
            let reserved = self.bytes.try_reserve_exact(bytes);
            reserved.map_err(|_| RowError::OutOfMemory { bytes })?;
            self.bytes.resize(bytes, 0);
        }
        Ok(())
    }

    /// Reads a range of rows.
    pub fn read(&mut self, file: &mut dyn ReadAt, range: &RowRange<'_>) -> Result<(), RowError> {
        self.reserve(range.bytes())?;
        // They fit the buffer, so they fit a usize.
        self.planes = range.tensor.row_bytes().map(|bytes| bytes as usize * range.rows);
        let (first, rest) = self.bytes.split_at_mut(self.planes[0]);
        for (plane, bytes) in range.tensor.planes.iter().zip([first, &mut rest[..self.planes[1]]]) {
            if !bytes.is_empty() {
                file.read_at(plane.offset + range.first as u64 * plane.row_bytes, bytes)?;
            }
        }
        Ok(())
    }

    /// The rows of the last read, each plane as it is in the file.
    pub fn planes(&self) -> [&[u8]; 2] {
        let (first, rest) = self.bytes.split_at(self.planes[0]);
        [first, &rest[..self.planes[1]]]
    }
}

/// Calls `each` with every row of a tensor in order, as it is in the file's planes. Every
/// number has been checked to be finite.
///
/// # Errors
/// The first error, of the file or of `each`.
pub fn for_each_row<E: From<RowError>>(
    file: &mut dyn ReadAt,
    tensor: &Tensor,
    buffer: &mut RowBuffer,
    mut each: impl FnMut(usize, [&[u8]; 2]) -> Result<(), E>,
) -> Result<(), E> {
    let shape = RowError::shape_of(tensor)?;
    for range in RowRange::all_of(tensor, 1) {
        buffer.read(file, &range)?;
        let (planes, row_bytes) = (buffer.planes(), buffer.planes.map(|bytes| bytes / range.rows));
        for row in 0..range.rows {
            let own = |plane: usize| &planes[plane][row * row_bytes[plane]..][..row_bytes[plane]];
            let (row, own) = (range.first + row, [own(0), own(1)]);
            shape
                .check_row(own)
                .map_err(|error| RowError::not_finite(tensor, BadRow { row, error }))?;
            each(row, own)?;
        }
    }
    Ok(())
}

/// Calls `each` with every row of a tensor in order, in `f32`.
///
/// # Errors
/// The first error, of the file or of `each`.
pub fn for_each_f32_row<E: From<RowError>>(
    file: &mut dyn ReadAt,
    tensor: &Tensor,
    buffer: &mut RowBuffer,
    mut each: impl FnMut(usize, &[f32]) -> Result<(), E>,
) -> Result<(), E> {
    let shape = RowError::shape_of(tensor)?;
    let mut values = Vec::new();
    let bytes = shape.columns.saturating_mul(size_of::<f32>());
    let reserved = values.try_reserve_exact(shape.columns);
    reserved.map_err(|_| RowError::OutOfMemory { bytes })?;
    values.resize(shape.columns, 0.0);
    for_each_row(file, tensor, buffer, |row, planes| {
        shape.decode_row(planes, &mut values);
        each(row, &values)
    })
}
