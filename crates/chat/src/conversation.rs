//! Answering in turns.

use crate::GenerateError;
use crate::generate::length_within;
use alloc::format;
use alloc::string::String;
use bootllm_engine::{BATCH, Session};
use bootllm_sampling::Sampler;
use bootllm_tokenizer::{Decoder, Tokenizer};
use core::ops::ControlFlow;

/// A person's words, and the system's before the first of them, in the template of Llama 2 Chat
/// (as in llama2.c's `chat`).
pub fn render_llama2(system: Option<&str>, user: &str) -> String {
    match system {
        Some(system) if !system.is_empty() => {
            format!("[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]")
        }
        _ => format!("[INST] {user} [/INST]"),
    }
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The model has said what it had to say.
    Answered,
    /// The conversation has the length that was asked for.
    Full,
    /// The person stopped the answer.
    Stopped,
    /// The person stopped it before the question was read: nobody asked it.
    Withdrawn,
}

/// A conversation in one context.
///
/// llama2.c's `chat`, down to the random numbers: it draws one for every token that it feeds, the
/// prompt's too, so a seed gives the same answers here. (It also shows the token drawn after an
/// answer's end, which is thrown away; that is not repeated.)
pub struct Conversation<'a, 'm> {
    session: &'a mut Session<'m>,
    tokenizer: &'a Tokenizer,
    sampler: &'a mut Sampler,
    length: usize,
}

impl<'a, 'm> Conversation<'a, 'm> {
    /// A conversation of up to `length` tokens from the beginning of a session; 0: as many as the
    /// context holds.
    pub fn new(
        session: &'a mut Session<'m>,
        tokenizer: &'a Tokenizer,
        sampler: &'a mut Sampler,
        length: usize,
    ) -> Self {
        session.rewind(0);
        let length = length_within(session.model().context(), length);
        Conversation { session, tokenizer, sampler, length }
    }

    /// Whether there is room for nothing more.
    pub fn is_full(&self) -> bool {
        self.session.position() >= self.length
    }

    /// Feeds a rendered prompt and shows the answer as it comes.
    ///
    /// `reading` is called while the prompt is fed, with how many of its tokens are and how many
    /// there are. It may stop that, and the conversation is what it was before; `show` may stop the
    /// answer.
    pub fn turn(
        &mut self,
        rendered: &str,
        reading: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
        show: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Turn, GenerateError> {
        let prompt = self.tokenizer.encode(rendered, true, false);
        let left = self.length - self.session.position();
        if prompt.len() > left {
            let context = self.session.model().context();
            let (tokens, length) = (prompt.len(), self.length);
            return Err(GenerateError::QuestionTooLong { tokens, length, left, context });
        }
        let Some((&last, before)) = prompt.split_last() else {
            return Ok(Turn::Answered);
        };
        let begun = self.session.position();
        for batch in before.chunks(BATCH) {
            self.session.prefill(batch)?;
            if reading(self.session.position() - begun, prompt.len()).is_break() {
                self.session.rewind(begun);
                return Ok(Turn::Withdrawn);
            }
        }
        before.iter().for_each(|_| self.sampler.skip());

        let eos = self.tokenizer.rules().eos;
        let mut decoder = Decoder::new(self.tokenizer);
        decoder.push(self.tokenizer, last);
        let mut token = last;
        loop {
            if self.is_full() {
                let _ = show(decoder.finish());
                return Ok(Turn::Full);
            }
            token = self.sampler.sample(self.session.decode(token)?)?;
            if token == eos {
                break;
            }
            if show(decoder.push(self.tokenizer, token)).is_break() {
                return Ok(Turn::Stopped);
            }
        }
        let _ = show(decoder.finish());
        if !self.is_full() {
            self.session.prefill(&[eos])?;
            self.sampler.skip();
        }
        Ok(Turn::Answered)
    }
}
