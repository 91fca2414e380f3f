//! Vector maths compiled for the instruction set that is used.

use crate::attention::{Head, attend};
use crate::kv_cache::{KvCache, KvFormat};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_cores::{Columns, OneCore, split_together};
use bootllm_model_file::Config;
use bootllm_simd::{Cpu, Isa, RopeTable, Simd, SimdOp, add, dispatch, rms_norm, silu_times};
use core::sync::atomic::{AtomicU32, Ordering};

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
    match cpu.widest_first().find_map(|isa| dispatch(cpu, isa, Maker)) {
        Some(kernels) => kernels,
        None => unreachable!("plain Rust is for every CPU"),
    }
}

struct Maker;

impl SimdOp for Maker {
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

/// Bytes that [`checked`] needs at most, for a moment.
pub(crate) const CHECK_BYTES: u64 = 128 << 10;

/// Which instruction sets the first check found wanting, a bit each, and [`DONE`].
static FOUND: AtomicU32 = AtomicU32::new(0);
const DONE: u32 = 1 << 31;

/// The CPU without the instruction sets whose products or kernels have other bits on this machine
/// than plain Rust. All are checked once, the first time that anybody asks.
pub fn checked(cpu: Cpu) -> Cpu {
    let mut found = FOUND.load(Ordering::Relaxed);
    if found & DONE == 0 {
        // Cores that ask at the same time each find out for themselves, and find the same.
        let all = Cpu::detect();
        let wanting = all.widest_first().filter(|&isa| !agrees(all, isa));
        found = wanting.fold(DONE, |found, isa| found | 1 << isa as u32);
        FOUND.store(found, Ordering::Relaxed);
    }
    let dropped = Isa::ALL.into_iter().filter(|&isa| found >> isa as u32 & 1 == 1);
    dropped.fold(cpu, Cpu::without)
}

/// Whether an instruction set has the bits of plain Rust here.
fn agrees(cpu: Cpu, isa: Isa) -> bool {
    let plain = || sample(&*kernels(cpu.only(Isa::Scalar)));
    isa == Isa::Scalar
        || bootllm_quant::self_test(cpu, isa) && sample(&*kernels(cpu.only(isa))) == plain()
}

/// A number that stands for the bits that kernels make of small vectors, of lengths that fill
/// registers and that do not (FNV-1a over them).
fn sample(kernels: &dyn Kernels) -> u64 {
    const HEADS: usize = 2;
    /// The first of them is in the first tile of positions, the last in the second.
    const POSITION: usize = 29;
    const TOKENS: usize = 6;
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut keep = |values: &[f32]| {
        for value in values {
            hash = (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (size, format) in [8, 48, 72].into_iter().flat_map(|size| KvFormat::ALL.map(|f| (size, f)))
    {
        let (dim, context) = (HEADS * size, POSITION + TOKENS);
        let number = |i: usize| ((i * 7919) % 1013) as f32 / 400.0 - 1.25;
        let numbers: Vec<f32> = (0..context * dim).map(number).collect();
        let config = Config {
            dim,
            hidden_dim: dim,
            layers: 1,
            heads: HEADS,
            kv_heads: HEADS,
            vocab_size: 1,
            context,
            shared_classifier: true,
            norm_epsilon: Config::NORM_EPSILON,
            rope_base: Config::ROPE_BASE,
        };
        let Ok(mut cache) = KvCache::new(&config, context, format) else { return 0 };
        cache.store(&OneCore, 0, 0, &numbers, &numbers);
        let queries = &numbers[..TOKENS * dim];
        let mut output = vec![0.0; TOKENS * dim];
        for tokens in [1, TOKENS] {
            let outputs = [(&mut output[..tokens * dim], dim, size)];
            split_together(&OneCore, outputs, |_, [mut output]| {
                let mut scores = vec![0.0; Head::scores(context)];
                for number in 0..HEADS {
                    let (keys, values) = cache.head(0, number);
                    let (start, position) = (number * size, POSITION);
                    let head =
                        Head { queries, stride: dim, start, size, format, keys, values, position };
                    kernels.attend(&head, &mut scores, &mut output.slice(start, size));
                }
            });
            keep(&output);
        }
        kernels.rms_norm(&mut output, queries, &numbers[..size], Config::NORM_EPSILON);
        kernels.silu_times(&mut output, queries);
        kernels.add(&mut output, queries);
        keep(&output);
    }
    hash
}
