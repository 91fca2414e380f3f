//! The plan of a model: what its architecture needs, before anything is loaded.
//!
//! An architecture's `plan` function reads the file's metadata through a [`Planner`], asks it for
//! tensors, activations, RoPE tables and cache layers, and gets a handle for each. The plan both
//! sizes and allocates them: what is announced is what is taken, by construction.

use crate::arch::{self, Architecture};
use crate::kernels::{CHECK_BYTES, score_floats};
use crate::pass::{logits_rows, max_rows};
use crate::planner::{ModelShape, PlanError, Planned, PlannedTensor, Planner, RopeConfig, Weight};
use crate::state::{KvCache, KvFormat, KvLayer};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_model_file::{ModelFile, RowRange, Tensor};
use bootllm_quant::PANEL;

/// A checked plan of what a model needs to run; nothing is loaded yet.
///
/// ```no_run
/// # fn f(file: bootllm_model_file::ModelFile) -> Result<(), bootllm_engine::PlanError> {
/// use bootllm_engine::{KvFormat, Plan};
///
/// let plan = Plan::new(file.into())?;
/// let memory = plan.memory(2048, KvFormat::F32);
/// assert!(memory.total() > memory.weights);
/// # Ok(())
/// # }
/// ```
pub struct Plan {
    file: Arc<ModelFile>,
    shape: ModelShape,
    pub(crate) architecture: Box<dyn Architecture>,
    pub(crate) tensors: Vec<PlannedTensor>,
    /// Floats per row of each [`Buffer`].
    pub(crate) buffers: Vec<usize>,
    pub(crate) ropes: Vec<RopeConfig>,
    kv_layers: Vec<KvLayer>,
    /// The most query heads of any layer.
    heads: usize,
}

impl Plan {
    /// Reads the metadata that the file's architecture needs, and checks that the file has exactly the
    /// tensors that follow from it, in the right shapes.
    ///
    /// # Errors
    /// [`PlanError`], which names what cannot be run.
    pub fn new(file: Arc<ModelFile>) -> Result<Self, PlanError> {
        let mut planner = Planner::new(&file)?;
        let (architecture, shape) = arch::plan(&mut planner)?;
        let Planned { tensors, buffers, ropes, kv_layers, heads } = planner.finish()?;
        if let Some(vocabulary) = &file.vocabulary
            && vocabulary.count() != shape.vocab_size as u64
        {
            let (found, expected) = (vocabulary.count(), shape.vocab_size as u64);
            return Err(PlanError::VocabularySize { found, expected });
        }
        Ok(Plan { file, shape, architecture, tensors, buffers, ropes, kv_layers, heads })
    }

    /// The description of the file.
    pub fn file(&self) -> &Arc<ModelFile> {
        &self.file
    }

    /// The model's hyperparameters.
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    pub(crate) fn kv_layers(&self) -> &[KvLayer] {
        &self.kv_layers
    }

    /// The matrices' descriptions.
    fn matrices(&self) -> impl Iterator<Item = (&PlannedTensor, &Tensor)> {
        let matrices = self.tensors.iter().filter(|t| matches!(t.weight, Weight::Matrix(_)));
        matrices.map(|planned| (planned, &self.file.tensors()[planned.index]))
    }

    /// Bytes of packed weights that a decoded token reads: all matrices once, but only one row of an
    /// embedding.
    pub fn weight_bytes_per_token(&self) -> u64 {
        let read = self.matrices().filter(|(planned, _)| planned.read_per_token);
        read.map(|(_, tensor)| packed_bytes(tensor)).sum()
    }

    /// Multiply-accumulates per prompt token whose logits are not wanted: those of all matrices but the
    /// embedding and the output projection.
    pub fn products_per_prompt_token(&self) -> u64 {
        let in_layers =
            self.matrices().filter(|(_, tensor)| tensor.rows() != self.shape.vocab_size);
        in_layers.map(|(_, tensor)| tensor.elements()).sum()
    }

    /// Words that the products need for the prepared inputs of a pass, whichever instruction set of
    /// this CPU they use.
    pub(crate) fn input_words(&self, context: usize) -> usize {
        let shapes = self.matrices().filter_map(|(_, tensor)| tensor.shape());
        let words = shapes.map(|shape| bootllm_quant::input_words(&shape, max_rows(context)));
        words.max().unwrap_or(0)
    }

    /// Floats of each buffer of activations, of the attention scores, and of the logits.
    pub(crate) fn activations(&self, context: usize) -> impl Iterator<Item = usize> {
        let rows = max_rows(context);
        let buffers = self.buffers.iter().map(move |width| width.saturating_mul(rows));
        let scores = self.heads.saturating_mul(score_floats(context));
        let logits = self.shape.vocab_size.saturating_mul(logits_rows(self.shape.vocab_size));
        buffers.chain([scores, logits])
    }

    /// The memory that the model takes with a context of `context` positions. Sums saturate at
    /// `u64::MAX`.
    pub fn memory(&self, context: usize, format: KvFormat) -> Memory {
        let packed = |planned: &PlannedTensor| {
            let tensor = &self.file.tensors()[planned.index];
            let bytes = match planned.weight {
                Weight::Matrix(_) => packed_bytes(tensor),
                Weight::Vector(_) => tensor.elements().saturating_mul(size_of::<f32>() as u64),
            };
            bytes.saturating_add(BESIDE_WEIGHTS)
        };
        let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
        let floats = sum(&mut self.activations(context).map(|floats| floats as u64));
        let words = floats.saturating_add(self.input_words(context) as u64);
        let ropes = self.ropes.iter().map(|rope| rope.bytes(context));
        let chunk = self
            .tensors
            .iter()
            .map(|planned| RowRange::most_bytes(&self.file.tensors()[planned.index], PANEL));
        Memory {
            weights: sum(&mut self.tensors.iter().map(packed)),
            kv_cache: KvCache::bytes(&self.kv_layers, context, format),
            activations: words.saturating_mul(4).saturating_add(sum(&mut { ropes })),
            loading: chunk.fold(0, u64::max).saturating_mul(2).max(CHECK_BYTES),
        }
    }
}

fn packed_bytes(tensor: &Tensor) -> u64 {
    let bytes = tensor.shape().and_then(|shape| shape.packed_bytes());
    bytes.map_or(u64::MAX, |bytes| bytes as u64)
}

/// The most bytes that a tensor takes besides its weights: its handle, its entry in the model, and
/// the allocator's overhead.
const BESIDE_WEIGHTS: u64 = 256;

/// Bytes that a model takes while it runs, by purpose, and while it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The packed weights, and the overhead per tensor.
    pub weights: u64,
    /// Keys and values of every position of one sequence.
    pub kv_cache: u64,
    /// Activations, logits and RoPE tables.
    pub activations: u64,
    /// The two read buffers, or the memory of the kernels' self-test before, if that is more; freed
    /// after loading.
    pub loading: u64,
}

impl Memory {
    /// Memory that must stay free besides the model: for the sampler, the screen's glyphs, typed text
    /// and the firmware's own pools.
    pub const RESERVE: u64 = 8 << 20;

    /// The peak: the most that is in use at any moment.
    pub fn total(&self) -> u64 {
        let Memory { weights, kv_cache, activations, loading } = *self;
        [weights, kv_cache, activations, loading].into_iter().fold(0, u64::saturating_add)
    }

    /// Whether it fits into `free` bytes and leaves [`Memory::RESERVE`].
    pub fn fits(&self, free: u64) -> bool {
        Memory::leaves_reserve(self.total(), free)
    }

    /// Whether `bytes` of `free` bytes can be taken and leave [`Memory::RESERVE`].
    pub fn leaves_reserve(bytes: u64, free: u64) -> bool {
        bytes.saturating_add(Memory::RESERVE) <= free
    }
}
