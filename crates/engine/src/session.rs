//! A text on its way through a model.

use crate::buffers::Buffers;
use crate::kv_cache::KvCache;
use crate::load::{LoadError, out_of_memory};
use crate::model::Model;
use bootllm_cores::Cores;

/// One text and what the model remembers of it.
pub struct Session<'a> {
    model: &'a Model,
    cores: &'a dyn Cores,
    cache: KvCache,
    buffers: Buffers,
    position: usize,
}

/// Why a token could not be fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Every position of the context is taken.
    #[error("the context of {context} tokens is full")]
    ContextFull {
        /// Positions.
        context: usize,
    },
    /// The model has no such token.
    #[error("token {token} is not among the model's {vocab_size}")]
    NoSuchToken {
        /// The token.
        token: u32,
        /// Tokens that the model knows.
        vocab_size: usize,
    },
}

impl<'a> Session<'a> {
    /// An empty text. Everything that feeding it needs is allocated here.
    pub fn new(model: &'a Model, cores: &'a dyn Cores) -> Result<Self, LoadError> {
        let (config, context) = (&model.config, model.context);
        let cache = KvCache::new(config, context)
            .map_err(|_| out_of_memory("the KV cache", KvCache::bytes(config, context) as usize))?;
        let buffers = Buffers::new(config, context).map_err(|_| {
            out_of_memory("the activations", Buffers::bytes(config, context) as usize)
        })?;
        Ok(Session { model, cores, cache, buffers, position: 0 })
    }

    /// How many tokens have been fed.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The model.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// Forgets the text from `position` on: the next token is fed there.
    pub fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    /// Feeds tokens whose logits nobody asks for.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<(), SessionError> {
        tokens.iter().try_for_each(|&token| self.feed(token, false))
    }

    /// Feeds a token and returns the logits of the one after it, one number for each token of the
    /// vocabulary. The caller may change them.
    pub fn decode(&mut self, token: u32) -> Result<&mut [f32], SessionError> {
        self.feed(token, true)?;
        Ok(&mut self.buffers.logits)
    }

    fn feed(&mut self, token: u32, logits: bool) -> Result<(), SessionError> {
        let &Model { context, ref config, ref architecture } = self.model;
        if self.position == context {
            return Err(SessionError::ContextFull { context });
        }
        if token as usize >= config.vocab_size {
            return Err(SessionError::NoSuchToken { token, vocab_size: config.vocab_size });
        }
        let (buffers, cache) = (&mut self.buffers, &mut self.cache);
        architecture.forward(buffers, cache, self.cores, token, self.position, logits);
        self.position += 1;
        Ok(())
    }
}
