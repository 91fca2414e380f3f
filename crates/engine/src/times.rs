//! Where the time of a forward pass goes.

use core::time::Duration;

/// A part of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Token embedding.
    Embedding,
    /// Norms and residual connections.
    Norms,
    /// Query, key and value projections.
    Qkv,
    /// Rotary embedding, and storing keys and values.
    StoreKv,
    /// Scores, softmax and weighted values.
    Attention,
    /// The output projection of attention.
    AttentionOut,
    /// Gate and up projections of the feed-forward block.
    GateAndUp,
    /// The feed-forward block's non-linearity.
    Activation,
    /// Down projection of the feed-forward block.
    Down,
    /// The last norm and the output projection.
    OutputLogits,
}

impl Stage {
    /// All stages, in the order of the pass.
    pub const ALL: [Stage; 10] = [
        Stage::Embedding,
        Stage::Norms,
        Stage::Qkv,
        Stage::StoreKv,
        Stage::Attention,
        Stage::AttentionOut,
        Stage::GateAndUp,
        Stage::Activation,
        Stage::Down,
        Stage::OutputLogits,
    ];

    /// Its name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Embedding => "embedding",
            Stage::Norms => "norms",
            Stage::Qkv => "queries, keys, values",
            Stage::StoreKv => "rotary embedding, KV cache",
            Stage::Attention => "attention",
            Stage::AttentionOut => "attention output",
            Stage::GateAndUp => "gate and up",
            Stage::Activation => "activation",
            Stage::Down => "down",
            Stage::OutputLogits => "output logits",
        }
    }
}

/// The time that the stages took so far, as the calling core sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    stages: [Duration; Stage::ALL.len()],
    /// When the last stage ended.
    last: Duration,
}

impl Times {
    /// The time of one stage.
    pub fn of(&self, stage: Stage) -> Duration {
        self.stages[stage as usize]
    }

    /// The time of all stages.
    pub fn total(&self) -> Duration {
        self.stages.iter().sum()
    }

    pub(crate) fn start(&mut self, now: Duration) {
        self.last = now;
    }

    /// Counts the time since the last stage ended for this one.
    pub(crate) fn done(&mut self, stage: Stage, now: Duration) {
        self.stages[stage as usize] += now.saturating_sub(self.last);
        self.last = now;
    }
}
