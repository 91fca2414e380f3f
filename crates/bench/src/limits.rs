//! What the machine can do at most.

use crate::MeasureError;
use crate::progress::{Part, Progress, Watch, tell};
use alloc::vec;
use alloc::vec::Vec;
use bootllm_cores::{Cores, split_rows};
use bootllm_platform::Clock;
use bootllm_simd::{Cpu, Isa, LANES, Simd, SimdOp, VectorWidth, dispatch};
use core::hint::black_box;
use core::time::Duration;

/// What the machine can do at most: what a model's speed is held against.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that all cores together read from memory in a second, each in four streams.
    pub bytes: f64,
    /// Products of 8-bit integers, added up, that all cores together do in a second.
    pub products: f64,
}

/// How often each is measured; the best counts, for others only disturb.
const TIMES: usize = 5;
/// No oftener than that, once it has taken so long.
const ENOUGH: Duration = Duration::from_secs(2);

impl Limits {
    /// Bytes that are read to see how fast memory is: more than any cache holds.
    pub const ROOM: usize = 256 << 20;

    /// Measures them, which takes a second or two, and [`Limits::ROOM`] bytes of memory for as long.
    pub fn measure(
        cores: &dyn Cores,
        cpu: Cpu,
        clock: &dyn Clock,
        watch: Watch<'_>,
    ) -> Result<Self, MeasureError> {
        let mut sums = vec![0u64; 4 * cores.count()];
        let mut room: Vec<u64> = Vec::new();
        let words = Self::ROOM / size_of::<u64>();
        room.try_reserve_exact(words).map_err(|_| MeasureError::NoRoom)?;
        room.resize(words, 1);
        let part = room.len() / sums.len();
        // Registers of 256 bits keep up with any memory. What the compiler makes of the loop for 512
        // bits read a third as fast on an AMD EPYC.
        let isa = cpu.limited_to(Isa::Avx2).widest();
        let seconds = best(Part::Memory, clock, watch, || {
            split_rows(cores, &mut sums, 1, |first, sums| {
                for (number, sum) in (first..).zip(sums) {
                    let work = Read { words: &room[number * part..][..part] };
                    *sum = dispatch(cpu, isa, work).unwrap_or_default();
                }
            });
            black_box(&sums);
        })?;
        let bytes = (part * sums.len() * size_of::<u64>()) as f64 / seconds;
        drop(room);
        let isa = cpu.widest();
        let mut sums = vec![0f32; 8 * cores.count()];
        let seconds = best(Part::Arithmetic, clock, watch, || {
            split_rows(cores, &mut sums, 1, |_, sums| {
                for sum in sums {
                    *sum = dispatch(cpu, isa, Multiply).unwrap_or_default();
                }
            });
            black_box(&sums);
        })?;
        let products = (sums.len() * PRODUCTS * LANES * 4) as f64 / seconds;
        Ok(Limits { bytes, products })
    }
}

/// The fewest seconds that work took.
fn best(
    part: Part,
    clock: &dyn Clock,
    watch: Watch<'_>,
    mut work: impl FnMut(),
) -> Result<f64, MeasureError> {
    let (mut best, mut all) = (Duration::MAX, Duration::ZERO);
    for time in 1..=TIMES {
        tell(watch, Progress::Begun { part, time, times: TIMES })?;
        let start = clock.now();
        work();
        let spent = clock.now().saturating_sub(start);
        (best, all) = (best.min(spent), all + spent);
        if all >= ENOUGH {
            break;
        }
    }
    Ok(best.max(Duration::from_nanos(1)).as_secs_f64())
}

/// Adds up words, a quarter of them behind the other.
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

/// Multiplies what lies in the nearest cache, in tiles as the products of matrices have them: as
/// many strips of weights and inputs as keep the registers full.
struct Multiply;

/// As packed weights lie in memory: none in two lines of the cache.
#[repr(align(64))]
struct Weights<const R: usize>([[u8; 4 * LANES]; R]);

/// Products of a strip with an input: a multiple of every tile's.
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
                // They could have changed: else they would be multiplied once for all rounds.
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
