//! Loading weights: streamed from the file, checked and packed on the way.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bootllm_model_file::{Chunk, ModelFile, Part, RowError, Tensor, for_each_row};
use bootllm_platform::ReadAt;
use bootllm_quant::{Matrix, MatrixBuilder, PackError};
use bootllm_simd::Cpu;
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

/// Reads one tensor after the other out of a file.
pub(crate) struct Loader<'a> {
    pub(crate) model: &'a ModelFile,
    pub(crate) file: &'a mut dyn ReadAt,
    pub(crate) cpu: Cpu,
    progress: &'a mut dyn FnMut(Loading) -> ControlFlow<()>,
    loading: Loading,
    /// Bytes read since `progress` was called.
    unsaid: u64,
    chunk: Chunk,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        model: &'a ModelFile,
        file: &'a mut dyn ReadAt,
        cpu: Cpu,
        progress: &'a mut dyn FnMut(Loading) -> ControlFlow<()>,
    ) -> Self {
        let total = model.tensors().iter().map(Tensor::bytes).sum();
        let loading = Loading { done: 0, total };
        Loader { model, file, cpu, progress, loading, unsaid: 0, chunk: Chunk::default() }
    }

    /// A weight matrix, packed.
    pub(crate) fn matrix(&mut self, part: Part, layer: usize) -> Result<Matrix, LoadError> {
        let tensor = *self.tensor(part, layer)?;
        let mut builder =
            MatrixBuilder::new(tensor.shape, self.cpu).map_err(|error| match error {
                PackError::OutOfMemory { bytes } => out_of_memory(tensor, bytes),
                PackError::TooLarge { .. } => out_of_memory(tensor, usize::MAX),
            })?;
        self.rows(&tensor, |planes| builder.push_row(planes))?;
        Ok(builder.finish())
    }

    /// The weights of a norm.
    pub(crate) fn norm(&mut self, part: Part, layer: usize) -> Result<Vec<f32>, LoadError> {
        let tensor = *self.tensor(part, layer)?;
        let columns = tensor.shape.columns;
        let mut weights = crate::kv_cache::zeros(columns)
            .map_err(|_| out_of_memory(tensor, columns * size_of::<f32>()))?;
        let format = tensor.shape.encoding.format();
        self.rows(&tensor, |planes| format.decode_row(&tensor.shape, planes, &mut weights))?;
        Ok(weights)
    }

    /// A vector of what `load` gives for every layer.
    pub(crate) fn layers<T>(
        &mut self,
        mut load: impl FnMut(&mut Self, usize) -> Result<T, LoadError>,
    ) -> Result<Vec<T>, LoadError> {
        let count = self.model.config.layers;
        let mut layers = Vec::new();
        let bytes = count.saturating_mul(size_of::<T>());
        layers.try_reserve_exact(count).map_err(|_| out_of_memory("the layers", bytes))?;
        for layer in 0..count {
            layers.push(load(self, layer)?);
        }
        Ok(layers)
    }

    fn tensor(&self, part: Part, layer: usize) -> Result<&'a Tensor, LoadError> {
        self.model.tensor(part, layer).ok_or(LoadError::Missing { part, layer })
    }

    /// Streams the rows of a tensor, with progress.
    fn rows(&mut self, tensor: &Tensor, mut take: impl FnMut([&[u8]; 2])) -> Result<(), LoadError> {
        let row_bytes: u64 = tensor.row_bytes().iter().sum();
        let Loader { file, progress, loading, unsaid, chunk, .. } = self;
        for_each_row(*file, tensor, chunk, |_, planes| {
            take(planes);
            loading.done += row_bytes;
            *unsaid += row_bytes;
            // Often enough for an eye, seldom enough to cost nothing.
            if *unsaid >= 256 * 1024 || loading.done == loading.total {
                *unsaid = 0;
                if progress(*loading).is_break() {
                    return Err(LoadError::Stopped);
                }
            }
            Ok(())
        })
    }
}
