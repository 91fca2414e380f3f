//! Vector maths compiled for the instruction set that is used.

use crate::attention::{Head, attend};
use alloc::boxed::Box;
use bootllm_cores::Columns;
use bootllm_simd::{Cpu, ForSimd, Isa, RopeTable, Simd, add, rms_norm, silu_times, with};

/// What a forward pass does beside its products. Each function is that of `bootllm-simd` with the
/// same name.
pub(crate) trait Kernels: Send + Sync {
    fn isa(&self) -> Isa;
    fn rms_norm(&self, output: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32);
    fn rotate(&self, table: &RopeTable, heads: &mut [f32], position: usize);
    fn attend(&self, head: &Head<'_>, scores: &mut [f32], output: &mut Columns<'_, f32>);
    fn silu_times(&self, gate: &mut [f32], up: &[f32]);
    fn add(&self, x: &mut [f32], y: &[f32]);
}

/// The kernels for the widest instruction set that is to be used.
pub(crate) fn kernels(cpu: Cpu) -> Box<dyn Kernels> {
    match cpu.widest_first().find_map(|isa| with(cpu, isa, Maker)) {
        Some(kernels) => kernels,
        None => unreachable!("plain Rust is for every CPU"),
    }
}

struct Maker;

impl ForSimd for Maker {
    type Made = Box<dyn Kernels>;

    fn make<S: Simd>(self, simd: S) -> Box<dyn Kernels> {
        Box::new(Vectorized(simd))
    }
}

struct Vectorized<S>(S);

impl<S: Simd> Kernels for Vectorized<S> {
    fn isa(&self) -> Isa {
        S::ISA
    }

    fn rms_norm(&self, output: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
        self.0.run(
            #[inline(always)]
            || rms_norm(output, x, weight, epsilon),
        );
    }

    fn rotate(&self, table: &RopeTable, heads: &mut [f32], position: usize) {
        self.0.run(
            #[inline(always)]
            || table.rotate(heads, position),
        );
    }

    fn attend(&self, head: &Head<'_>, scores: &mut [f32], output: &mut Columns<'_, f32>) {
        self.0.run(
            #[inline(always)]
            || attend(self.0, head, scores, output),
        );
    }

    fn silu_times(&self, gate: &mut [f32], up: &[f32]) {
        self.0.run(
            #[inline(always)]
            || silu_times(gate, up),
        );
    }

    fn add(&self, x: &mut [f32], y: &[f32]) {
        self.0.run(
            #[inline(always)]
            || add(x, y),
        );
    }
}
