//! Where the time of a forward pass goes.

use core::time::Duration;

/// A part of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Tokens become vectors.
    Embedding,
    /// Norms, and additions to the residual stream.
    Norms,
    /// The products that give queries, keys and values.
    Projections,
    /// Rotary embedding, and keeping keys and values.
    Keeping,
    /// Scores, softmax and the mix of values.
    Attention,
    /// The product behind attention.
    AttentionOutput,
    /// The products that give the gate and the other input of the feed-forward block.
    GateAndUp,
    /// SwiGLU's non-linearity.
    Activation,
    /// The product out of the feed-forward block.
    Down,
    /// The last norm and the classifier.
    Classifier,
}

impl Stage {
    /// All of them, in the order of the pass.
    pub const ALL: [Stage; 10] = [
        Stage::Embedding,
        Stage::Norms,
        Stage::Projections,
        Stage::Keeping,
        Stage::Attention,
        Stage::AttentionOutput,
        Stage::GateAndUp,
        Stage::Activation,
        Stage::Down,
        Stage::Classifier,
    ];

    /// Its name as a person knows it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Embedding => "embedding",
            Stage::Norms => "norms",
            Stage::Projections => "queries, keys, values",
            Stage::Keeping => "rotary embedding, KV cache",
            Stage::Attention => "attention",
            Stage::AttentionOutput => "attention's output",
            Stage::GateAndUp => "gate and up",
            Stage::Activation => "SwiGLU",
            Stage::Down => "down",
            Stage::Classifier => "classifier",
        }
    }
}

/// The time that the stages took so far, as the core sees it that calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    stages: [Duration; Stage::ALL.len()],
    /// When the last stage was over.
    last: Duration,
}

impl Times {
    /// The time of one stage.
    pub fn of(&self, stage: Stage) -> Duration {
        self.stages[stage as usize]
    }

    /// The time of all.
    pub fn total(&self) -> Duration {
        self.stages.iter().sum()
    }

    pub(crate) fn start(&mut self, now: Duration) {
        self.last = now;
    }

    /// Counts the time since the last stage for this one.
    pub(crate) fn done(&mut self, stage: Stage, now: Duration) {
        self.stages[stage as usize] += now.saturating_sub(self.last);
        self.last = now;
    }
}
