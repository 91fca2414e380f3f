//! Some tokens on their way through the layers.

use crate::kernels::Kernels;
use crate::kv_cache::KvCache;
use crate::times::{Stage, Times};
use bootllm_cores::{Cores, split_rows};
use bootllm_platform::Clock;
use bootllm_quant::InputBuffer;

/// Some consecutive tokens on their way through the layers, and what an architecture computes with.
pub(crate) struct Pass<'a> {
    /// Their activations.
    pub(crate) buffers: Rows<'a>,
    pub(crate) cache: &'a mut KvCache,
    pub(crate) cores: &'a dyn Cores,
    pub(crate) kernels: &'a dyn Kernels,
    /// How many tokens there are.
    pub(crate) tokens: usize,
    /// The position of the first.
    pub(crate) position: usize,
    /// Read at the end of every stage, if it is there.
    pub(crate) clock: Option<&'a dyn Clock>,
    pub(crate) times: &'a mut Times,
}

/// The rows of [`Buffers`](crate::buffers::Buffers) that belong to the tokens of a pass.
pub(crate) struct Rows<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) normed: &'a mut [f32],
    pub(crate) branch: &'a mut [f32],
    pub(crate) query: &'a mut [f32],
    pub(crate) key: &'a mut [f32],
    pub(crate) value: &'a mut [f32],
    pub(crate) heads: &'a mut [f32],
    pub(crate) gate: &'a mut [f32],
    pub(crate) up: &'a mut [f32],
    pub(crate) scores: &'a mut [f32],
    pub(crate) input: &'a mut InputBuffer,
}

impl Pass<'_> {
    /// A stage is over.
    pub(crate) fn done(&mut self, stage: Stage) {
        if let Some(clock) = self.clock {
            self.times.done(stage, clock.now());
        }
    }

    /// `normed` = the norm of `x` with these weights.
    pub(crate) fn norm(&mut self, weight: &[f32], epsilon: f32) {
        let (x, dim) = (&*self.buffers.x, weight.len());
        split_rows(self.cores, self.buffers.normed, dim, |first, normed| {
            self.kernels.rms_norm(normed, &x[first * dim..], weight, epsilon);
        });
    }

    /// `x` = `x` + `branch`, in rows of `dim`: the residual connection.
    pub(crate) fn add_branch(&mut self, dim: usize) {
        let branch = &*self.buffers.branch;
        split_rows(self.cores, self.buffers.x, dim, |first, x| {
            self.kernels.add(x, &branch[first * dim..]);
        });
    }
}
