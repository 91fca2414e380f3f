//! A text on its way through a model.

use crate::arch::Architecture;
use crate::buffers::{BATCH, Buffers};
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
        let cache = new_cache(model, format)?;
        let buffers = Buffers::new(config, context, input_words).map_err(|_| {
            let bytes = Buffers::bytes(config, context, input_words);
            out_of_memory("the activations", bytes as usize)
        })?;
        let (position, clock, times) = (0, None, Times::default());
        Ok(Session { model, cores, cache, buffers, position, clock, times })
    }

    /// Forgets the text, and keeps keys and values in another form from now on. What they took so
    /// far is given back first, for there may not be memory for both.
    ///
    /// # Errors
    /// If there is no memory for the other form, the form so far is taken again. Should there be none
    /// for that either, no token can be fed until a form is found that fits.
    pub fn keep_in(&mut self, format: KvFormat) -> Result<(), LoadError> {
        self.position = 0;
        let before = self.cache.format();
        if format == before && self.cache.positions() > 0 {
            return Ok(());
        }
        self.cache = KvCache::empty(before);
        let result = new_cache(self.model, format).map(|cache| self.cache = cache);
        if result.is_err()
            && let Ok(again) = new_cache(self.model, before)
        {
            self.cache = again;
        }
        result
    }

    /// In which form keys and values are kept.
    pub fn kv_format(&self) -> KvFormat {
        self.cache.format()
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
        tokens.chunks(BATCH).try_for_each(|tokens| self.feed(tokens, |_, _, _| {}))
    }

    /// Feeds tokens and gives the logits of what follows each of them to `take`, one number for
    /// each token of the vocabulary. They are those of [`Session::decode`], sooner: the more
    /// positions' logits `room` can hold, the fewer times the classifier's weights are read.
    ///
    /// # Panics
    /// If there is no room for those of one position.
    pub fn prefill_with_logits(
        &mut self,
        tokens: &[u32],
        room: &mut [f32],
        take: &mut dyn FnMut(&mut [f32]),
    ) -> Result<(), SessionError> {
        let vocab_size = self.model.config.vocab_size;
        let together = room.len() / vocab_size;
        assert!(together > 0, "there is no room for the logits of a position");
        tokens.chunks(BATCH).try_for_each(|tokens| {
            self.feed(tokens, |architecture, pass, _| {
                for first in (0..tokens.len()).step_by(together) {
                    let count = together.min(tokens.len() - first);
                    let logits = &mut room[..count * vocab_size];
                    architecture.classify(pass, first, logits);
                    logits.chunks_exact_mut(vocab_size).for_each(&mut *take);
                }
            })
        })
    }

    /// Feeds a token and returns the logits of the one after it, one number for each token of the
    /// vocabulary. The caller may change them.
    pub fn decode(&mut self, token: u32) -> Result<&mut [f32], SessionError> {
        self.feed(&[token], |architecture, pass, logits| architecture.classify(pass, 0, logits))?;
        Ok(&mut self.buffers.logits)
    }

    /// Feeds up to [`BATCH`] tokens; `then` gets the pass at its end, and the room for the logits of
    /// one. If a token cannot be fed, none is.
    fn feed(
        &mut self,
        tokens: &[u32],
        then: impl FnOnce(&dyn Architecture, &mut Pass<'_>, &mut [f32]),
    ) -> Result<(), SessionError> {
        let Model { context, config, architecture, kernels, .. } = self.model;
        // There is always room for them all, but where a cache was given back and none was got.
        let context = (*context).min(self.cache.positions());
        if tokens.len() > context - self.position {
            return Err(SessionError::ContextFull { context });
        }
        let vocab_size = config.vocab_size;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(SessionError::NoSuchToken { token, vocab_size });
        }
        let (buffers, logits) = self.buffers.rows(config, tokens.len());
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
        architecture.forward(&mut pass, tokens);
        then(&**architecture, &mut pass, logits);
        self.position += tokens.len();
        Ok(())
    }
}

fn new_cache(model: &Model, format: KvFormat) -> Result<KvCache, LoadError> {
    let &Model { ref config, context, .. } = model;
    KvCache::new(config, context, format).map_err(|_| {
        out_of_memory("the KV cache", KvCache::bytes(config, context, format) as usize)
    })
}
