//! Running batches of rows.

use crate::error::{LoadError, out_of_memory};
use crate::model::Model;
use crate::pass::{Interrupt, MAX_ROWS, Pass, Row, Scratch, Span, logits_rows, max_rows};
use crate::state::{KvFormat, Sequence};
use crate::times::Times;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_cores::Cores;
use bootllm_platform::Clock;
use core::ops::{ControlFlow, Range};
use core::time::Duration;

/// A model with the cores that compute it, and the scratch memory of a pass.
///
/// A pass is a batch of rows, each a token of some sequence. Reading a prompt is many rows of one
/// sequence, with logits wanted for the last; decoding is one row; serving several users is rows of
/// several sequences. Each row's bits are those that it has alone.
pub struct Engine<'c> {
    model: Arc<Model>,
    cores: &'c dyn Cores,
    scratch: Scratch,
    pace: Pace<'c>,
    measured: Option<(&'c dyn Clock, Times)>,
    /// Rows of the last pass whose logits are wanted.
    wanted: Vec<usize>,
    spans: Vec<Span>,
}

/// Why rows could not be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Every position of a sequence's context is taken.
    #[error("the context of {context} tokens is full")]
    ContextFull {
        /// Positions.
        context: usize,
    },
    /// The model has no such token.
    #[error("token {token} is not one of the model's {vocab_size}")]
    NoSuchToken {
        /// The token.
        token: u32,
        /// Tokens of the vocabulary.
        vocab_size: usize,
    },
    /// A row does not continue its sequence, or names a sequence that is not there or of another
    /// model.
    #[error("a row of sequence {sequence} does not continue it")]
    WrongRow {
        /// The sequence that it names.
        sequence: usize,
    },
    /// The model computed a key or a value that is NaN or infinite.
    #[error("the model's output is not a number: its weights are damaged or too large")]
    NotANumber,
    /// The caller stopped the pass between two layers.
    #[error("stopped")]
    Stopped,
}

impl<'c> Engine<'c> {
    /// Allocates everything that running rows needs, for any number of sequences.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`].
    pub fn new(model: &Arc<Model>, cores: &'c dyn Cores) -> Result<Self, LoadError> {
        let (plan, context) = (&model.plan, model.context);
        let scratch =
            Scratch::new(plan.activations(context), plan.input_words(context)).map_err(|_| {
                out_of_memory("the activations", plan.memory(context, KvFormat::F32).activations)
            })?;
        let (mut wanted, mut spans) = (Vec::new(), Vec::new());
        let failed = |_| out_of_memory("the rows of a pass", (MAX_ROWS * size_of::<Span>()) as u64);
        wanted.try_reserve_exact(MAX_ROWS).map_err(failed)?;
        spans.try_reserve_exact(MAX_ROWS).map_err(failed)?;
        let (model, pace) = (model.clone(), Pace::default());
        Ok(Engine { model, cores, scratch, pace, measured: None, wanted, spans })
    }

    /// Limits the rows of a pass on a slow machine, as measured by this clock, so that `interrupt` is
    /// called at least every tenth of a second. Results do not change.
    pub fn pace_by(&mut self, clock: &'c dyn Clock) {
        self.pace = Pace { clock: Some(clock), per_row: None };
    }

    /// Starts to measure the time of each stage with this clock.
    pub fn measure(&mut self, clock: &'c dyn Clock) {
        self.measured = Some((clock, Times::default()));
    }

    /// The time of each stage since [`Engine::measure`].
    pub fn times(&self) -> Times {
        self.measured.map_or_else(Times::default, |(_, times)| times)
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The cores that compute.
    pub fn cores(&self) -> &'c dyn Cores {
        self.cores
    }

    /// Runs the first of `rows` through the model, as many as one pass takes, and returns their number
    /// and their logits. `interrupt` is called between layers and may stop the pass.
    ///
    /// # Errors
    /// [`RunError`]: no row has been run then. A stopped pass leaves the sequences as they were.
    pub fn run(
        &mut self,
        sequences: &mut [Sequence],
        rows: &[Row],
        interrupt: Option<Interrupt<'_>>,
    ) -> Result<PassOutput<'_, 'c>, RunError> {
        self.check(sequences, rows)?;
        let layers = self.model.shape().layers;
        let count = rows.len().min(max_rows(self.model.context)).min(self.pace.rows());
        let rows = &rows[..count];
        self.wanted.clear();
        self.wanted.extend((0..count).filter(|&row| rows[row].logits));
        self.spans.clear();
        for (first, row) in rows.iter().enumerate() {
            match self.spans.last_mut() {
                Some(span) if span.sequence == row.sequence => span.rows += 1,
                _ => self.spans.push(Span {
                    sequence: row.sequence,
                    first,
                    rows: 1,
                    position: row.position,
                }),
            }
        }
        if let Some((clock, times)) = &mut self.measured {
            times.start(clock.now());
        }
        let begun = self.pace.now();
        let mut interrupt = interrupt;
        let mut ask = || interrupt.as_mut().map_or(ControlFlow::Continue(()), |ask| ask());
        let model = self.model.clone();
        let mut pass = Pass {
            widths: &model.plan.buffers,
            weights: &model.weights,
            ropes: &model.ropes,
            kernels: &*model.kernels,
            cores: self.cores,
            scratch: &mut self.scratch,
            sequences,
            rows,
            spans: &self.spans,
            measured: self.measured.as_mut().map(|(clock, times)| (*clock, times)),
            interrupt: &mut ask,
        };
        model.plan.architecture.forward(&mut pass).map_err(|_| RunError::Stopped)?;
        self.pace.note(begun, layers, count);
        let damaged = self
            .spans
            .iter()
            .fold(false, |damaged, span| damaged | sequences[span.sequence].cache.take_damage());
        if damaged {
            return Err(RunError::NotANumber);
        }
        for row in rows {
            sequences[row.sequence].position = row.position + 1;
        }
        Ok(PassOutput { rows: count, given: 0, engine: self })
    }

    /// Checks that every row can be run.
    fn check(&self, sequences: &[Sequence], rows: &[Row]) -> Result<(), RunError> {
        let vocab_size = self.model.shape().vocab_size;
        for (index, row) in rows.iter().enumerate() {
            let &Row { sequence, position, token, .. } = row;
            let wrong = RunError::WrongRow { sequence };
            let own = sequences.get(sequence).ok_or(wrong)?;
            // The row before it of the same sequence is usually its neighbour.
            let before = rows[..index].iter().rev().find(|before| before.sequence == sequence);
            let next = before.map_or(own.position, |before| before.position + 1);
            if position != next || !own.stores(&self.model.kv_layers) {
                return Err(wrong);
            }
            if position >= own.capacity() {
                return Err(RunError::ContextFull { context: own.capacity() });
            }
            if token as usize >= vocab_size {
                return Err(RunError::NoSuchToken { token, vocab_size });
            }
        }
        Ok(())
    }

    /// Computes the logits of some rows of the last pass.
    fn logits(&mut self, wanted: Range<usize>) {
        let model = self.model.clone();
        let mut logits = core::mem::take(&mut self.scratch.logits);
        let mut pass = Pass {
            widths: &model.plan.buffers,
            weights: &model.weights,
            ropes: &model.ropes,
            kernels: &*model.kernels,
            cores: self.cores,
            scratch: &mut self.scratch,
            sequences: &mut [],
            rows: &[],
            spans: &[],
            measured: self.measured.as_mut().map(|(clock, times)| (*clock, times)),
            interrupt: &mut || ControlFlow::Continue(()),
        };
        let vocab_size = model.shape().vocab_size;
        let own = &mut logits[..wanted.len() * vocab_size];
        model.plan.architecture.output_logits(&mut pass, &self.wanted[wanted], own);
        self.scratch.logits = logits;
    }
}

/// The result of a pass. Logits are computed on request.
pub struct PassOutput<'e, 'c> {
    engine: &'e mut Engine<'c>,
    rows: usize,
    /// How many of the wanted rows' logits were given.
    given: usize,
}

impl<'e> PassOutput<'e, '_> {
    /// The number of rows that were run; at least one.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The index of the next row whose logits are wanted, and its logits, which predict the next token:
    /// one number per token of the vocabulary, which the caller may change. `None` after the last.
    pub fn next_logits(&mut self) -> Option<(usize, &mut [f32])> {
        let vocab_size = self.engine.model.shape().vocab_size;
        let together = logits_rows(vocab_size);
        let &row = self.engine.wanted.get(self.given)?;
        let place = self.given % together;
        if place == 0 {
            let end = (self.given + together).min(self.engine.wanted.len());
            self.engine.logits(self.given..end);
        }
        self.given += 1;
        Some((row, &mut self.engine.scratch.logits[place * vocab_size..][..vocab_size]))
    }

    /// The logits of the last row whose logits are wanted.
    pub fn into_last_logits(self) -> Option<&'e mut [f32]> {
        let vocab_size = self.engine.model.shape().vocab_size;
        let last = self.engine.wanted.len().checked_sub(1)?;
        self.engine.logits(last..last + 1);
        Some(&mut self.engine.scratch.logits[..vocab_size])
    }
}

/// How many rows a pass takes, so that layers stay short.
#[derive(Default)]
struct Pace<'c> {
    clock: Option<&'c dyn Clock>,
    /// What a row took in one layer of the last pass.
    per_row: Option<Duration>,
}

impl Pace<'_> {
    /// What a layer should take at most.
    const LAYER: Duration = Duration::from_millis(50);
    /// Rows of the first pass, before anything was measured.
    const FIRST: usize = 4;

    fn now(&self) -> Duration {
        self.clock.map_or(Duration::ZERO, |clock| clock.now())
    }

    /// Rows of the next pass, at most.
    fn rows(&self) -> usize {
        match (self.clock, self.per_row) {
            (None, _) => MAX_ROWS,
            (Some(_), None) => Self::FIRST,
            (Some(_), Some(per_row)) => {
                let rows = Self::LAYER.as_nanos() / per_row.as_nanos().max(1);
                rows.clamp(1, MAX_ROWS as u128) as usize
            }
        }
    }

    fn note(&mut self, begun: Duration, layers: usize, rows: usize) {
        if self.clock.is_some() {
            let layer_rows = (layers * rows).max(1) as u32;
            self.per_row = Some(self.now().saturating_sub(begun) / layer_rows);
        }
    }
}
