//! How far measuring is.

use crate::MeasureError;
use core::fmt;
use core::ops::ControlFlow;

/// What is being measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchPhase {
    /// Memory bandwidth.
    Memory,
    /// Peak integer throughput.
    Arithmetic,
    /// Prompt processing.
    Prefill,
    /// Decoding, token by token.
    Decode,
    /// The stages of prompt processing.
    PrefillStages,
    /// The stages of decoding.
    DecodeStages,
}

impl fmt::Display for BenchPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BenchPhase::Memory => "memory",
            BenchPhase::Arithmetic => "arithmetic",
            BenchPhase::Prefill => "prefill",
            BenchPhase::Decode => "decode",
            BenchPhase::PrefillStages => "stages of prefill",
            BenchPhase::DecodeStages => "stages of decode",
        })
    }
}

/// How far measuring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchProgress {
    /// A repetition begins.
    Begun {
        /// What is measured.
        phase: BenchPhase,
        /// The repetition, from 1.
        repetition: usize,
        /// Repetitions, at most.
        repetitions: usize,
    },
    /// Tokens of the repetition were fed. What the callee does is not timed, but the token loop
    /// continues right after it, so it should not allocate.
    Fed {
        /// Tokens fed so far.
        done: usize,
        /// Tokens of the repetition.
        total: usize,
    },
}

/// Called with the progress of measuring; may stop it.
pub type OnProgress<'a> = &'a mut dyn FnMut(BenchProgress) -> ControlFlow<()>;

/// Reports progress.
pub(crate) fn report(
    on_progress: OnProgress<'_>,
    progress: BenchProgress,
) -> Result<(), MeasureError> {
    match on_progress(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(MeasureError::Stopped),
    }
}
