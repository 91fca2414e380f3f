//! A pass: rows on their way through the layers.

use crate::kernels::{Kernels, Pairing};
use crate::planner::Buffer;
use crate::state::Sequence;
use crate::times::{Stage, Times};
use crate::weights::Weights;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use bootllm_cores::Cores;
use bootllm_platform::Clock;
use bootllm_quant::InputBuffer;
use bootllm_simd::RopeTable;
use core::mem;
use core::ops::ControlFlow;

/// The most rows of a pass. Weights are read from memory once for all of them: with this many,
/// reading takes less time than computing. A multiple of every product's tile.
pub(crate) const MAX_ROWS: usize = 96;

/// The most rows of a pass with a context of `context` positions.
pub(crate) fn max_rows(context: usize) -> usize {
    context.min(MAX_ROWS)
}

/// Rows whose logits are computed together: enough to read the output projection seldom, and few
/// enough that the logits of a large vocabulary stay small compared with the model.
pub(crate) fn logits_rows(vocab_size: usize) -> usize {
    const MOST_BYTES: usize = 16 << 20;
    (MOST_BYTES / vocab_size.saturating_mul(size_of::<f32>()).max(1)).clamp(1, 8)
}

/// A row of a pass: one token of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index of its sequence among those of the call.
    pub sequence: usize,
    /// The token's position in its sequence.
    pub position: usize,
    /// The token.
    pub token: u32,
    /// Whether the logits of the token after it are wanted.
    pub logits: bool,
}

/// Consecutive rows of one sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) sequence: usize,
    /// Its first row in the pass.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    /// The position of the first row.
    pub(crate) position: usize,
}

/// The pass was stopped between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Called between layers; `Break` stops the pass.
pub type Interrupt<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// Memory for the activations of up to [`MAX_ROWS`] rows; llama2.c's `RunState`. The plan
/// that announced it allocates it.
pub(crate) struct Scratch {
    /// One for each [`Buffer`]: (row, width).
    buffers: Vec<Vec<f32>>,
    /// Attention scores: (head, [`score_floats`](crate::kernels::score_floats)).
    pub(crate) scores: Vec<f32>,
    /// Logits of some rows: (row, vocabulary).
    pub(crate) logits: Vec<f32>,
    /// Prepared input vectors.
    pub(crate) input: InputBuffer,
}

impl Scratch {
    /// `floats`: of each buffer, of the attention scores, and of the logits.
    pub(crate) fn new(
        floats: impl Iterator<Item = usize>,
        input_words: usize,
    ) -> Result<Self, TryReserveError> {
        let mut buffers = Vec::new();
        for floats in floats {
            buffers.push(zeros(floats)?);
        }
        let input = InputBuffer::new(input_words)?;
        let logits = buffers.pop().unwrap_or_default();
        let scores = buffers.pop().unwrap_or_default();
        Ok(Scratch { buffers, scores, logits, input })
    }
}

/// `count` zeros, or the error that they cannot be allocated.
pub(crate) fn zeros(count: usize) -> Result<Vec<f32>, TryReserveError> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(count)?;
    numbers.resize(count, 0.0);
    Ok(numbers)
}

/// Some rows on their way through the layers, and what an architecture computes with. Its methods
/// are the blocks, in `blocks/`.
pub(crate) struct Pass<'a> {
    /// Floats per row of each [`Buffer`].
    pub(crate) widths: &'a [usize],
    pub(crate) weights: &'a Weights,
    pub(crate) ropes: &'a [(RopeTable, Pairing)],
    pub(crate) kernels: &'a dyn Kernels,
    pub(crate) cores: &'a dyn Cores,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) sequences: &'a mut [Sequence],
    pub(crate) rows: &'a [Row],
    pub(crate) spans: &'a [Span],
    /// Read at the end of every stage, if the stages are measured.
    pub(crate) measured: Option<(&'a dyn Clock, &'a mut Times)>,
    /// Called between layers.
    pub(crate) interrupt: Interrupt<'a>,
}

impl Pass<'_> {
    /// Floats per row of a buffer.
    pub(crate) fn width(&self, buffer: Buffer) -> usize {
        self.widths[buffer.0]
    }

    /// Takes a buffer out of the scratch memory until it is put back, so that several can be borrowed
    /// at once. It moves a pointer and allocates nothing.
    pub(crate) fn take(&mut self, buffer: Buffer) -> Vec<f32> {
        mem::take(&mut self.scratch.buffers[buffer.0])
    }

    /// Puts a buffer back.
    pub(crate) fn put(&mut self, buffer: Buffer, values: Vec<f32>) {
        self.scratch.buffers[buffer.0] = values;
    }

    /// Ends a stage of the measurement.
    pub(crate) fn done(&mut self, stage: Stage) {
        if let Some((clock, times)) = &mut self.measured {
            times.done(stage, clock.now());
        }
    }

    /// Checks between two layers whether to stop.
    pub(crate) fn poll(&mut self) -> Result<(), Stopped> {
        match (self.interrupt)() {
            ControlFlow::Break(()) => Err(Stopped),
            ControlFlow::Continue(()) => Ok(()),
        }
    }
}
