//! Loading weights: streamed from the file, checked and packed on the way, on all cores.

use crate::error::{LoadError, out_of_memory};
use crate::kernels::{cpu_after_self_test, kernels};
use crate::model::Model;
use crate::pass::zeros;
use crate::plan::Plan;
use crate::planner::{PlannedTensor, Weight};
use crate::weights::Weights;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_cores::Cores;
use bootllm_model_file::{RowBuffer, RowError, RowRange, Tensor, for_each_f32_row};
use bootllm_platform::ReadAt;
use bootllm_quant::{MatrixBuilder, PANEL, PackError};
use bootllm_simd::Cpu;
use core::mem;
use core::ops::ControlFlow;

/// How far loading has come, in bytes of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loading {
    /// Bytes read and packed.
    pub done: u64,
    /// Bytes of all tensors.
    pub total: u64,
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
        let count = plan.tensors.len();
        let is_matrix = |t: &&PlannedTensor| matches!(t.weight, Weight::Matrix(_));
        let matrices = plan.tensors.iter().filter(is_matrix).count();
        let weights = Weights::new(matrices, count - matrices)?;
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
            self.weights.set_vector(id, read_vector(tensor, source)?);
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
            self.weights.set_matrix(id, matrix.finish());
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
            let factors = rope.factors.map(|id| weights.vector(id));
            ropes.push((rope.table(factors, context)?, rope.pairing));
        }
        let kv_layers = plan.kv_layers().into();
        Ok(Arc::new(Model { plan, weights, ropes, kernels: kernels(cpu), kv_layers, context }))
    }
}

impl Model {
    /// Loads a planned model out of `source`, to run with up to `context` positions (at most the
    /// model's own), with the widest instruction set of the CPU that passes the self-test.
    ///
    /// The calling core reads, and all of `cores` pack. `progress` is called on the calling core
    /// as bytes come in and may stop loading. [`Loader`] is the same without a callback.
    ///
    /// # Errors
    /// What went wrong.
    pub fn load(
        plan: &Arc<Plan>,
        source: &mut dyn ReadAt,
        cores: &dyn Cores,
        context: usize,
        progress: &mut dyn FnMut(Loading) -> ControlFlow<()>,
    ) -> Result<Arc<Self>, LoadError> {
        let cpu = cpu_after_self_test(Cpu::detect());
        Model::load_for(cpu, plan, source, cores, context, progress)
    }

    /// The same with the instruction sets that `cpu` says, which are not tested here.
    pub fn load_for(
        cpu: Cpu,
        plan: &Arc<Plan>,
        source: &mut dyn ReadAt,
        cores: &dyn Cores,
        context: usize,
        progress: &mut dyn FnMut(Loading) -> ControlFlow<()>,
    ) -> Result<Arc<Self>, LoadError> {
        /// Bytes between two calls of `progress`: often enough for an eye.
        const OFTEN: u64 = 256 << 10;
        let mut loader = Loader::new(plan.clone(), cpu, context)?;
        let mut told = 0;
        loop {
            let loading = loader.step(source, cores)?;
            if loading.done - told >= OFTEN || loading.done >= loading.total {
                told = loading.done;
                if progress(loading).is_break() {
                    return Err(LoadError::Stopped);
                }
            }
            if loading.done >= loading.total {
                return loader.finish();
            }
        }
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
