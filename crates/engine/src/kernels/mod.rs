//! Vector maths compiled for the instruction set that is used, and its self-test.

mod attention;
mod gelu;
mod rope;
#[cfg(test)]
mod tests;

use attention::attention;
pub(crate) use attention::{Head, Rules, score_floats};
use gelu::gelu_times;
pub(crate) use rope::Pairing;
use rope::rotate;

use crate::state::{KvCache, KvFormat, KvLayer};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_cores::{Columns, OneCore, split_together};
use bootllm_simd::{Cpu, Isa, Simd, SimdOp, add, dispatch, rms_norm, silu_times};
use core::sync::atomic::{AtomicU32, Ordering};

/// The operations of a forward pass besides matrix products. Each function is the one of the same name
/// in `bootllm-simd` or in this folder.
pub(crate) trait Kernels: Send + Sync {
    fn isa(&self) -> Isa;
    fn rms_norm(&self, output: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32);
    fn rotate(&self, pairing: Pairing, turns: &[(f32, f32)], heads: &mut [f32], head_size: usize);
    fn attention(&self, head: &Head<'_>, scores: &mut [f32], output: &mut Columns<'_, f32>);
    fn silu_times(&self, gate: &mut [f32], up: &[f32]);
    fn gelu_times(&self, gate: &mut [f32], up: &[f32]);
    fn add(&self, x: &mut [f32], y: &[f32]);
}

/// The kernels for the widest instruction set in use.
pub(crate) fn kernels(cpu: Cpu) -> Box<dyn Kernels> {
    match cpu.widest_first().find_map(|isa| dispatch(cpu, isa, NewKernels)) {
        Some(kernels) => kernels,
        None => unreachable!("plain Rust is for every CPU"),
    }
}

struct NewKernels;

impl SimdOp for NewKernels {
    type Output = Box<dyn Kernels>;

    fn eval<S: Simd>(self, simd: S) -> Box<dyn Kernels> {
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

    fn rotate(&self, pairing: Pairing, turns: &[(f32, f32)], heads: &mut [f32], head_size: usize) {
        self.0.run(
            #[inline(always)]
            || rotate(pairing, turns, heads, head_size),
        );
    }

    fn attention(&self, head: &Head<'_>, scores: &mut [f32], output: &mut Columns<'_, f32>) {
        self.0.run(
            #[inline(always)]
            || attention(self.0, head, scores, output),
        );
    }

    fn silu_times(&self, gate: &mut [f32], up: &[f32]) {
        self.0.run(
            #[inline(always)]
            || silu_times(gate, up),
        );
    }

    fn gelu_times(&self, gate: &mut [f32], up: &[f32]) {
        self.0.run(
            #[inline(always)]
            || gelu_times(gate, up),
        );
    }

    fn add(&self, x: &mut [f32], y: &[f32]) {
        self.0.run(
            #[inline(always)]
            || add(x, y),
        );
    }
}

/// The most bytes that the self-test allocates, temporarily.
pub(crate) const CHECK_BYTES: u64 = 128 << 10;

/// Which instruction sets failed the self-test, a bit each, and [`DONE`].
static FAILED: AtomicU32 = AtomicU32::new(0);
const DONE: u32 = 1 << 31;

/// Removes from `cpu` the instruction sets whose products or kernels differ in a bit from plain Rust
/// on this machine. All are tested once, at the first call.
pub fn cpu_after_self_test(cpu: Cpu) -> Cpu {
    let mut failed = FAILED.load(Ordering::Relaxed);
    if failed & DONE == 0 {
        // Cores that call at the same time each run the test, and find the same.
        let all = Cpu::detect();
        let failing = all.widest_first().filter(|&isa| !self_test(all, isa));
        failed = failing.fold(DONE, |failed, isa| failed | 1 << isa as u32);
        FAILED.store(failed, Ordering::Relaxed);
    }
    let dropped = Isa::ALL.into_iter().filter(|&isa| failed >> isa as u32 & 1 == 1);
    dropped.fold(cpu, Cpu::without)
}

/// Whether an instruction set gives the same bits as plain Rust on this machine.
fn self_test(cpu: Cpu, isa: Isa) -> bool {
    let plain = || sample(&*kernels(cpu.only(Isa::Scalar)));
    isa == Isa::Scalar
        || bootllm_quant::self_test(cpu, isa) && sample(&*kernels(cpu.only(isa))) == plain()
}

/// A hash (FNV-1a) of the kernels' results on small vectors, of lengths that fill registers and
/// that do not.
fn sample(kernels: &dyn Kernels) -> u64 {
    const HEADS: usize = 2;
    /// The first of them is in the first tile of positions, the last in the second.
    const POSITION: usize = 29;
    const TOKENS: usize = 6;
    let windowed = Rules { window: Some(3), soft_cap: Some(2.0), ..Rules::default() };
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut mix_in = |values: &[f32]| {
        for value in values {
            hash = (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (size, format) in [8, 48, 72].into_iter().flat_map(|size| KvFormat::ALL.map(|f| (size, f)))
    {
        let (width, context) = (HEADS * size, POSITION + TOKENS);
        let number = |i: usize| ((i * 7919) % 1013) as f32 / 400.0 - 1.25;
        let numbers: Vec<f32> = (0..context * width).map(number).collect();
        let layer = KvLayer { heads: HEADS, head_size: size };
        let Ok(mut cache) = KvCache::new(&[layer], context, format) else { return 0 };
        cache.store(&OneCore, 0, 0, &numbers, &numbers);
        let queries = &numbers[..TOKENS * width];
        let mut output = vec![0.0; TOKENS * width];
        for (tokens, rules) in
            [(1, Rules::default()), (TOKENS, Rules::default()), (TOKENS, windowed)]
        {
            let outputs = [(&mut output[..tokens * width], width, size)];
            split_together(&OneCore, outputs, |_, [mut output]| {
                let mut scores = vec![0.0; score_floats(context)];
                for number in 0..HEADS {
                    let (keys, values) = cache.head(0, number);
                    let (start, position, stride) = (number * size, POSITION, width);
                    let head = Head {
                        queries,
                        stride,
                        start,
                        size,
                        format,
                        keys,
                        values,
                        position,
                        rules,
                    };
                    kernels.attention(&head, &mut scores, &mut output.slice(start, size));
                }
            });
            mix_in(&output);
        }
        kernels.rms_norm(&mut output, queries, &numbers[..size], 1e-5);
        kernels.silu_times(&mut output, queries);
        kernels.gelu_times(&mut output, queries);
        kernels.add(&mut output, queries);
        let turns: Vec<(f32, f32)> =
            numbers[..size].as_chunks().0.iter().map(|&[a, b]| (a, b)).collect();
        kernels.rotate(Pairing::Adjacent, &turns, &mut output, size);
        kernels.rotate(Pairing::Halves, &turns, &mut output, size);
        mix_in(&output);
    }
    hash
}
