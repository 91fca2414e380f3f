//! Architectures: how tensors become a computation.

mod llama;

use crate::load::{LoadError, Weights};
use crate::pass::Pass;
use alloc::boxed::Box;

/// A model whose weights are loaded: the computation of some tokens.
pub(crate) trait Architecture: Send + Sync {
    /// Takes the tokens of a pass through all layers, leaving their keys and values in the cache.
    fn forward(&self, pass: &mut Pass<'_>, tokens: &[u32]);

    /// After that: the logits of what follows the pass's token number `first`, and of as many after
    /// it as `logits` has room for (token, vocabulary).
    fn classify(&self, pass: &mut Pass<'_>, first: usize, logits: &mut [f32]);
}

/// Makes a computation of a model's weights; the table of architectures. llama2.c's formats hold
/// Llama only.
pub(crate) fn bind(
    weights: &mut Weights<'_>,
    context: usize,
) -> Result<Box<dyn Architecture>, LoadError> {
    Ok(Box::new(llama::Llama::bind(weights, context)?))
}
