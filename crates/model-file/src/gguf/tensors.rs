//! Reading the descriptions of the tensors.

use super::GgufError;
use super::cursor::Cursor;
use super::metadata::shown;
use super::types::tensor_type;
use crate::description::Budget;
use crate::tensor::DIMENSIONS;
use crate::{Plane, ReadError, Tensor};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of the longest name that a tensor may have (ggml's `GGML_MAX_NAME`).
const LONGEST_NAME: usize = 64;

/// Reads `count` descriptions. Offsets count from the first byte of the weights.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    count: u64,
    budget: &mut Budget,
) -> Result<Vec<Tensor>, ReadError> {
    let mut tensors = Vec::new();
    for _ in 0..count {
        let tensor = read_one(cursor)?;
        budget.take(size_of::<Tensor>() + tensor.name.len())?;
        tensors.try_reserve(1).map_err(|_| GgufError::OutOfMemory)?;
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn read_one(cursor: &mut Cursor<'_>) -> Result<Tensor, ReadError> {
    let (name, whole) = cursor.string(LONGEST_NAME)?;
    let name = String::from_utf8_lossy(name).into_owned();
    let shown = || shown(name.as_bytes());
    if !whole || name.contains(char::is_control) {
        return Err(GgufError::TensorName { tensor: shown() }.into());
    }
    let wrong = |found| GgufError::TensorShape { tensor: shown(), found };
    let mut sizes = [1; DIMENSIONS];
    let count = cursor.u32()?;
    let used = sizes.get_mut(..count as usize);
    for size in used.ok_or_else(|| wrong(format!("{count} dimensions")))? {
        *size = cursor.u64()?;
    }
    let rows = sizes[1..].iter().try_fold(1u64, |rows, size| rows.checked_mul(*size));
    // What other programs count in 32 bits; products of two such numbers fit 64.
    let fits = |size: u64| (1..=i32::MAX as u64).contains(&size);
    if !fits(sizes[0]) || !rows.is_some_and(fits) {
        return Err(wrong(dimensions_text(&sizes)).into());
    }
    let number = cursor.u32()?;
    let (encoding, values, bytes) =
        tensor_type(number).map_err(|number| GgufError::TensorType { tensor: shown(), number })?;
    if !sizes[0].is_multiple_of(values) {
        let name = encoding.map_or_else(|unknown| unknown.name, |known| known.name());
        return Err(GgufError::TensorBlocks {
            tensor: shown(),
            columns: sizes[0],
            format: name,
            block: values,
        }
        .into());
    }
    let row_bytes = sizes[0] / values * bytes;
    let offset = cursor.u64()?;
    let planes = [Plane { offset, row_bytes }, Plane { offset, row_bytes: 0 }];
    Ok(Tensor { name, dimensions: sizes.map(|size| size as usize), encoding, planes })
}

/// `48 x 16 x 1 x 1`.
fn dimensions_text(sizes: &[u64; DIMENSIONS]) -> String {
    format!("{} x {} x {} x {}", sizes[0], sizes[1], sizes[2], sizes[3])
}

/// Turns offsets into offsets of the file and checks that every tensor is within it, aligned, and
/// overlaps no other. The weights begin at byte `start` of the file's `size`.
pub(super) fn place(
    tensors: &mut [Tensor],
    (start, alignment, size): (u64, u64, u64),
) -> Result<(), ReadError> {
    let mut end_of_all = 0;
    for tensor in &mut *tensors {
        let offset = tensor.planes[0].offset;
        let wrong =
            |problem| GgufError::TensorOffset { tensor: shown_name(tensor), offset, problem };
        if offset % alignment != 0 {
            return Err(wrong(OffsetProblem::Misaligned).into());
        }
        let from = start.checked_add(offset).ok_or(wrong(OffsetProblem::BeyondEnd))?;
        let bytes = u128::from(tensor.planes[0].row_bytes) * tensor.rows() as u128;
        end_of_all = end_of_all.max(u128::from(from) + bytes);
        tensor.planes.iter_mut().for_each(|plane| plane.offset = from);
    }
    if end_of_all > u128::from(size) {
        return Err(ReadError::Size { expected: end_of_all, found: size });
    }
    let mut by_offset: Vec<&Tensor> = Vec::new();
    by_offset.try_reserve_exact(tensors.len()).map_err(|_| GgufError::OutOfMemory)?;
    by_offset.extend(&*tensors);
    by_offset.sort_unstable_by_key(|tensor| tensor.planes[0].offset);
    let overlap = by_offset.windows(2).find(|pair| {
        let [first, second] = [pair[0], pair[1]].map(|tensor| tensor.planes[0].offset);
        first + pair[0].bytes() > second
    });
    match overlap {
        None => Ok(()),
        Some(pair) => Err(GgufError::TensorOffset {
            tensor: shown_name(pair[1]),
            offset: pair[1].planes[0].offset - start,
            problem: OffsetProblem::Overlap,
        }
        .into()),
    }
}

fn shown_name(tensor: &Tensor) -> String {
    shown(tensor.name.as_bytes())
}

/// What is wrong with where a tensor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OffsetProblem {
    /// Not at a multiple of the alignment.
    #[error("not a multiple of the alignment")]
    Misaligned,
    /// After the end of the file.
    #[error("far beyond the end of the file")]
    BeyondEnd,
    /// In another tensor.
    #[error("inside another tensor")]
    Overlap,
}
