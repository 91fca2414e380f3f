//! An engine with a single sequence.

use crate::engine::{Engine, RunError};
use crate::error::{LoadError, out_of_memory};
use crate::model::Model;
use crate::pass::{MAX_ROWS, Row};
use crate::state::{KvFormat, Sequence};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_cores::Cores;
use core::slice::from_mut;

/// An [`Engine`] with one [`Sequence`].
///
/// ```no_run
/// # fn f(model: std::sync::Arc<bootllm_engine::Model>) -> Result<(), Box<dyn std::error::Error>> {
/// use bootllm_cores::OneCore;
/// use bootllm_engine::Session;
///
/// let mut session = Session::new(&model, &OneCore)?;
/// session.prefill(&[1, 403, 2501])?;
/// let logits = session.decode(263)?;
/// assert_eq!(logits.len(), model.shape().vocab_size);
/// # Ok(())
/// # }
/// ```
pub struct Session<'c> {
    /// Runs the rows.
    pub engine: Engine<'c>,
    /// The sequence of all rows.
    pub sequence: Sequence,
    rows: Vec<Row>,
}

impl<'c> Session<'c> {
    /// An empty session for the model's whole context, with keys and values in f32.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`].
    pub fn new(model: &Arc<Model>, cores: &'c dyn Cores) -> Result<Self, LoadError> {
        Session::with_kv_format(model, cores, KvFormat::default())
    }

    /// An empty session with keys and values in this format.
    pub fn with_kv_format(
        model: &Arc<Model>,
        cores: &'c dyn Cores,
        format: KvFormat,
    ) -> Result<Self, LoadError> {
        let sequence = Sequence::new(model, model.context(), format)?;
        let engine = Engine::new(model, cores)?;
        let mut rows = Vec::new();
        let bytes = (MAX_ROWS * size_of::<Row>()) as u64;
        let reserved = rows.try_reserve_exact(MAX_ROWS);
        reserved.map_err(|_| out_of_memory("the rows of a pass", bytes))?;
        Ok(Session { engine, sequence, rows })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        self.engine.model()
    }

    /// The number of tokens fed so far.
    pub fn position(&self) -> usize {
        self.sequence.position()
    }

    /// Forgets every token from `position` on: the next token is fed there.
    pub fn rewind(&mut self, position: usize) {
        self.sequence.rewind(position);
    }

    /// Feeds tokens whose logits are not wanted.
    ///
    /// # Errors
    /// [`RunError`]: no token has been fed then.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<(), RunError> {
        self.feed(tokens, false, &mut |_| {})
    }

    /// Feeds tokens and calls `take` with the logits after each of them, one number per token of the
    /// vocabulary. They are the same as [`Session::decode`]'s, but are computed in batches.
    ///
    /// # Errors
    /// [`RunError`]: no token has been fed then.
    pub fn prefill_with_logits(
        &mut self,
        tokens: &[u32],
        take: &mut dyn FnMut(&mut [f32]),
    ) -> Result<(), RunError> {
        self.feed(tokens, true, take)
    }

    fn feed(
        &mut self,
        tokens: &[u32],
        logits: bool,
        take: &mut dyn FnMut(&mut [f32]),
    ) -> Result<(), RunError> {
        let context = self.sequence.capacity();
        if tokens.len() > context - self.position() {
            return Err(RunError::ContextFull { context });
        }
        let vocab_size = self.model().shape().vocab_size;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(RunError::NoSuchToken { token, vocab_size });
        }
        let mut rest = tokens;
        while !rest.is_empty() {
            self.rows.clear();
            let positions = self.sequence.position()..;
            let row = |(position, &token)| Row { sequence: 0, position, token, logits };
            self.rows.extend(positions.zip(rest.iter().take(MAX_ROWS)).map(row));
            let mut output = self.engine.run(from_mut(&mut self.sequence), &self.rows, None)?;
            while let Some((_, logits)) = output.next_logits() {
                take(logits);
            }
            rest = &rest[output.rows()..];
        }
        Ok(())
    }

    /// Feeds a token and returns the logits that predict the next one: one number per token of the
    /// vocabulary, which the caller may change.
    ///
    /// # Errors
    /// [`RunError`] if the token cannot be fed.
    pub fn decode(&mut self, token: u32) -> Result<&mut [f32], RunError> {
        let row = Row { sequence: 0, position: self.position(), token, logits: true };
        let output = self.engine.run(from_mut(&mut self.sequence), &[row], None)?;
        match output.into_last_logits() {
            Some(logits) => Ok(logits),
            None => unreachable!("the row wants logits"),
        }
    }
}
