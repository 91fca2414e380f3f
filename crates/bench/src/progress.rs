//! How far measuring has come.

use crate::MeasureError;
use core::fmt;
use core::ops::ControlFlow;

/// What is being measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The bytes that memory gives.
    Memory,
    /// The products that arithmetic does.
    Arithmetic,
    /// Feeding a prompt.
    Prefill,
    /// Feeding tokens one by one.
    Decode,
    /// Where the time goes in a prompt.
    PrefillStages,
    /// Where the time goes in tokens one by one.
    DecodeStages,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Memory => "memory",
            Part::Arithmetic => "arithmetic",
            Part::Prefill => "prefill",
            Part::Decode => "decode",
            Part::PrefillStages => "parts of prefill",
            Part::DecodeStages => "parts of decode",
        })
    }
}

/// How far measuring has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something is measured, for the `time`th (from 1) of at most `times` times.
    Begun {
        /// What.
        part: Part,
        /// Which time.
        time: usize,
        /// The most times.
        times: usize,
    },
    /// Of the tokens that are fed for it, so many are. What is done about it counts for nothing,
    /// but the token loop goes on after it, so it had better not allocate.
    Fed {
        /// Tokens.
        done: usize,
        /// All of them.
        total: usize,
    },
}

/// Is told how far measuring has come, and may stop it.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Tells it.
pub(crate) fn tell(watch: Watch<'_>, progress: Progress) -> Result<(), MeasureError> {
    match watch(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(MeasureError::Stopped),
    }
}
