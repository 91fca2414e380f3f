//! The gated feed-forward block's non-linearity.

use crate::pass::Pass;
use crate::plan::Buffer;
use crate::times::Stage;
use bootllm_cores::split_rows;
use bootllm_simd::exp;

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

/// `gate[i] = gelu(gate[i]) * up[i]`, where gelu(x) = x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))
/// (Hendrycks and Gimpel, 2016).
///
/// 1 + tanh(u) is 2 − 2/(e^(2u) + 1), so gelu(x) = x − x/(e^(2u) + 1).
#[inline(always)]
pub(crate) fn gelu_times(gate: &mut [f32], up: &[f32]) {
    const ROOT: f32 = 0.797_884_6;
    for (gate, &up) in gate.iter_mut().zip(up) {
        let x = *gate;
        let u = ROOT * x * (1.0 + 0.044_715 * x * x);
        *gate = (x - x / (exp(u + u) + 1.0)) * up;
    }
}
