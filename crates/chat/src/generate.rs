//! Continuing a text.

use bootllm_engine::{Session, SessionError};
use bootllm_platform::Clock;
use bootllm_sampling::{SampleError, Sampler};
use bootllm_tokenizer::{BOS, Decoder, Tokenizer};
use core::ops::ControlFlow;
use core::time::Duration;

/// Prompt tokens between two looks at whether the person wants to stop.
const PREFILL_BATCH: usize = 16;

/// What came of a text, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Tokens of the prompt, BOS included.
    pub prompt_tokens: usize,
    /// From the start to the logits that follow the prompt.
    pub prompt_time: Duration,
    /// Tokens that were chosen.
    pub generated: usize,
    /// From the start to the first of them.
    pub first_token: Duration,
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
    /// The model could not take a token.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No token could be chosen.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// Writes a text that begins with `prompt` (tokens, BOS first) and has up to `length` tokens.
///
/// `show` gets the text piece by piece, the prompt's as well, once for every token even if there
/// is nothing new to show, and may stop it. It is llama2.c's `generate`: the same prompt, settings
/// and seed show the same text. Only BOS ends it early, for stories are parted by BOS.
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
    let length = length.min(context);
    if prompt.len() > context {
        return Err(GenerateError::PromptTooLong { tokens: prompt.len(), context });
    }
    let start = clock.now();
    let mut report = Report {
        prompt_tokens: prompt.len(),
        prompt_time: Duration::ZERO,
        generated: 0,
        first_token: Duration::ZERO,
        decoded: 0,
        decode_time: Duration::ZERO,
        end: End::Length,
    };
    let mut decoder = Decoder::new(tokenizer);
    session.rewind(0);

    // llama2.c shows a token's piece when it feeds the one before, so `length` tokens after BOS.
    let echoed = &prompt[..prompt.len().min(length + 1)];
    let Some((&last, before)) = echoed.split_last() else {
        return Ok(report);
    };
    for (index, batch) in echoed.chunks(PREFILL_BATCH).enumerate() {
        session.prefill(&batch[..batch.len().min(before.len() - session.position())])?;
        for (place, &token) in batch.iter().enumerate() {
            let text = decoder.push(tokenizer, token);
            let is_first = index == 0 && place == 0;
            if show(if is_first { "" } else { text }).is_break() {
                report.end = End::Stopped;
                return Ok(report);
            }
        }
    }
    if session.position() == length {
        return Ok(report);
    }

    let mut token = sampler.sample(session.decode(last)?)?;
    report.prompt_time = clock.now().saturating_sub(start);
    loop {
        if token == BOS {
            report.end = End::Finished;
            break;
        }
        report.generated += 1;
        if report.generated == 1 {
            report.first_token = clock.now().saturating_sub(start);
        }
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
