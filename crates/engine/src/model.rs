//! A model whose weights are in memory.

use crate::error::LoadError;
use crate::kernels::{Kernels, Pairing};
use crate::plan::Plan;
use crate::planner::ModelShape;
use crate::state::{KvFormat, KvLayer, Sequence};
use crate::weights::Weights;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_simd::{Isa, RopeTable};

/// A model whose weights are in memory, packed.
pub struct Model {
    pub(crate) plan: Arc<Plan>,
    pub(crate) weights: Weights,
    pub(crate) ropes: Vec<(RopeTable, Pairing)>,
    pub(crate) kernels: Box<dyn Kernels>,
    /// What a sequence stores; sequences of this model share it, which tells them from others.
    pub(crate) kv_layers: Arc<[KvLayer]>,
    pub(crate) context: usize,
}

impl Model {
    /// The model's hyperparameters.
    pub fn shape(&self) -> &ModelShape {
        self.plan.shape()
    }

    /// Its plan: the file's description, and the memory it takes.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The most positions that a sequence of this model can have.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The widest instruction set that it is computed with.
    pub fn isa(&self) -> Isa {
        self.kernels.isa()
    }
}

impl Sequence {
    /// An empty sequence of up to `context` positions (at most the model's context). Everything that
    /// feeding it needs is allocated here.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`].
    pub fn new(model: &Model, context: usize, format: KvFormat) -> Result<Self, LoadError> {
        let context = context.clamp(1, model.context);
        Sequence::with_layers(model.kv_layers.clone(), context, format)
    }
}
