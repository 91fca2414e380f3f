//! The gated feed-forward block's non-linearity.

use crate::pass::Pass;
use crate::planner::Buffer;
use crate::times::Stage;
use bootllm_cores::split_rows;

/// What the gate goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x · sigmoid(x), of SwiGLU (Shazeer, 2020).
    Silu,
    /// x · Φ(x) by its tanh approximation, of GeGLU.
    #[expect(dead_code, reason = "the gate of the next architectures, tested as a kernel")]
    Gelu,
}

impl Pass<'_> {
    /// `gate` = activation(`gate`) · `up`.
    pub(crate) fn gate(&mut self, activation: Activation, gate: Buffer, up: Buffer) {
        let (width, rows) = (self.width(gate), self.rows.len());
        let (mut gates, ups) = (self.take(gate), self.take(up));
        split_rows(self.cores, &mut gates[..rows * width], width, |first, gates| {
            let ups = &ups[first * width..][..gates.len()];
            match activation {
                Activation::Silu => self.kernels.silu_times(gates, ups),
                Activation::Gelu => self.kernels.gelu_times(gates, ups),
            }
        });
        self.put(gate, gates);
        self.put(up, ups);
        self.done(Stage::Activation);
    }
}
