//! The loops over a whole vocabulary.
//!
//! They are plain Rust, compiled for the widest instruction set of the CPU, and give the bits of
//! the naive loops that the tests at the end compare them with.

use bootllm_simd::{Cpu, Simd, SimdOp, dispatch, exp};

/// Logits that are handled together: small enough that a rare slow path costs little, large enough
/// to fill vector registers.
const BLOCK: usize = 32;
/// Logits of which those that count are collected into blocks.
const CHUNK: usize = 8 * BLOCK;
/// Logits that are passed over together where none of them counts.
const GROUP: usize = 8;

/// Logarithms of thresholds are computed in f32 and compared with differences in f32. This covers
/// the rounding of both, and the last-place errors of `exp` and of a division, many times over.
const MARGIN: f32 = 0.01;

/// Runs a loop that is compiled for the widest instruction set of `cpu`. The one place of this
/// crate that chooses instructions.
fn vectorized<R>(cpu: Cpu, mut work: impl FnMut() -> R) -> R {
    struct Compiled<'a, F>(&'a mut F);

    impl<R, F: FnMut() -> R> SimdOp for Compiled<'_, F> {
        type Output = R;

        fn eval<S: Simd>(self, simd: S) -> R {
            simd.run(
                #[inline(always)]
                || (self.0)(),
            )
        }
    }

    match dispatch(cpu, cpu.widest(), Compiled(&mut work)) {
        Some(result) => result,
        None => work(),
    }
}

/// Copies logits. `false` if one of them is NaN or positive infinity; negative infinity only says
/// that a token is impossible.
pub(crate) fn copy(cpu: Cpu, from: &[f32], to: &mut [f32]) -> bool {
    vectorized(
        cpu,
        #[inline(always)]
        || {
            let mut good = true;
            for (to, &from) in to.iter_mut().zip(from) {
                *to = from;
                good &= from < f32::INFINITY;
            }
            good
        },
    )
}

/// Whether no logit is NaN or positive infinity.
pub(crate) fn are_numbers(cpu: Cpu, logits: &[f32]) -> bool {
    vectorized(
        cpu,
        #[inline(always)]
        || logits.iter().fold(true, |good, &logit| good & (logit < f32::INFINITY)),
    )
}

/// Divides all logits by a positive number. Quotients beyond the largest f32 become that.
pub(crate) fn divide(cpu: Cpu, logits: &mut [f32], by: f32) {
    vectorized(
        cpu,
        #[inline(always)]
        || logits.iter_mut().for_each(|logit| *logit = (*logit / by).min(f32::MAX)),
    );
}

/// The largest logit; NaN is never the largest. Negative infinity if there is none.
pub(crate) fn largest(cpu: Cpu, logits: &[f32]) -> f32 {
    vectorized(
        cpu,
        #[inline(always)]
        || {
            // Comparisons give the same in any order, so every lane has a maximum of its own.
            let larger = |max: f32, logit: f32| if logit > max { logit } else { max };
            let (blocks, rest) = logits.as_chunks::<BLOCK>();
            let mut lanes = [f32::NEG_INFINITY; BLOCK];
            for block in blocks {
                for (lane, &logit) in lanes.iter_mut().zip(block) {
                    *lane = larger(*lane, logit);
                }
            }
            lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger)
        },
    )
}

/// The index of the first of the largest logits; 0 if none is larger than negative infinity.
pub(crate) fn argmax(cpu: Cpu, logits: &[f32]) -> usize {
    let max = largest(cpu, logits);
    let block = vectorized(
        cpu,
        #[inline(always)]
        || {
            let has_max = |block: &[f32]| block.iter().fold(false, |has, &l| has | (l == max));
            logits.chunks(BLOCK).position(has_max).unwrap_or(0)
        },
    );
    let found = logits.iter().skip(block * BLOCK).position(|&logit| logit == max);
    found.map_or(0, |lane| block * BLOCK + lane)
}

/// What turns a logit into a probability: e^(logit − max) / sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalizer {
    /// The largest logit.
    pub(crate) max: f32,
    /// The sum of e^(logit − max) over all candidates in order, each addition rounded.
    pub(crate) sum: f32,
}

impl Normalizer {
    /// llama2.c's `softmax`, of which this is the first half.
    pub(crate) fn of(cpu: Cpu, logits: &[f32]) -> Self {
        let max = largest(cpu, logits);
        let sum = vectorized(
            cpu,
            #[inline(always)]
            || add_up(logits, max, 0.0, exp, f32::INFINITY).0,
        );
        Normalizer { max, sum }
    }

    /// The other half.
    #[inline(always)]
    pub(crate) fn probability(self, logit: f32) -> f32 {
        exp(logit - self.max) / self.sum
    }

    /// The sum of the probabilities of some logits, in order.
    pub(crate) fn mass(self, cpu: Cpu, logits: &[f32]) -> f32 {
        self.add_up(cpu, logits, f32::INFINITY).0
    }

    /// Where the sum of probabilities, in order, first exceeds `target`; `None` if it never does.
    pub(crate) fn position(self, cpu: Cpu, logits: &[f32], target: f32) -> Option<usize> {
        self.add_up(cpu, logits, target).1
    }

    fn add_up(self, cpu: Cpu, logits: &[f32], target: f32) -> (f32, Option<usize>) {
        let log_sum = libm::logf(self.sum);
        vectorized(
            cpu,
            #[inline(always)]
            || add_up(logits, self.max, log_sum, |distance| exp(distance) / self.sum, target),
        )
    }

    /// Calls `each` with the index and the probability of all logits whose probability is at least
    /// `cutoff`, in order. `cutoff` is positive.
    ///
    /// Most of a large vocabulary is far below any useful cutoff, and is passed over without
    /// computing its probability: `cutoff · sum` is a normal f32 of a probability that counts, and
    /// where logit − max is below its logarithm by [`MARGIN`], e^(logit − max) / sum is below the
    /// cutoff by nearly a hundredth, far more than the rounding of both operations.
    pub(crate) fn at_least(
        self,
        cpu: Cpu,
        logits: &[f32],
        cutoff: f32,
        mut each: impl FnMut(usize, f32),
    ) {
        let least = libm::logf(cutoff) + libm::logf(self.sum) - MARGIN;
        vectorized(
            cpu,
            #[inline(always)]
            || {
                for (number, chunk) in logits.chunks(BLOCK).enumerate() {
                    let block = &padded(chunk);
                    if !any_at_least(block, self.max, least) {
                        continue;
                    }
                    let probabilities = block.map(|logit| self.probability(logit));
                    for (lane, &probability) in probabilities.iter().enumerate() {
                        if probability >= cutoff {
                            each(number * BLOCK + lane, probability);
                        }
                    }
                }
            },
        );
    }
}

/// Adds `term(logit − max)` of all logits in order, each addition rounded, until the sum exceeds
/// `target`. Returns the sum so far and the index where it did.
///
/// `term(x)` is e^x / e^`log_divisor`, but for rounding.
#[inline(always)]
fn add_up(
    logits: &[f32],
    max: f32,
    log_divisor: f32,
    term: impl Fn(f32) -> f32,
    target: f32,
) -> (f32, Option<usize>) {
    let mut sum = OrderedSum(0.0);
    for (number, chunk) in logits.chunks(CHUNK).enumerate() {
        let before = sum.0;
        // Terms too small to change the sum, which only grows, are left out.
        let least = sum.log_of_half_ulp() + log_divisor - MARGIN;
        let (mut distances, mut count) = ([0.0; CHUNK], 0);
        let mut collect = |logits: &[f32]| {
            for logit in logits {
                let distance = logit - max;
                // Written in any case, which is faster than a branch that nobody can predict.
                distances[count] = distance;
                let too_small = distance < least;
                count += usize::from(!too_small);
            }
        };
        let (groups, rest) = chunk.as_chunks::<GROUP>();
        groups.iter().filter(|group| any_at_least(group, max, least)).for_each(|g| collect(g));
        collect(rest);
        for distances in distances[..count].chunks(BLOCK) {
            sum.add_block(&padded(distances).map(&term));
        }
        if target < sum.0 {
            let mut sum = before;
            for (index, logit) in chunk.iter().enumerate() {
                sum += term(logit - max);
                if target < sum {
                    return (sum, Some(number * CHUNK + index));
                }
            }
        }
    }
    (sum.0, None)
}

/// A whole block. What is missing at the end is impossible: its terms are 0.
#[inline(always)]
fn padded(chunk: &[f32]) -> [f32; BLOCK] {
    match chunk.first_chunk() {
        Some(block) => *block,
        None => {
            let mut block = [f32::NEG_INFINITY; BLOCK];
            block[..chunk.len()].copy_from_slice(chunk);
            block
        }
    }
}

/// Whether a logit, less the largest, reaches `least`; also if a difference is NaN.
#[inline(always)]
fn any_at_least<const N: usize>(logits: &[f32; N], max: f32, least: f32) -> bool {
    !logits.iter().fold(true, |all_below, &logit| all_below & (logit - max < least))
}

/// A sum of numbers that are not negative: the bits that `for term in terms { sum += term }` gives,
/// without waiting for one addition before the next.
///
/// Let the sum be m·u, where u is the unit of its last place and m an integer from 2²³ to 2²⁴ − 1.
/// Rounding m·u + t to the nearest multiple of u gives (m + q)·u, where q is t/u rounded to the
/// nearest integer: q does not depend on m, unless t/u lies in the middle of two integers, where
/// the even one of m + q is taken. So while no term is such a tie and the sum stays below 2²⁴·u,
/// above which u doubles, the sum of a block is m plus the integers q in whatever order; and since
/// the lowest bits of an f32 are m, they are added to its bits. Otherwise the block is added term
/// by term. That happens some 20 times on the way from 1 to 10⁶, and at a tie.
#[derive(Clone, Copy)]
struct OrderedSum(f32);

impl OrderedSum {
    /// Exponents, as in the bits of an f32, of sums for which 1/u is a normal f32.
    const EXPONENTS: core::ops::Range<u32> = 24..255;

    fn exponent(self) -> u32 {
        self.0.to_bits() >> 23
    }

    /// The natural logarithm of u/2 (or less where the sum is 0 or subnormal). What is below u/2
    /// changes nothing: the nearest multiple of u is the sum itself.
    #[inline(always)]
    fn log_of_half_ulp(self) -> f32 {
        (self.exponent() as i32 - 151) as f32 * core::f32::consts::LN_2
    }

    #[inline(always)]
    fn add_block(&mut self, terms: &[f32; BLOCK]) {
        /// Added to a number below 2²², it leaves the nearest integer (the even one at a tie) in
        /// the lowest bits.
        const ROUNDING: f32 = 12_582_912.0;
        const LARGEST: f32 = 4_194_304.0;

        let exponent = self.exponent();
        if Self::EXPONENTS.contains(&exponent) {
            // 1/u: u is 2^(exponent − 127 − 23).
            let per_unit = f32::from_bits((277 - exponent) << 23);
            let (mut units, mut exact) = (0, true);
            for &term in terms {
                let scaled = term * per_unit;
                let rounded = scaled + ROUNDING;
                let fraction = scaled - (rounded - ROUNDING);
                units += rounded.to_bits().wrapping_sub(ROUNDING.to_bits()) & 0x00ff_ffff;
                exact &= (scaled < LARGEST) & (fraction.abs() != 0.5);
            }
            let sum = f32::from_bits(self.0.to_bits() + units);
            if exact && sum.to_bits() >> 23 == exponent {
                self.0 = sum;
                return;
            }
        }
        self.0 = terms.iter().fold(self.0, |sum, term| sum + term);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use bootllm_simd::{Isa, softmax};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Every instruction set that this CPU has, by itself.
    fn cpus() -> impl Iterator<Item = Cpu> {
        let cpu = Cpu::detect();
        Isa::ALL.into_iter().filter(move |&isa| cpu.has(isa)).map(move |isa| cpu.only(isa))
    }

    /// Logits: of any kind, and such that make ties and zeros.
    fn logits() -> impl Strategy<Value = Vec<f32>> {
        let scaled = |scale: f32| (-scale..scale).prop_map(|logit: f32| logit);
        let one = prop_oneof![
            4 => scaled(3.0),
            4 => scaled(30.0),
            2 => scaled(120.0),
            1 => scaled(3e38),
            2 => Just(1.0),
            1 => Just(f32::NEG_INFINITY),
        ];
        let same =
            scaled(1e3).prop_flat_map(|logit| proptest::collection::vec(Just(logit), 1..900));
        let narrow = proptest::collection::vec(scaled(1e-3), 1..900);
        let rising = (1..2000usize, scaled(0.1))
            .prop_map(|(count, step)| (0..count).map(|i| i as f32 * step).collect());
        prop_oneof![3 => proptest::collection::vec(one, 1..900), 1 => same, 1 => narrow, 1 => rising]
    }

    /// Terms whose sums have ties: multiples of 2^-k in many binades.
    fn terms() -> impl Strategy<Value = Vec<f32>> {
        let tie = (0..3u32, 0u32..30).prop_map(|(odd, k)| (2 * odd + 1) as f32 / (1 << k) as f32);
        let any = (0u32..f32::MAX.to_bits()).prop_map(f32::from_bits);
        let of = |one| proptest::collection::vec(one, 1..400);
        prop_oneof![
            of(tie.boxed()),
            of(any.boxed()),
            of((0.0f32..1.0).boxed()),
            of(prop_oneof![0.0f32..1e-7, Just(0.0), Just(1.0)].boxed()),
        ]
    }

    proptest! {
        #[test]
        fn a_sum_by_blocks_has_the_bits_of_the_naive_one(terms in terms()) {
            let (mut sum, mut naive) = (OrderedSum(0.0), 0.0f32);
            for block in terms.chunks(BLOCK) {
                let mut whole = [0.0; BLOCK];
                whole[..block.len()].copy_from_slice(block);
                sum.add_block(&whole);
                naive = block.iter().fold(naive, |sum, term| sum + term);
                prop_assert_eq!(sum.0.to_bits(), naive.to_bits());
            }
        }

        #[test]
        fn probabilities_sums_and_positions_have_the_bits_of_the_naive_ones(
            logits in logits(),
            target in 0.0f32..1.0,
            cutoff in prop_oneof![1e-12f32..1e-3, 1e-7f32..1.0],
        ) {
            let mut naive = logits.clone();
            softmax(&mut naive);
            let mut cumulative = 0.0f32;
            let cumulative: Vec<f32> =
                naive.iter().map(|p| { cumulative += p; cumulative }).collect();
            let position = cumulative.iter().position(|&sum| target < sum);
            let kept: Vec<(usize, u32)> = (0..naive.len())
                .filter(|&index| naive[index] >= cutoff)
                .map(|index| (index, naive[index].to_bits()))
                .collect();
            for cpu in cpus() {
                let normalizer = Normalizer::of(cpu, &logits);
                for (&logit, p) in logits.iter().zip(&naive) {
                    let own = normalizer.probability(logit);
                    prop_assert!(own.to_bits() == p.to_bits() || (own.is_nan() && p.is_nan()));
                }
                let mass = normalizer.mass(cpu, &logits);
                let naive_mass = cumulative[cumulative.len() - 1];
                prop_assert!(mass == naive_mass || (mass.is_nan() && naive_mass.is_nan()));
                prop_assert_eq!(normalizer.position(cpu, &logits, target), position);
                let mut found = Vec::new();
                let each = |index, p: f32| found.push((index, p.to_bits()));
                normalizer.at_least(cpu, &logits, cutoff, each);
                prop_assert_eq!(&found, &kept);
            }
        }

        #[test]
        fn the_largest_is_that_of_the_naive_loop(
            mut logits in logits(),
            bad in prop_oneof![Just(None), (any::<usize>(), any::<bool>()).prop_map(Some)],
        ) {
            if let Some((place, nan)) = bad {
                let place = place % logits.len();
                logits[place] = if nan { f32::NAN } else { f32::INFINITY };
            }
            let mut best = (0, f32::NEG_INFINITY);
            for (index, &logit) in logits.iter().enumerate() {
                if logit > best.1 {
                    best = (index, logit);
                }
            }
            for cpu in cpus() {
                prop_assert_eq!(argmax(cpu, &logits), best.0);
                prop_assert_eq!(largest(cpu, &logits), best.1);
                prop_assert_eq!(are_numbers(cpu, &logits), bad.is_none());
                let mut copied = std::vec![0.0; logits.len()];
                prop_assert_eq!(copy(cpu, &logits, &mut copied), bad.is_none());
                prop_assert!(copied.iter().zip(&logits).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }

        #[test]
        fn divisions_are_those_of_the_naive_loop(logits in logits(), by in 1e-30f32..1e3) {
            for cpu in cpus() {
                let mut divided = logits.clone();
                divide(cpu, &mut divided, by);
                for (divided, logit) in divided.into_iter().zip(&logits) {
                    let naive = logit / by;
                    prop_assert!(divided == naive || (naive > f32::MAX && divided == f32::MAX));
                }
            }
        }
    }
}
