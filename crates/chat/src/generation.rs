//! Writing a text, as a value that is stepped.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_engine::{Engine, Interrupt, Row, RunError, Sequence};
use bootllm_platform::Clock;
use bootllm_sampling::{SampleError, Sampler};
use bootllm_tokenizer::{Decoder, Tokenizer};
use core::mem::take;
use core::slice::from_mut;
use core::time::Duration;

/// What came of a text, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Tokens of the prompt, BOS included.
    pub prompt_tokens: usize,
    /// From the start to the first token that was chosen.
    pub prompt_time: Duration,
    /// Tokens that were chosen.
    pub generated: usize,
    /// Tokens fed after the prompt.
    pub decoded: usize,
    /// The time that feeding these took.
    pub decode_time: Duration,
    /// Why the text ended; `None`: it has not, or the user stopped it.
    pub end: Option<End>,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model ended it.
    Finished,
    /// It has the length that was asked for.
    Length,
}

/// Why a text could not be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The prompt does not fit the context.
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
    /// The prompt alone is longer than the text may be.
    #[error(
        "the beginning alone has {tokens} tokens, and length is {length}: nothing would be written; \
         set a greater length, or 0 for all that the model can"
    )]
    LengthTooShort {
        /// Tokens of the prompt, BOS included.
        tokens: usize,
        /// Tokens that the text may have.
        length: usize,
    },
    /// The question does not fit what is left of the conversation.
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
    /// The model could not run the tokens.
    #[error(transparent)]
    Run(#[from] RunError),
    /// No token could be chosen.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// The length limit within a context: 0, or more than the context, means the whole context.
pub(crate) fn length_within(context: usize, length: usize) -> usize {
    if length == 0 { context } else { length.min(context) }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Some of the prompt was read.
    Reading {
        /// Prompt tokens read so far.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// A token was chosen; this is the text that it completes. It may be empty: a character is held
    /// back until it is complete.
    Text(&'a str),
    /// The text is over; the rest of the text that was held back.
    Done(End, &'a str),
}

/// Where a generation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Reading the prompt.
    Prompt,
    /// A token was chosen and is fed next.
    Writing,
    /// An answer's end token is fed, for the turns that follow.
    Closing,
    /// The text is over.
    Over(End),
}

/// A text that is being generated: it owns the sampler, the decoder and the stop rules,
/// and names the rows that it needs next. [`Generation::step`] drives one. To drive many in one
/// batch, collect the rows of each ([`Generation::push_rows`]), run them, and pass each its logits
/// ([`Generation::advance`]).
///
/// ```no_run
/// # fn f(
/// #     tokenizer: std::sync::Arc<bootllm_tokenizer::Tokenizer>,
/// #     sampler: bootllm_sampling::Sampler,
/// #     mut session: bootllm_engine::Session<'_>,
/// #     clock: &dyn bootllm_platform::Clock,
/// # ) -> Result<(), bootllm_chat::GenerateError> {
/// use bootllm_chat::{Generation, Step};
/// use core::ops::ControlFlow;
///
/// let prompt = tokenizer.encode("Once upon a time", true, false);
/// let mut text = Generation::text(tokenizer, sampler, &prompt, 256, &session.sequence)?;
/// print!("{}", text.prompt());
/// loop {
///     let go_on = &mut || ControlFlow::Continue(());
///     match text.step(&mut session.engine, &mut session.sequence, clock, go_on)? {
///         Step::Reading { .. } => {}
///         Step::Text(piece) => print!("{piece}"),
///         Step::Done(_, rest) => break print!("{rest}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Generation {
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    decoder: Decoder,
    stage: Stage,
    /// Whether it is an answer in a conversation; a text otherwise.
    is_reply: bool,
    /// Its tokens: the prompt's, and those that were chosen after them.
    tokens: Vec<u32>,
    /// How many of the prompt's were read.
    read: usize,
    /// The text of the prompt.
    prompt_text: String,
    /// The token chosen last.
    token: u32,
    /// The sequence's position at which the text ends.
    limit: usize,
    /// The position at which the prompt began.
    begun: usize,
    /// When the first step began, and when the first token was chosen.
    times: [Option<Duration>; 2],
    report: Report,
    /// Rows of the next pass.
    rows: Vec<Row>,
}

impl Generation {
    /// A text that begins with `prompt` (tokens, BOS first) and has up to `length` tokens; 0 means the
    /// whole context. It begins at the sequence's start: rewind it to 0.
    ///
    /// It is llama2.c's `generate`: the same prompt, settings and seed give the same text.
    ///
    /// # Errors
    /// [`GenerateError::PromptTooLong`], [`GenerateError::LengthTooShort`].
    pub fn text(
        tokenizer: Arc<Tokenizer>,
        sampler: Sampler,
        prompt: &[u32],
        length: usize,
        sequence: &Sequence,
    ) -> Result<Self, GenerateError> {
        let (context, tokens) = (sequence.capacity(), prompt.len());
        if tokens > context {
            return Err(GenerateError::PromptTooLong { tokens, context });
        }
        let limit = length_within(context, length);
        if tokens > limit {
            return Err(GenerateError::LengthTooShort { tokens, length: limit });
        }
        let mut decoder = Decoder::new(&tokenizer);
        let mut prompt_text = String::new();
        for (index, &token) in prompt.iter().enumerate() {
            let piece = decoder.push(&tokenizer, token);
            if index > 0 || token != tokenizer.rules().bos {
                prompt_text.push_str(piece);
            }
        }
        Ok(Generation::new(tokenizer, sampler, decoder, prompt, limit, 0, (false, prompt_text)))
    }

    /// An answer to `prompt`, a rendered question that continues the sequence, which may have up to
    /// `limit` positions. It is llama2.c's `chat`, down to the random numbers: one is drawn for every
    /// token that is fed, the prompt's too.
    pub(crate) fn reply(
        tokenizer: Arc<Tokenizer>,
        sampler: Sampler,
        prompt: &[u32],
        limit: usize,
        sequence: &Sequence,
    ) -> Self {
        let mut decoder = Decoder::new(&tokenizer);
        if let Some(&last) = prompt.last() {
            decoder.push(&tokenizer, last);
        }
        let (begun, silent) = (sequence.position(), (true, String::new()));
        Generation::new(tokenizer, sampler, decoder, prompt, limit, begun, silent)
    }

    fn new(
        tokenizer: Arc<Tokenizer>,
        sampler: Sampler,
        decoder: Decoder,
        prompt: &[u32],
        limit: usize,
        begun: usize,
        (is_reply, prompt_text): (bool, String),
    ) -> Self {
        // Room for all tokens to come: nothing is allocated per token.
        let mut tokens = Vec::with_capacity(prompt.len().max(limit.saturating_sub(begun)) + 1);
        tokens.extend_from_slice(prompt);
        Generation {
            tokenizer,
            sampler,
            decoder,
            stage: if prompt.is_empty() { Stage::Over(End::Finished) } else { Stage::Prompt },
            is_reply,
            tokens,
            read: 0,
            prompt_text,
            token: 0,
            limit,
            begun,
            times: [None; 2],
            report: Report { prompt_tokens: prompt.len(), ..Report::default() },
            rows: Vec::with_capacity(prompt.len().max(1)),
        }
    }

    /// Lets a text go on that ended at its length: up to `length` tokens, 0: as many as the context
    /// holds.
    pub fn extend(&mut self, length: usize, sequence: &Sequence) {
        self.limit = length_within(sequence.capacity(), length);
        let fed = self.begun + self.report.prompt_tokens + self.report.decoded;
        if self.stage == Stage::Over(End::Length) && self.report.generated > 0 && !self.ends_at(fed)
        {
            (self.stage, self.report.end) = (Stage::Writing, None);
        }
    }

    /// The prompt's tokens.
    fn prompt_tokens(&self) -> &[u32] {
        &self.tokens[..self.report.prompt_tokens]
    }

    /// The text of the prompt, which a text begins with; empty for an answer.
    pub fn prompt(&self) -> &str {
        &self.prompt_text
    }

    /// The position of the sequence at which the prompt began: to rewind to if it is withdrawn.
    pub fn begun(&self) -> usize {
        self.begun
    }

    /// Whether the prompt is still being read.
    pub fn is_reading(&self) -> bool {
        self.stage == Stage::Prompt
    }

    /// The figures so far.
    pub fn report(&self) -> Report {
        self.report
    }

    /// Gives the sampler back, for the next turn.
    pub fn into_sampler(self) -> Sampler {
        self.sampler
    }

    /// Runs the next rows, one pass of the engine, and returns what happened. `interrupt` is called
    /// between layers.
    ///
    /// # Errors
    /// [`RunError::Stopped`] if `interrupt` stopped the pass: the sequence is as before, and the next
    /// step tries again.
    pub fn step(
        &mut self,
        engine: &mut Engine<'_>,
        sequence: &mut Sequence,
        clock: &dyn Clock,
        interrupt: Interrupt<'_>,
    ) -> Result<Step<'_>, GenerateError> {
        let mut rows = take(&mut self.rows);
        rows.clear();
        self.push_rows(0, sequence.position(), &mut rows);
        if rows.is_empty() {
            self.rows = rows;
            return self.advance(0, None, clock.now());
        }
        if self.times[0].is_none() {
            self.times[0] = Some(clock.now());
        }
        let result = engine.run(from_mut(sequence), &rows, Some(interrupt));
        self.rows = rows;
        let mut output = result?;
        let fed = output.rows();
        let logits = output.next_logits().map(|(_, logits)| logits);
        self.advance(fed, logits, clock.now())
    }

    /// Appends the rows to run next, as rows of sequence number `sequence`, which is at `position`.
    /// Appends none if the text is over.
    pub fn push_rows(&self, sequence: usize, position: usize, rows: &mut Vec<Row>) {
        let row = |position, token, logits| Row { sequence, position, token, logits };
        match self.stage {
            Stage::Prompt => {
                let prompt = self.prompt_tokens();
                let last = prompt.len() - 1;
                let rest = (self.read..).zip(&prompt[self.read..]);
                let wanted = |index| index == last && !self.ends_at(position + last - self.read);
                rows.extend(
                    (position..)
                        .zip(rest)
                        .map(|(position, (index, &token))| row(position, token, wanted(index))),
                );
            }
            Stage::Writing => rows.push(row(position, self.token, true)),
            Stage::Closing => rows.push(row(position, self.token, false)),
            Stage::Over(_) => {}
        }
    }

    /// Whether a text is over before the token at `position` is fed.
    fn ends_at(&self, position: usize) -> bool {
        position >= self.limit
    }

    /// Notes that the first `fed` of its rows went through the model, with the logits of the last row
    /// if it wanted them. `now` is the time, for the report.
    ///
    /// # Errors
    /// [`GenerateError::Sample`].
    pub fn advance(
        &mut self,
        fed: usize,
        logits: Option<&mut [f32]>,
        now: Duration,
    ) -> Result<Step<'_>, GenerateError> {
        match self.stage {
            Stage::Prompt => {
                self.read += fed;
                let total = self.report.prompt_tokens;
                if self.read < total {
                    let done = self.read;
                    return Ok(Step::Reading { done, total });
                }
                if self.is_reply {
                    (1..total).for_each(|_| self.sampler.discard_draw());
                }
            }
            Stage::Writing => self.report.decoded += 1,
            Stage::Closing => {
                self.sampler.discard_draw();
                return Ok(self.over(End::Finished, now));
            }
            Stage::Over(end) => return Ok(self.over(end, now)),
        }
        let Some(logits) = logits else {
            return Ok(self.over(End::Length, now));
        };
        self.token = self.sampler.sample(logits, &self.tokens)?;
        self.tokens.push(self.token);
        let first = *self.times[1].get_or_insert(now);
        self.report.prompt_time = first.saturating_sub(self.times[0].unwrap_or(first));
        self.report.decode_time = now.saturating_sub(first);
        let position = self.begun + self.report.prompt_tokens + self.report.decoded;
        if self.is_end() {
            if self.is_reply && !self.ends_at(position) {
                self.stage = Stage::Closing;
                return Ok(Step::Text(""));
            }
            return Ok(self.over(End::Finished, now));
        }
        self.report.generated += 1;
        self.stage = match self.ends_at(position) {
            true => Stage::Over(End::Length),
            false => Stage::Writing,
        };
        Ok(Step::Text(self.decoder.push(&self.tokenizer, self.token)))
    }

    /// Whether the token chosen last ends the text or the answer.
    fn is_end(&self) -> bool {
        match self.is_reply {
            true => self.tokenizer.is_end_of_turn(self.token),
            false => self.tokenizer.is_end_of_generation(self.token),
        }
    }

    fn over(&mut self, end: End, now: Duration) -> Step<'_> {
        if self.report.end.is_none() {
            self.report.end = Some(end);
            let first = self.times[1].unwrap_or(now);
            self.report.decode_time = now.saturating_sub(first);
        }
        self.stage = Stage::Over(end);
        Step::Done(end, self.decoder.finish())
    }
}
