//! A text on its way through a model.

use crate::buffers::{self, Buffers};
use crate::kv_cache::{KvCache, KvFormat};
use crate::load::{LoadError, out_of_memory};
use crate::model::Model;
use crate::pass::Pass;
use crate::times::Times;
use bootllm_cores::Cores;
use bootllm_platform::Clock;

/// One text and what the model remembers of it.
pub struct Session<'a> {
    model: &'a Model,
    cores: &'a dyn Cores,
    cache: KvCache,
    buffers: Buffers,
    position: usize,
    clock: Option<&'a dyn Clock>,
    times: Times,
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
        Session::with_cache(model, cores, KvFormat::default())
    }

    /// The same, with keys and values kept in another form.
    pub fn with_cache(
        model: &'a Model,
        cores: &'a dyn Cores,
        format: KvFormat,
    ) -> Result<Self, LoadError> {
        let &Model { ref config, context, input_words, .. } = model;
        let cache = KvCache::new(config, context, format).map_err(|_| {
            out_of_memory("the KV cache", KvCache::bytes(config, context, format) as usize)
        })?;
        let buffers = Buffers::new(config, context, input_words).map_err(|_| {
            let bytes = Buffers::bytes(config, context, input_words);
            out_of_memory("the activations", bytes as usize)
        })?;
        let (position, clock, times) = (0, None, Times::default());
        Ok(Session { model, cores, cache, buffers, position, clock, times })
    }

    /// How many tokens have been fed.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The model.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// From now on looks where the time goes, by a clock.
    pub fn measure(&mut self, clock: &'a dyn Clock) {
        (self.clock, self.times) = (Some(clock), Times::default());
    }

    /// Where the time went since [`Session::measure`].
    pub fn times(&self) -> Times {
        self.times
    }

    /// Forgets the text from `position` on: the next token is fed there.
    pub fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    /// Feeds tokens whose logits nobody asks for.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<(), SessionError> {
        tokens.chunks(buffers::BATCH).try_for_each(|tokens| self.feed(tokens, false))
    }

    /// Feeds a token and returns the logits of the one after it, one number for each token of the
    /// vocabulary. The caller may change them.
    pub fn decode(&mut self, token: u32) -> Result<&mut [f32], SessionError> {
        self.feed(&[token], true)?;
        Ok(&mut self.buffers.logits)
    }

    /// Feeds up to [`buffers::BATCH`] tokens. If one cannot be fed, none is.
    fn feed(&mut self, tokens: &[u32], logits: bool) -> Result<(), SessionError> {
        let Model { context, config, architecture, kernels, .. } = self.model;
        if tokens.len() > context - self.position {
            return Err(SessionError::ContextFull { context: *context });
        }
        let vocab_size = config.vocab_size;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(SessionError::NoSuchToken { token, vocab_size });
        }
        let (buffers, room) = self.buffers.rows(config, tokens.len());
        let mut pass = Pass {
            buffers,
            cache: &mut self.cache,
            cores: self.cores,
            kernels: &**kernels,
            tokens: tokens.len(),
            position: self.position,
            clock: self.clock,
            times: &mut self.times,
        };
        if let Some(clock) = self.clock {
            pass.times.start(clock.now());
        }
        architecture.forward(&mut pass, tokens, logits.then_some(room));
        self.position += tokens.len();
        Ok(())
    }
}
