//! Continuing a text.

use bootllm_engine::{BATCH, Session, SessionError};
use bootllm_platform::Clock;
use bootllm_sampling::{SampleError, Sampler};
use bootllm_tokenizer::{Decoder, Tokenizer};
use core::ops::ControlFlow;
use core::time::Duration;

/// What came of a text, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Tokens of the prompt, BOS included.
    pub prompt_tokens: usize,
    /// From the start to the first token that was chosen.
    pub prompt_time: Duration,
    /// Tokens that were chosen.
    pub generated: usize,
    /// Tokens fed after the prompt.
    pub decoded: usize,
    /// The time that took.
    pub decode_time: Duration,
    /// Why it ended.
    pub end: End,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model said that it is over.
    Finished,
    /// It has the length that was asked for.
    Length,
    /// The person stopped it.
    Stopped,
}

/// Why a text could not be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The prompt does not fit.
    #[error(
        "the prompt has {tokens} tokens, the context of this model only {context}; \
         make the prompt shorter"
    )]
    PromptTooLong {
        /// Tokens of the prompt, BOS included.
        tokens: usize,
        /// Positions of the context.
        context: usize,
    },
    /// The question does not fit into what is left of the conversation.
    #[error(
        "the question has {tokens} tokens; {left} are left of the {length} that this conversation \
         may have (the context of this model has {context}); \
         ask a shorter one, or allow a greater length"
    )]
    QuestionTooLong {
        /// Tokens of the question in its template, BOS included.
        tokens: usize,
        /// Tokens that the conversation may have.
        length: usize,
        /// How many of them are not taken.
        left: usize,
        /// Positions of the context.
        context: usize,
    },
    /// The model could not take a token.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No token could be chosen.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// The most tokens that a text of `length` has here: 0, and more than the context, mean all of it.
pub(crate) fn length_within(context: usize, length: usize) -> usize {
    if length == 0 { context } else { length.min(context) }
}

/// Writes a text that begins with `prompt` (tokens, BOS first) and has up to `length` tokens; 0: as
/// many as the context holds.
///
/// `show` gets the text piece by piece, the prompt's as well, once for every token after BOS even
/// if there is nothing new to show, and may stop it. It is llama2.c's `generate`: the same prompt, settings
/// and seed show the same text. What ends it early is [`Tokenizer::ends_text`]'s to say.
pub fn generate(
    session: &mut Session<'_>,
    tokenizer: &Tokenizer,
    sampler: &mut Sampler,
    prompt: &[u32],
    length: usize,
    clock: &dyn Clock,
    show: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<Report, GenerateError> {
    let context = session.model().context();
    let length = length_within(context, length);
    if prompt.len() > context {
        return Err(GenerateError::PromptTooLong { tokens: prompt.len(), context });
    }
    let start = clock.now();
    let mut report = Report {
        prompt_tokens: prompt.len(),
        prompt_time: Duration::ZERO,
        generated: 0,
        decoded: 0,
        decode_time: Duration::ZERO,
        end: End::Length,
    };
    let mut decoder = Decoder::new(tokenizer);
    session.rewind(0);

    // llama2.c shows a token's piece when it feeds the one before, so `length` tokens after BOS.
    let echoed = &prompt[..prompt.len().min(length + 1)];
    let Some((&first, shown)) = echoed.split_first() else {
        return Ok(report);
    };
    let beginning = decoder.push(tokenizer, first);
    if first != tokenizer.rules().bos && show(beginning).is_break() {
        report.end = End::Stopped;
        return Ok(report);
    }
    // Between two batches it is seen whether the person wants to stop.
    for batch in shown.chunks(BATCH) {
        session.prefill(&echoed[session.position()..][..batch.len()])?;
        for &token in batch {
            if show(decoder.push(tokenizer, token)).is_break() {
                report.end = End::Stopped;
                return Ok(report);
            }
        }
    }
    if session.position() == length {
        return Ok(report);
    }

    let mut token = sampler.sample(session.decode(echoed[shown.len()])?)?;
    report.prompt_time = clock.now().saturating_sub(start);
    loop {
        if tokenizer.ends_text(token) {
            report.end = End::Finished;
            break;
        }
        report.generated += 1;
        if show(decoder.push(tokenizer, token)).is_break() {
            report.end = End::Stopped;
            break;
        }
        if session.position() == length {
            break;
        }
        token = sampler.sample(session.decode(token)?)?;
        report.decoded += 1;
    }
    report.decode_time = clock.now().saturating_sub(start + report.prompt_time);
    let _ = show(decoder.finish());
    Ok(report)
}
