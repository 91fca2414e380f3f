//! The gate of GeGLU.

use bootllm_simd::exp;

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
