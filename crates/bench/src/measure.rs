//! How fast a model runs.

use crate::progress::{BenchPhase, BenchProgress, OnProgress, report};
use crate::{Limits, Samples};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_cores::Cores;
use bootllm_engine::{KvFormat, LoadError, Model, Plan, RunError, Session, Times};
use bootllm_platform::Clock;
use bootllm_simd::ticks;
use core::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Tokens of the prompt.
    pub prefill: usize,
    /// Tokens that are decoded one by one.
    pub decode: usize,
    /// Repetitions, at most.
    pub repetitions: usize,
    /// No further repetition begins after this much time.
    pub enough: Duration,
    /// The format of keys and values.
    pub kv_format: KvFormat,
}

/// How fast a model ran. A sample is left out where nothing was fed or the clock stood still.
#[derive(Clone, Debug, Default)]
pub struct Speeds {
    /// Tokens per second of the prompt.
    pub prefill: Samples,
    /// Tokens per second of decoding.
    pub decode: Samples,
    /// Ticks of the CPU's time-stamp counter per decoded token; empty if there is no such counter.
    pub decode_ticks: Samples,
    /// Where the time went in one more prompt.
    pub prefill_times: Times,
    /// Where the time went in one more decoding.
    pub decode_times: Times,
}

/// Why nothing could be measured.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MeasureError {
    /// The session cannot be allocated.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The workload does not fit the context.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The buffer that memory bandwidth is measured with cannot be allocated.
    #[error("cannot allocate {} MiB in one piece to measure memory with", Limits::BUFFER_BYTES >> 20)]
    OutOfMemory,
    /// The user stopped it.
    #[error("measuring was stopped")]
    Stopped,
}

/// Bytes that [`Limits::measure`] and then [`measure_speed`] take, beside a loaded model.
pub fn memory_needed(plan: &Plan, context: usize, kv_format: KvFormat) -> u64 {
    let session = plan.memory(context, kv_format);
    session.kv_cache.saturating_add(session.activations).max(Limits::BUFFER_BYTES as u64)
}

/// Measures a model on these cores, in a session of its own.
///
/// # Errors
/// [`MeasureError`].
pub fn measure_speed(
    model: &Arc<Model>,
    cores: &dyn Cores,
    clock: &dyn Clock,
    workload: Workload,
    on_progress: OnProgress<'_>,
) -> Result<Speeds, MeasureError> {
    let mut session = Session::with_kv_format(model, cores, workload.kv_format)?;
    let vocabulary = model.shape().vocab_size as u32;
    let prompt: Vec<u32> = (0..workload.prefill as u32).map(|i| i * 7 % vocabulary).collect();
    // Warm up: touch the pages, wake the cores.
    session.prefill(&prompt[..prompt.len().min(8)])?;
    session.rewind(0);
    session.decode(0)?;
    let mut feeder = Feeder { session, clock, on_progress };
    let mut speeds = Speeds::default();
    let (repetitions, mut all) = (workload.repetitions, Duration::ZERO);
    for repetition in 1..=repetitions {
        feeder.begin(BenchPhase::Prefill, repetition, repetitions)?;
        let spent = feeder.prefill(&prompt)?;
        speeds.prefill.0.extend(spent.tokens_per_second(workload.prefill));
        all += spent.time;
        feeder.begin(BenchPhase::Decode, repetition, repetitions)?;
        let spent = feeder.decode(workload.decode, vocabulary)?;
        speeds.decode.0.extend(spent.tokens_per_second(workload.decode));
        speeds.decode_ticks.0.extend(spent.ticks_per_token(workload.decode));
        all += spent.time;
        if all >= workload.enough {
            break;
        }
    }
    feeder.begin(BenchPhase::PrefillStages, 1, 1)?;
    feeder.session.engine.measure(clock);
    feeder.prefill(&prompt)?;
    speeds.prefill_times = feeder.session.engine.times();
    feeder.begin(BenchPhase::DecodeStages, 1, 1)?;
    feeder.session.engine.measure(clock);
    feeder.decode(workload.decode, vocabulary)?;
    speeds.decode_times = feeder.session.engine.times();
    Ok(speeds)
}

/// Tokens of a prompt between two reports of progress: as many as a pass of the engine takes.
const CHUNK: usize = 96;

/// Feeds tokens and times that. Progress is reported in between, off the clock.
struct Feeder<'a, 'w> {
    session: Session<'a>,
    clock: &'a dyn Clock,
    on_progress: OnProgress<'w>,
}

impl Feeder<'_, '_> {
    fn begin(
        &mut self,
        phase: BenchPhase,
        repetition: usize,
        repetitions: usize,
    ) -> Result<(), MeasureError> {
        report(self.on_progress, BenchProgress::Begun { phase, repetition, repetitions })
    }

    /// Feeds a prompt.
    fn prefill(&mut self, prompt: &[u32]) -> Result<Spent, MeasureError> {
        self.session.rewind(0);
        let (mut spent, mut done) = (Spent::new(), 0);
        for tokens in prompt.chunks(CHUNK) {
            spent.add(self.clock, || self.session.prefill(tokens))?;
            done += tokens.len();
            report(self.on_progress, BenchProgress::Fed { done, total: prompt.len() })?;
        }
        Ok(spent)
    }

    /// Feeds tokens one by one.
    fn decode(&mut self, count: usize, vocabulary: u32) -> Result<Spent, MeasureError> {
        self.session.rewind(0);
        let mut spent = Spent::new();
        for i in 0..count {
            let token = i as u32 * 7 % vocabulary;
            spent.add(self.clock, || self.session.decode(token).map(drop))?;
            report(self.on_progress, BenchProgress::Fed { done: i + 1, total: count })?;
        }
        Ok(spent)
    }
}

/// The time that something took.
struct Spent {
    time: Duration,
    /// Ticks of the CPU's time-stamp counter.
    ticks: Option<u64>,
}

impl Spent {
    fn new() -> Self {
        Spent { time: Duration::ZERO, ticks: ticks().map(|_| 0) }
    }

    /// Adds the time that `work` takes.
    fn add<E>(&mut self, clock: &dyn Clock, work: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let (start, first) = (clock.now(), ticks());
        let result = work();
        let (last, end) = (ticks(), clock.now());
        self.time += end.saturating_sub(start);
        if let (Some(all), Some(first), Some(last)) = (&mut self.ticks, first, last) {
            *all += last.saturating_sub(first);
        }
        result
    }

    fn ticks_per_token(&self, tokens: usize) -> Option<f64> {
        self.ticks.filter(|_| tokens > 0).map(|ticks| ticks as f64 / tokens as f64)
    }

    fn tokens_per_second(&self, tokens: usize) -> Option<f64> {
        let measured = tokens > 0 && !self.time.is_zero();
        measured.then(|| tokens as f64 / self.time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_that_was_not_measured_is_left_out() {
        let spent = |nanos| Spent { time: Duration::from_nanos(nanos), ticks: Some(90) };
        assert_eq!(spent(1_000_000).tokens_per_second(2), Some(2000.0));
        assert_eq!(spent(0).tokens_per_second(2), None);
        assert_eq!(spent(0).tokens_per_second(0), None);
        assert_eq!((spent(1).ticks_per_token(3), spent(1).ticks_per_token(0)), (Some(30.0), None));
    }
}
