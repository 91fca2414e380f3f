//! What the machine can do at most.

use crate::MeasureError;
use crate::progress::{BenchPhase, BenchProgress, OnProgress, report};
use alloc::vec;
use alloc::vec::Vec;
use bootllm_cores::{Cores, split_rows};
use bootllm_platform::Clock;
use bootllm_simd::{Cpu, Isa, LANES, Simd, SimdOp, VectorWidth, dispatch};
use core::hint::black_box;
use core::time::Duration;

/// What the machine can do at most: what a model's speed is compared with. A limit that could not be
/// measured is `None`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory bandwidth: bytes per second that all cores together read, each in four streams.
    pub bandwidth: Option<f64>,
    /// Peak integer throughput: multiply-accumulates of 8-bit integers per second, on all cores
    /// together.
    pub throughput: Option<f64>,
}

/// How often each limit is measured. The best counts: everything else is disturbance.
const REPETITIONS: usize = 5;
/// No further repetition begins after this much time.
const ENOUGH: Duration = Duration::from_secs(2);

impl Limits {
    /// Bytes that are read to measure memory bandwidth: more than any cache holds.
    pub const BUFFER_BYTES: usize = 256 << 20;

    /// Measures them, which takes a second or two, and [`Limits::BUFFER_BYTES`] of memory meanwhile.
    ///
    /// # Errors
    /// [`MeasureError::OutOfMemory`], [`MeasureError::Stopped`].
    pub fn measure(
        cores: &dyn Cores,
        cpu: Cpu,
        clock: &dyn Clock,
        on_progress: OnProgress<'_>,
    ) -> Result<Self, MeasureError> {
        let bandwidth = measure_bandwidth(cores, cpu, clock, on_progress)?;
        let throughput = measure_throughput(cores, cpu, clock, on_progress)?;
        Ok(Limits { bandwidth, throughput })
    }
}

fn measure_bandwidth(
    cores: &dyn Cores,
    cpu: Cpu,
    clock: &dyn Clock,
    on_progress: OnProgress<'_>,
) -> Result<Option<f64>, MeasureError> {
    let mut buffer: Vec<u64> = Vec::new();
    let words = Limits::BUFFER_BYTES / size_of::<u64>();
    buffer.try_reserve_exact(words).map_err(|_| MeasureError::OutOfMemory)?;
    buffer.resize(words, 1);
    let mut sums: Vec<Option<u64>> = vec![None; 4 * cores.count()];
    let share = buffer.len() / sums.len();
    // Registers of 256 bits keep up with any memory. What the compiler makes of the loop for 512 bits
    // read a third as fast on an AMD EPYC.
    let isa = cpu.limited_to(Isa::Avx2).widest();
    let seconds = shortest(BenchPhase::Memory, clock, on_progress, || {
        split_rows(cores, &mut sums, 1, |first, sums| {
            for (number, sum) in (first..).zip(sums) {
                let work = Read { words: &buffer[number * share..][..share] };
                *sum = dispatch(cpu, isa, work);
            }
        });
        black_box(&sums);
    })?;
    let bytes = (share * sums.len() * size_of::<u64>()) as f64;
    // Where an instruction set could not be used, nothing was read.
    Ok(seconds.filter(|_| sums.iter().all(Option::is_some)).map(|seconds| bytes / seconds))
}

fn measure_throughput(
    cores: &dyn Cores,
    cpu: Cpu,
    clock: &dyn Clock,
    on_progress: OnProgress<'_>,
) -> Result<Option<f64>, MeasureError> {
    let isa = cpu.widest();
    let mut sums: Vec<Option<f32>> = vec![None; 8 * cores.count()];
    let seconds = shortest(BenchPhase::Arithmetic, clock, on_progress, || {
        split_rows(cores, &mut sums, 1, |_, sums| {
            sums.fill_with(|| dispatch(cpu, isa, Multiply));
        });
        black_box(&sums);
    })?;
    let products = (sums.len() * PRODUCTS * LANES * 4) as f64;
    Ok(seconds.filter(|_| sums.iter().all(Option::is_some)).map(|seconds| products / seconds))
}

/// The fewest seconds that `work` took; `None` if the clock stood still.
fn shortest(
    phase: BenchPhase,
    clock: &dyn Clock,
    on_progress: OnProgress<'_>,
    mut work: impl FnMut(),
) -> Result<Option<f64>, MeasureError> {
    let (mut best, mut all) = (Duration::MAX, Duration::ZERO);
    for repetition in 1..=REPETITIONS {
        let begun = BenchProgress::Begun { phase, repetition, repetitions: REPETITIONS };
        report(on_progress, begun)?;
        let start = clock.now();
        work();
        let spent = clock.now().saturating_sub(start);
        (best, all) = (best.min(spent), all + spent);
        if all >= ENOUGH {
            break;
        }
    }
    Ok((!best.is_zero()).then_some(best.as_secs_f64()))
}

/// Adds up words, in four streams.
struct Read<'a> {
    words: &'a [u64],
}

impl SimdOp for Read<'_> {
    type Output = u64;

    fn eval<S: Simd>(self, simd: S) -> u64 {
        simd.run(
            #[inline(always)]
            || {
                let quarter = self.words.len() / 4;
                let mut streams = self.words.chunks_exact(quarter).map(|s| s.as_chunks::<16>().0);
                let (Some(a), Some(b), Some(c), Some(d)) =
                    (streams.next(), streams.next(), streams.next(), streams.next())
                else {
                    return 0;
                };
                let mut sums = [0u64; 16];
                for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
                    for i in 0..16 {
                        sums[i] = sums[i].wrapping_add(a[i] ^ b[i]).wrapping_add(c[i] ^ d[i]);
                    }
                }
                sums.into_iter().fold(0, u64::wrapping_add)
            },
        )
    }
}

/// Multiplies values that are in L1, in tiles like those of matrix products: as many panels of
/// weights and inputs as fill the registers.
struct Multiply;

/// Aligned as packed weights are: no vector spans two cache lines.
#[repr(align(64))]
struct Weights<const R: usize>([[u8; 4 * LANES]; R]);

/// Multiply-accumulates of vectors per call: a multiple of every tile's.
const PRODUCTS: usize = 24 << 17;

impl SimdOp for Multiply {
    type Output = f32;

    fn eval<S: Simd>(self, simd: S) -> f32 {
        match S::WIDTH {
            VectorWidth::V128 => multiply::<S, 1, 2>(simd),
            VectorWidth::V256 => multiply::<S, 1, 4>(simd),
            VectorWidth::V512 => multiply::<S, 2, 6>(simd),
        }
    }
}

fn multiply<S: Simd, const R: usize, const T: usize>(simd: S) -> f32 {
    simd.run(
        #[inline(always)]
        || {
            let (weights, x) = (Weights([[1; 4 * LANES]; R]), [S::pack_input([1, 2, 3, 4]); T]);
            let mut sums = [[simd.splat_i32(0); R]; T];
            for _ in 0..PRODUCTS / (R * T) {
                // Keeps the compiler from hoisting the products out of the loop.
                let (weights, x) = black_box((&weights, &x));
                for (sums, &x) in sums.iter_mut().zip(x) {
                    for (sum, weights) in sums.iter_mut().zip(&weights.0) {
                        *sum = simd.dot(*sum, simd.load_u8(weights), x);
                    }
                }
            }
            let mut output = [0.0; LANES];
            let total = sums.into_iter().flatten().map(|sum| simd.to_floats(sum));
            let total = total.fold(simd.splat(0.0), |a, b| simd.add(a, b));
            simd.store(total, &mut output);
            output[0]
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootllm_cores::OneCore;
    use core::ops::ControlFlow;

    /// A clock that stands still: no time passes.
    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn a_limit_that_cannot_be_measured_is_left_out() {
        let on_progress = &mut |_| ControlFlow::Continue(());
        let limits = Limits::measure(&OneCore, Cpu::detect(), &Stopped, on_progress).unwrap();
        assert_eq!((limits.bandwidth, limits.throughput), (None, None));
    }
}
