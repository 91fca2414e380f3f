//! A model whose weights are in memory.

use crate::kernels::{Kernels, cpu_after_self_test};
use crate::load::{LoadError, Loader, Loading, Weights};
use crate::plan::{ModelShape, Plan};
use alloc::boxed::Box;
use alloc::sync::Arc;
use bootllm_cores::Cores;
use bootllm_platform::ReadAt;
use bootllm_simd::{Cpu, Isa, RopeTable};
use core::ops::ControlFlow;

/// A model whose weights are in memory, packed.
pub struct Model {
    pub(crate) plan: Arc<Plan>,
    pub(crate) weights: Weights,
    pub(crate) ropes: alloc::vec::Vec<RopeTable>,
    pub(crate) kernels: Box<dyn Kernels>,
    pub(crate) context: usize,
}

impl Model {
    /// Loads a planned model out of `source`, to run with up to `context` positions (at most the
    /// model's own), with the widest instruction set of the CPU that passes the self-test.
    ///
    /// The calling core reads, and all of `cores` pack. `progress` is called on the calling core
    /// as bytes come in and may stop loading. [`Loader`] is the same without a callback.
    ///
    /// # Errors
    /// [`LoadError`].
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

    /// The same with the instruction sets of `cpu`, which are not tested here.
    pub fn load_for(
        cpu: Cpu,
        plan: &Arc<Plan>,
        source: &mut dyn ReadAt,
        cores: &dyn Cores,
        context: usize,
        progress: &mut dyn FnMut(Loading) -> ControlFlow<()>,
    ) -> Result<Arc<Self>, LoadError> {
        /// Bytes between two calls of `progress`: often enough to look smooth.
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
