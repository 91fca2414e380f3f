//! Loading weights: streamed from the file, checked and packed on the way, on all cores.

use crate::kernels::kernels;
use crate::model::Model;
use crate::pass::zeros;
use crate::plan::{MatrixId, Plan, VectorId, Weight};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_cores::Cores;
use bootllm_model_file::{RowBuffer, RowError, RowRange, Tensor, for_each_f32_row};
use bootllm_platform::ReadAt;
use bootllm_quant::{Matrix, MatrixBuilder, PANEL, PackError};
use bootllm_simd::Cpu;
use core::mem;

/// How far loading has come, in bytes of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loading {
    /// Bytes read and packed.
    pub done: u64,
    /// Bytes of all tensors.
    pub total: u64,
}

/// Why a model could not be loaded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// The weights could not be read, or are not numbers.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The machine does not have the memory.
    #[error("cannot allocate {} for {what}", bootllm_units::bytes(*bytes))]
    OutOfMemory {
        /// What for.
        what: String,
        /// Bytes that were asked for.
        bytes: u64,
    },
    /// A factor that scales a frequency of RoPE is out of bounds.
    #[error("a factor of the rotary frequencies is {found}; it must be 1 or more")]
    RopeFactor {
        /// Its value.
        found: f32,
    },
    /// The user stopped it.
    #[error("loading was stopped")]
    Stopped,
}

pub(crate) fn out_of_memory(what: impl ToString, bytes: u64) -> LoadError {
    LoadError::OutOfMemory { what: what.to_string(), bytes }
}

/// The weights of a model, by the handles of its plan.
#[derive(Default)]
pub(crate) struct Weights {
    matrices: Vec<Option<Matrix>>,
    vectors: Vec<Vec<f32>>,
}

impl Weights {
    fn new(plan: &Plan) -> Result<Self, LoadError> {
        let is_matrix = |weight: &Weight| matches!(weight, Weight::Matrix(_));
        let matrices = plan.tensors.iter().filter(|t| is_matrix(&t.weight)).count();
        let vectors = plan.tensors.len() - matrices;
        let mut weights = Weights::default();
        let bytes = matrices * size_of::<Option<Matrix>>() + vectors * size_of::<Vec<f32>>();
        let failed = |_| out_of_memory("the tensors", bytes as u64);
        weights.matrices.try_reserve_exact(matrices).map_err(failed)?;
        weights.vectors.try_reserve_exact(vectors).map_err(failed)?;
        weights.matrices.resize_with(matrices, || None);
        weights.vectors.resize_with(vectors, Vec::new);
        Ok(weights)
    }

    /// Weights that are one vector, for tests of what reads it.
    #[cfg(test)]
    pub(crate) fn with_vector(vector: Vec<f32>) -> (Self, VectorId) {
        (Weights { matrices: Vec::new(), vectors: alloc::vec![vector] }, VectorId(0))
    }

    /// A weight matrix, packed.
    pub(crate) fn matrix(&self, id: MatrixId) -> &Matrix {
        match &self.matrices[id.0] {
            Some(matrix) => matrix,
            None => unreachable!("a model is made when every tensor is loaded"),
        }
    }

    /// A vector of weights.
    pub(crate) fn vector(&self, id: VectorId) -> &[f32] {
        &self.vectors[id.0]
    }
}

/// Loads a model step by step, so that the caller can show progress and stop between two steps.
///
/// Tensors are read in the file's order. While the other cores pack the rows of one read, the calling
/// core, the only one that may call the firmware, reads the next ones; then it helps to pack.
pub struct Loader {
    plan: Arc<Plan>,
    cpu: Cpu,
    context: usize,
    weights: Weights,
    /// Indices into the plan's tensors, in the order of loading: vectors first: they are so
    /// small that packing while one is read would wait for the disk.
    order: Vec<usize>,
    /// How many of them have been started.
    begun: usize,
    /// Rows read of the tensor that is being read.
    rows_read: usize,
    buffers: [RowBuffer; 2],
    /// What the first buffer has: a tensor (index into the order), its first row and rows.
    ready: Option<(usize, usize, usize)>,
    /// The matrix that is being packed.
    builder: Option<MatrixBuilder>,
    loading: Loading,
}

impl Loader {
    /// Begins to load a planned model, to run with up to `context` positions (at most the model's
    /// own) and with the instruction sets that `cpu` says, which the caller has had tested
    /// ([`cpu_after_self_test`](crate::cpu_after_self_test)).
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`].
    pub fn new(plan: Arc<Plan>, cpu: Cpu, context: usize) -> Result<Self, LoadError> {
        let context = context.clamp(1, plan.shape().context);
        let weights = Weights::new(&plan)?;
        let count = plan.tensors.len();
        let mut order = Vec::new();
        let failed = |_| out_of_memory("the tensors", (count * size_of::<usize>()) as u64);
        order.try_reserve_exact(count).map_err(failed)?;
        order.extend(0..count);
        let tensor = |&index: &usize| &plan.file().tensors()[plan.tensors[index].index];
        order.sort_unstable_by_key(|index| {
            let matrix = matches!(plan.tensors[*index].weight, Weight::Matrix(_));
            (matrix, tensor(index).planes[0].offset)
        });
        let total = order.iter().map(|index| tensor(index).bytes()).fold(0, u64::saturating_add);
        let matrices = plan.tensors.iter().filter(|t| matches!(t.weight, Weight::Matrix(_)));
        let largest =
            matrices.map(|t| RowRange::most_bytes(&plan.file().tensors()[t.index], PANEL));
        let largest = largest.max().unwrap_or(0);
        let mut buffers = [RowBuffer::default(), RowBuffer::default()];
        buffers.iter_mut().try_for_each(|buffer| buffer.reserve(largest))?;
        Ok(Loader {
            plan,
            cpu,
            context,
            weights,
            order,
            begun: 0,
            rows_read: 0,
            buffers,
            ready: None,
            builder: None,
            loading: Loading { done: 0, total },
        })
    }

    /// Reads the next rows, about 1 MiB, and packs those that the last step read. Loading is over
    /// when all bytes are done.
    ///
    /// Every weight is checked: NaN and infinities are an error that names the tensor.
    ///
    /// # Errors
    /// What went wrong. The loader is of no use then.
    pub fn step(
        &mut self,
        source: &mut dyn ReadAt,
        cores: &dyn Cores,
    ) -> Result<Loading, LoadError> {
        if let Some(&index) = self.order.get(self.begun)
            && let Weight::Vector(id) = self.plan.tensors[index].weight
        {
            self.begun += 1;
            let tensor = &self.plan.file().tensors()[self.plan.tensors[index].index];
            self.weights.vectors[id.0] = read_vector(tensor, source)?;
            self.loading.done += tensor.bytes();
            return Ok(self.loading);
        }
        if self.ready.is_none() {
            self.ready = self.read_next(source, 0)?;
        }
        let Some((index, first, rows)) = self.ready.take() else { return Ok(self.loading) };
        let plan = self.plan.clone();
        let planned = &plan.tensors[index];
        let tensor = &plan.file().tensors()[planned.index];
        let mut matrix = match self.builder.take() {
            Some(matrix) => matrix,
            None => begin(tensor, self.cpu)?,
        };
        let mut next = Ok(None);
        let now = mem::take(&mut self.buffers[0]);
        let read_next = &mut || next = self.read_next(source, 1);
        let pushed = matrix.push_rows(cores, now.planes(), read_next);
        self.buffers[0] = now;
        self.buffers.swap(0, 1);
        pushed.map_err(|bad| RowError::not_finite(tensor, bad))?;
        if first + rows < tensor.rows() {
            self.builder = Some(matrix);
        } else if let Weight::Matrix(id) = planned.weight {
            self.weights.matrices[id.0] = Some(matrix.finish());
        }
        self.loading.done += RowRange { tensor, first, rows }.bytes();
        self.ready = next?;
        Ok(self.loading)
    }

    /// Reads the next rows of a matrix into a buffer.
    fn read_next(
        &mut self,
        source: &mut dyn ReadAt,
        buffer: usize,
    ) -> Result<Option<(usize, usize, usize)>, RowError> {
        let Some(&index) = self.order.get(self.begun) else { return Ok(None) };
        let tensor = &self.plan.file().tensors()[self.plan.tensors[index].index];
        let most = RowRange::all_of(tensor, PANEL).next().map_or(0, |range| range.rows);
        let first = self.rows_read;
        let range = RowRange { tensor, first, rows: most.min(tensor.rows() - first) };
        self.buffers[buffer].read(source, &range)?;
        let rows = range.rows;
        self.rows_read += rows;
        if self.rows_read == tensor.rows() {
            (self.begun, self.rows_read) = (self.begun + 1, 0);
        }
        Ok(Some((index, first, rows)))
    }

    /// How far it is.
    pub fn loading(&self) -> Loading {
        self.loading
    }

    /// The model, once all bytes are done.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`] and [`LoadError::RopeFactor`], of the RoPE tables.
    /// [`LoadError::Stopped`]: not all bytes are done.
    pub fn finish(self) -> Result<Arc<Model>, LoadError> {
        if self.begun < self.order.len() || self.ready.is_some() {
            return Err(LoadError::Stopped);
        }
        let Loader { plan, cpu, context, weights, .. } = self;
        let mut ropes = Vec::new();
        for rope in &plan.ropes {
            ropes.push(rope.table(&weights, context)?);
        }
        Ok(Arc::new(Model { plan, weights, ropes, kernels: kernels(cpu), context }))
    }
}

fn begin(tensor: &Tensor, cpu: Cpu) -> Result<MatrixBuilder, LoadError> {
    let shape = RowError::shape_of(tensor)?;
    MatrixBuilder::new(shape, cpu).map_err(|error| match error {
        PackError::OutOfMemory { bytes } => out_of_memory(tensor, bytes as u64),
        PackError::TooLarge { .. } => out_of_memory(tensor, u64::MAX),
    })
}

fn read_vector(tensor: &Tensor, source: &mut dyn ReadAt) -> Result<Vec<f32>, LoadError> {
    let bytes = tensor.elements().saturating_mul(size_of::<f32>() as u64);
    let mut values = zeros(tensor.columns()).map_err(|_| out_of_memory(tensor, bytes))?;
    for_each_f32_row(source, tensor, &mut RowBuffer::default(), |_, row| {
        values.copy_from_slice(row);
        Ok::<_, RowError>(())
    })?;
    Ok(values)
}
