//! Architectures: how tensors become a computation.

mod llama;

use crate::buffers::Buffers;
use crate::kv_cache::KvCache;
use crate::load::{LoadError, Loader};
use alloc::boxed::Box;
use bootllm_cores::Cores;

/// A model whose weights are loaded: the computation of one token.
pub(crate) trait Architecture: Send + Sync {
    /// Takes `token` at `position` through all layers, leaving its keys and values in the cache,
    /// and its logits in the buffers if `logits` is set.
    fn forward(
        &self,
        buffers: &mut Buffers,
        cache: &mut KvCache,
        cores: &dyn Cores,
        token: u32,
        position: usize,
        logits: bool,
    );
}

/// Loads a model; the table of architectures. llama2.c's formats hold Llama only.
pub(crate) fn load(
    loader: &mut Loader<'_>,
    context: usize,
) -> Result<Box<dyn Architecture>, LoadError> {
    Ok(Box::new(llama::Llama::load(loader, context)?))
}
