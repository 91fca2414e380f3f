//! Loading weights: streamed from the file, checked and packed on the way, on all cores.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bootllm_cores::Cores;
use bootllm_model_file::{Chunk, ModelFile, Part, Piece, RowError, Tensor, for_each_row};
use bootllm_platform::ReadAt;
use bootllm_quant::{Matrix, MatrixBuilder, PackError};
use bootllm_simd::Cpu;
use core::mem;
use core::ops::ControlFlow;

/// How far loading has come: bytes of tensors read, and all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loading {
    /// Bytes read and packed.
    pub done: u64,
    /// Bytes of all tensors.
    pub total: u64,
}

/// Why a model could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The weights could not be read, or are none.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The machine does not have the memory.
    #[error("there is not enough memory: {what} needs {bytes} bytes that cannot be had")]
    OutOfMemory {
        /// What for.
        what: String,
        /// Bytes that were asked for.
        bytes: u64,
    },
    /// The file lacks a tensor of its architecture.
    #[error("the file has no tensor {part:?} for layer {layer}")]
    Missing {
        /// What it would be for.
        part: Part,
        /// Its layer.
        layer: usize,
    },
    /// The person stopped it.
    #[error("loading was stopped")]
    Stopped,
}

pub(crate) fn out_of_memory(what: impl ToString, bytes: usize) -> LoadError {
    LoadError::OutOfMemory { what: what.to_string(), bytes: bytes as u64 }
}

/// The weights of a model, to be taken out by who knows what they are for.
pub(crate) struct Weights<'a> {
    pub(crate) model: &'a ModelFile,
    /// One for each tensor of the model.
    tensors: Vec<Weight>,
}

enum Weight {
    /// Not loaded yet, or taken out.
    None,
    Norm(Vec<f32>),
    Matrix(Matrix),
}

impl Weights<'_> {
    /// A weight matrix, packed.
    pub(crate) fn matrix(&mut self, part: Part, layer: usize) -> Result<Matrix, LoadError> {
        match self.take(part, layer) {
            Weight::Matrix(matrix) => Ok(matrix),
            _ => Err(LoadError::Missing { part, layer }),
        }
    }

    /// The weights of a norm.
    pub(crate) fn norm(&mut self, part: Part, layer: usize) -> Result<Vec<f32>, LoadError> {
        match self.take(part, layer) {
            Weight::Norm(weights) => Ok(weights),
            _ => Err(LoadError::Missing { part, layer }),
        }
    }

    fn take(&mut self, part: Part, layer: usize) -> Weight {
        let index = self.model.index_of(part, layer);
        index.map_or(Weight::None, |index| mem::replace(&mut self.tensors[index], Weight::None))
    }

    /// A vector of what `make` makes for every layer.
    pub(crate) fn layers<T>(
        &mut self,
        mut make: impl FnMut(&mut Self, usize) -> Result<T, LoadError>,
    ) -> Result<Vec<T>, LoadError> {
        let mut layers = room_for(self.model.config.layers, "the layers")?;
        for layer in 0..self.model.config.layers {
            layers.push(make(self, layer)?);
        }
        Ok(layers)
    }
}

/// Room for `count` of something.
fn room_for<T>(count: usize, what: &str) -> Result<Vec<T>, LoadError> {
    let mut room = Vec::new();
    let reserved = room.try_reserve_exact(count);
    reserved.map_err(|_| out_of_memory(what, count.saturating_mul(size_of::<T>())))?;
    Ok(room)
}

/// Reads all weights of a model in the order in which they lie in its file, checks and packs them.
///
/// While the others pack what was read last, the calling core, which alone may ask the firmware for
/// bytes, reads what comes next; then it helps them.
pub(crate) fn load<'a>(
    (model, file): (&'a ModelFile, &mut dyn ReadAt),
    cpu: Cpu,
    cores: &dyn Cores,
    progress: &mut dyn FnMut(Loading) -> ControlFlow<()>,
) -> Result<Weights<'a>, LoadError> {
    let tensors = model.tensors();
    let mut weights = room_for(tensors.len(), "the tensors")?;
    weights.resize_with(tensors.len(), || Weight::None);
    let mut in_file: Vec<usize> = room_for(tensors.len(), "the tensors")?;
    in_file.extend(0..tensors.len());
    in_file.sort_unstable_by_key(|&index| tensors[index].planes[0].offset);

    let mut progress = Progress::new(model, progress);
    let (mut now, mut next) = (Chunk::default(), Chunk::default());
    // They are small: whatever is packed beside reading one would be waiting for the disk.
    for &index in in_file.iter().filter(|&&index| tensors[index].part.is_norm()) {
        weights[index] = Weight::Norm(norm(&tensors[index], file, &mut now)?);
        progress.advance(tensors[index].bytes())?;
    }

    let matrices = in_file.iter().filter(|&&index| !tensors[index].part.is_norm());
    let largest = matrices.clone().map(|&index| Piece::most_bytes(&tensors[index])).max();
    for chunk in [&mut now, &mut next] {
        chunk.reserve(largest.unwrap_or(0))?;
    }
    let pieces = |&index| Piece::all_of(&tensors[index]).map(move |piece| (index, piece));
    let mut pieces = matrices.flat_map(pieces);
    let mut read_next = |chunk: &mut Chunk| -> Result<_, RowError> {
        let Some((index, piece)) = pieces.next() else { return Ok(None) };
        chunk.read(file, &piece)?;
        Ok(Some((index, piece)))
    };
    let mut builder = None;
    let mut read = read_next(&mut now)?;
    while let Some((index, piece)) = read {
        let mut matrix = match builder.take() {
            Some(matrix) => matrix,
            None => begin(piece.tensor, cpu)?,
        };
        let mut after = Ok(None);
        let beside = &mut || after = read_next(&mut next);
        let pushed = matrix.push_rows(cores, now.planes(), beside);
        pushed.map_err(|bad| RowError::not_finite(piece.tensor, bad))?;
        if piece.first + piece.rows < piece.tensor.shape.rows {
            builder = Some(matrix);
        } else {
            weights[index] = Weight::Matrix(matrix.finish());
        }
        progress.advance(piece.bytes())?;
        read = after?;
        mem::swap(&mut now, &mut next);
    }
    Ok(Weights { model, tensors: weights })
}

fn begin(tensor: &Tensor, cpu: Cpu) -> Result<MatrixBuilder, LoadError> {
    MatrixBuilder::new(tensor.shape, cpu).map_err(|error| match error {
        PackError::OutOfMemory { bytes } => out_of_memory(tensor, bytes),
        PackError::TooLarge { .. } => out_of_memory(tensor, usize::MAX),
    })
}

fn norm(tensor: &Tensor, file: &mut dyn ReadAt, chunk: &mut Chunk) -> Result<Vec<f32>, LoadError> {
    let columns = tensor.shape.columns;
    let mut weights = crate::kv_cache::zeros(columns)
        .map_err(|_| out_of_memory(tensor, columns * size_of::<f32>()))?;
    for_each_row(file, tensor, chunk, |_, planes| {
        tensor.shape.decode_row(planes, &mut weights);
        Ok::<_, RowError>(())
    })?;
    Ok(weights)
}

/// Tells a person how far it is.
struct Progress<'a> {
    tell: &'a mut dyn FnMut(Loading) -> ControlFlow<()>,
    loading: Loading,
    /// Bytes that were not told of.
    untold: u64,
}

impl<'a> Progress<'a> {
    fn new(model: &ModelFile, tell: &'a mut dyn FnMut(Loading) -> ControlFlow<()>) -> Self {
        Progress { tell, loading: Loading { done: 0, total: model.tensor_bytes() }, untold: 0 }
    }

    fn advance(&mut self, bytes: u64) -> Result<(), LoadError> {
        let Progress { tell, loading, untold } = self;
        loading.done += bytes;
        *untold += bytes;
        // Often enough for an eye, seldom enough to cost nothing.
        if *untold >= 256 * 1024 || loading.done == loading.total {
            *untold = 0;
            if tell(*loading).is_break() {
                return Err(LoadError::Stopped);
            }
        }
        Ok(())
    }
}
