//! What a sequence remembers of the tokens it was fed.
//!
//! A transformer's state is its KV cache, which can be cut back to any position.

mod cells;
mod kv_cache;

pub(crate) use cells::{Cells, F16Cells, F32Cells, Q8Cells};
pub use kv_cache::KvFormat;
pub(crate) use kv_cache::{KvCache, KvLayer, TILE};

use crate::load::{LoadError, out_of_memory};
use crate::model::Model;
use alloc::sync::Arc;

/// One text on its way through a model: how far it was fed, and its KV cache.
///
/// A sequence belongs to the model that it was made for. [`Engine::run`](crate::Engine::run) feeds
/// rows of any number of sequences together.
pub struct Sequence {
    model: Arc<Model>,
    pub(crate) cache: KvCache,
    context: usize,
    pub(crate) position: usize,
}

impl Sequence {
    /// An empty sequence of up to `context` positions (at most the model's context). Everything that
    /// feeding it needs is allocated here.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`].
    pub fn new(model: &Arc<Model>, context: usize, format: KvFormat) -> Result<Self, LoadError> {
        let context = context.clamp(1, model.context);
        let cache = new_cache(model, context, format)?;
        Ok(Sequence { model: model.clone(), cache, context, position: 0 })
    }

    /// The model it belongs to.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How many tokens were fed: the position of the next one.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Positions that it has memory for.
    pub fn capacity(&self) -> usize {
        self.cache.positions().min(self.context)
    }

    /// The format of its keys and values.
    pub fn kv_format(&self) -> KvFormat {
        self.cache.format()
    }

    /// Forgets every token from `position` on: the next token is fed there. A KV cache can be cut
    /// back to any position.
    pub fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    /// Forgets all tokens and stores keys and values in another format from now on. The old cache is
    /// freed first, since there may not be memory for both.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`]: the old format is allocated again. If that fails too, no token can
    /// be fed until a format fits.
    pub fn set_kv_format(&mut self, format: KvFormat) -> Result<(), LoadError> {
        self.position = 0;
        let before = self.cache.format();
        if format == before && self.cache.positions() > 0 {
            return Ok(());
        }
        self.cache = KvCache::empty(before);
        let result = new_cache(&self.model, self.context, format).map(|cache| self.cache = cache);
        if result.is_err()
            && let Ok(again) = new_cache(&self.model, self.context, before)
        {
            self.cache = again;
        }
        result
    }
}

fn new_cache(model: &Model, context: usize, format: KvFormat) -> Result<KvCache, LoadError> {
    let layers = model.plan.kv_layers();
    KvCache::new(layers, context, format)
        .map_err(|_| out_of_memory("the KV cache", KvCache::bytes(layers, context, format)))
}
