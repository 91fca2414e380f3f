//! Conversations: questions and answers in turns.

use crate::generation::{GenerateError, Generation, length_within};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use bootllm_engine::Sequence;
use bootllm_sampling::Sampler;
use bootllm_tokenizer::Tokenizer;

/// Renders the user's message, and the system prompt before the first one, in Llama 2 Chat's template
/// (as llama2.c's `chat` does).
pub fn render_llama2(system: Option<&str>, user: &str) -> String {
    match system {
        Some(system) if !system.is_empty() => {
            format!("[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]")
        }
        _ => format!("[INST] {user} [/INST]"),
    }
}

/// A conversation in one sequence: llama2.c's `chat`. Each turn is a [`Generation`].
///
/// (llama2.c also shows the token drawn after an answer's end, which it then discards; here it is
/// not shown.)
pub struct Conversation {
    tokenizer: Arc<Tokenizer>,
    /// `None` while a turn has it.
    sampler: Option<Sampler>,
    length: usize,
}

impl Conversation {
    /// A conversation of up to `length` tokens, from the beginning of `sequence`; 0: as many as the
    /// context holds.
    pub fn new(
        tokenizer: Arc<Tokenizer>,
        sampler: Sampler,
        sequence: &mut Sequence,
        length: usize,
    ) -> Self {
        sequence.rewind(0);
        let length = length_within(sequence.capacity(), length);
        Conversation { tokenizer, sampler: Some(sampler), length }
    }

    /// Whether no further token fits.
    pub fn is_full(&self, sequence: &Sequence) -> bool {
        sequence.position() >= self.length
    }

    /// Begins the answer to a rendered question. [`Conversation::end_turn`] takes it back.
    ///
    /// # Errors
    /// [`GenerateError::QuestionTooLong`].
    ///
    /// # Panics
    /// If a turn was begun and not ended.
    pub fn begin_turn(
        &mut self,
        rendered: &str,
        sequence: &Sequence,
    ) -> Result<Generation, GenerateError> {
        let prompt = self.tokenizer.encode(rendered, true, false);
        let left = self.length - sequence.position();
        if prompt.len() > left {
            let (tokens, length, context) = (prompt.len(), self.length, sequence.capacity());
            return Err(GenerateError::QuestionTooLong { tokens, length, left, context });
        }
        let sampler = self.sampler.take().expect("the turn before was ended");
        let tokenizer = self.tokenizer.clone();
        Ok(Generation::reply(tokenizer, sampler, &prompt, self.length, sequence))
    }

    /// Ends a turn. If it was stopped before the question was read, the question is withdrawn: the
    /// conversation is what it was before. Returns whether that happened.
    pub fn end_turn(&mut self, turn: Generation, sequence: &mut Sequence) -> bool {
        let withdrawn = turn.is_reading();
        if withdrawn {
            sequence.rewind(turn.begun());
        }
        self.sampler = Some(turn.into_sampler());
        withdrawn
    }
}
