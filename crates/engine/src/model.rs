//! A model whose weights are in memory.

use crate::arch::{self, Architecture};
use crate::load::{LoadError, Loader, Loading};
use alloc::boxed::Box;
use bootllm_model_file::{Config, ModelFile};
use bootllm_platform::ReadAt;
use bootllm_simd::Isa;
use core::ops::ControlFlow;

/// A model whose weights are in memory, packed.
pub struct Model {
    pub(crate) config: Config,
    pub(crate) context: usize,
    pub(crate) architecture: Box<dyn Architecture>,
}

impl Model {
    /// Loads the model that `file` describes out of `source`, to run with up to `context`
    /// positions (at most the model's own).
    ///
    /// `progress` is called as the bytes come in and may stop it. Every weight is checked: NaN
    /// and infinities are an error that names the tensor.
    pub fn load(
        file: &ModelFile,
        source: &mut dyn ReadAt,
        context: usize,
        progress: &mut dyn FnMut(Loading) -> ControlFlow<()>,
    ) -> Result<Self, LoadError> {
        let context = context.clamp(1, file.config.context);
        let mut loader = Loader::new(file, source, Isa::detect(), progress);
        let architecture = arch::load(&mut loader, context)?;
        Ok(Model { config: file.config, context, architecture })
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The most positions that a session of this model can have.
    pub fn context(&self) -> usize {
        self.context
    }
}
