//! A model whose weights are in memory.

use crate::arch::{self, Architecture};
use crate::buffers;
use crate::kernels::{Kernels, checked, kernels};
use crate::load::{self, LoadError, Loading};
use alloc::boxed::Box;
use bootllm_cores::Cores;
use bootllm_model_file::{Config, ModelFile};
use bootllm_platform::ReadAt;
use bootllm_simd::{Cpu, Isa};
use core::ops::ControlFlow;

/// A model whose weights are in memory, packed.
pub struct Model {
    pub(crate) config: Config,
    pub(crate) context: usize,
    pub(crate) architecture: Box<dyn Architecture>,
    pub(crate) kernels: Box<dyn Kernels>,
    /// Words that its products need for prepared vectors.
    pub(crate) input_words: usize,
}

impl Model {
    /// Loads the model that `file` describes out of `source`, to run with up to `context`
    /// positions (at most the model's own), with the widest instructions that the CPU has. They
    /// are checked against plain Rust first; those with which something comes out differently are
    /// not used.
    ///
    /// The calling core reads, and all of `cores` pack. `progress` is called, on the calling core,
    /// as the bytes come in and may stop it. Every weight is checked: NaN and infinities are an
    /// error that names the tensor.
    pub fn load(
        cores: &dyn Cores,
        file: &ModelFile,
        source: &mut dyn ReadAt,
        context: usize,
        progress: &mut dyn FnMut(Loading) -> ControlFlow<()>,
    ) -> Result<Self, LoadError> {
        Model::load_for(checked(Cpu::detect()), cores, file, source, context, progress)
    }

    /// The same with the instructions that `cpu` says, which are not checked: [`checked`] does.
    pub fn load_for(
        cpu: Cpu,
        cores: &dyn Cores,
        file: &ModelFile,
        source: &mut dyn ReadAt,
        context: usize,
        progress: &mut dyn FnMut(Loading) -> ControlFlow<()>,
    ) -> Result<Self, LoadError> {
        let context = context.clamp(1, file.config.context);
        let mut weights = load::load((file, source), cpu, cores, progress)?;
        let architecture = arch::bind(&mut weights, context)?;
        let (kernels, input_words) = (kernels(cpu), input_words(file, context));
        Ok(Model { config: file.config, context, architecture, kernels, input_words })
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The most positions that a session of this model can have.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The widest instructions that it is computed with.
    pub fn isa(&self) -> Isa {
        self.kernels.isa()
    }
}

/// Words that the products of a model need for the vectors that go through it at once, whichever
/// instructions of this CPU they use.
pub(crate) fn input_words(file: &ModelFile, context: usize) -> usize {
    let matrices = file.tensors().iter().filter(|tensor| !tensor.part.is_norm());
    let words =
        matrices.map(|matrix| bootllm_quant::input_words(&matrix.shape, buffers::tokens(context)));
    words.max().unwrap_or(0)
}
