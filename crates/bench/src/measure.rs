//! How fast a model runs.

use crate::Limits;
use crate::progress::{Part, Progress, Watch, tell};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_cores::Cores;
use bootllm_engine::{KvFormat, LoadError, Model, Plan, RunError, Session, Times};
use bootllm_platform::Clock;
use bootllm_simd::ticks;
use core::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Tokens of a prompt, fed together.
    pub prefill: usize,
    /// Tokens fed one by one.
    pub decode: usize,
    /// How often at most; medians count.
    pub times: usize,
    /// No oftener than that, once it has taken so long.
    pub enough: Duration,
    /// In which form keys and values are kept.
    pub kv_format: KvFormat,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Tokens a second of the prompt, a figure each time.
    pub prefill: Vec<f64>,
    /// Tokens a second one by one, a figure each time.
    pub decode: Vec<f64>,
    /// Ticks of the CPU's counter for each of these, a figure each time; none if it has no counter.
    pub decode_ticks: Vec<f64>,
    /// Where the time went while feeding a prompt, once more.
    pub prefill_times: Times,
    /// And while feeding tokens one by one.
    pub decode_times: Times,
}

/// Why nothing could be measured.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MeasureError {
    /// There is no memory for a session.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The work does not fit the context.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The memory that is read cannot be allocated.
    #[error("cannot allocate {} MiB of memory in one piece to measure with", Limits::ROOM >> 20)]
    NoRoom,
    /// The user stopped it.
    #[error("measuring was stopped")]
    Stopped,
}

/// Bytes of memory that [`Limits::measure`] and then [`run`] take, beside a loaded model.
pub fn memory_needed(plan: &Plan, context: usize, kv_format: KvFormat) -> u64 {
    let session = plan.memory(context, kv_format);
    session.kv_cache.saturating_add(session.activations).max(Limits::ROOM as u64)
}

/// Measures a model on these cores, in a session of its own.
pub fn run(
    model: &Arc<Model>,
    cores: &dyn Cores,
    clock: &dyn Clock,
    work: Work,
    watch: Watch<'_>,
) -> Result<Measured, MeasureError> {
    let mut session = Session::with_kv_format(model, cores, work.kv_format)?;
    let vocabulary = model.shape().vocab_size as u32;
    let prompt: Vec<u32> = (0..work.prefill as u32).map(|i| i * 7 % vocabulary).collect();
    // Once before anything counts: pages are touched, cores wake up.
    session.prefill(&prompt[..prompt.len().min(8)])?;
    session.rewind(0);
    session.decode(0)?;
    let mut feeder = Feeder { session, clock, watch };
    let mut measured = Measured {
        prefill: vec![],
        decode: vec![],
        decode_ticks: vec![],
        prefill_times: Times::default(),
        decode_times: Times::default(),
    };
    let (times, mut all) = (work.times, Duration::ZERO);
    for time in 1..=times {
        tell(feeder.watch, Progress::Begun { part: Part::Prefill, time, times })?;
        let spent = feeder.prefill(&prompt)?;
        measured.prefill.push(work.prefill as f64 / spent.seconds());
        all += spent.time;
        tell(feeder.watch, Progress::Begun { part: Part::Decode, time, times })?;
        let spent = feeder.decode(work.decode, vocabulary)?;
        measured.decode.push(work.decode as f64 / spent.seconds());
        measured.decode_ticks.extend(spent.ticks_each(work.decode));
        all += spent.time;
        if all >= work.enough {
            break;
        }
    }
    tell(feeder.watch, Progress::Begun { part: Part::PrefillStages, time: 1, times: 1 })?;
    feeder.session.engine.measure(clock);
    feeder.prefill(&prompt)?;
    measured.prefill_times = feeder.session.engine.times();
    tell(feeder.watch, Progress::Begun { part: Part::DecodeStages, time: 1, times: 1 })?;
    feeder.session.engine.measure(clock);
    feeder.decode(work.decode, vocabulary)?;
    measured.decode_times = feeder.session.engine.times();
    Ok(measured)
}

/// Tokens of a prompt between two signs of progress: as many as a pass of the engine takes.
const CHUNK: usize = 96;

/// Feeds tokens and looks how long that takes. Who watches is told between them, on nobody's time.
struct Feeder<'a, 'w> {
    session: Session<'a>,
    clock: &'a dyn Clock,
    watch: Watch<'w>,
}

impl Feeder<'_, '_> {
    /// Feeds a prompt, many tokens at once.
    fn prefill(&mut self, prompt: &[u32]) -> Result<Spent, MeasureError> {
        self.session.rewind(0);
        let (mut spent, mut done) = (Spent::new(), 0);
        for tokens in prompt.chunks(CHUNK) {
            spent.on(self.clock, || self.session.prefill(tokens))?;
            done += tokens.len();
            tell(self.watch, Progress::Fed { done, total: prompt.len() })?;
        }
        Ok(spent)
    }

    /// Feeds tokens one by one.
    fn decode(&mut self, count: usize, vocabulary: u32) -> Result<Spent, MeasureError> {
        self.session.rewind(0);
        let mut spent = Spent::new();
        for i in 0..count {
            let token = i as u32 * 7 % vocabulary;
            spent.on(self.clock, || self.session.decode(token).map(drop))?;
            tell(self.watch, Progress::Fed { done: i + 1, total: count })?;
        }
        Ok(spent)
    }
}

/// What something took.
struct Spent {
    time: Duration,
    /// Ticks of the CPU's counter.
    ticks: Option<u64>,
}

impl Spent {
    fn new() -> Self {
        Spent { time: Duration::ZERO, ticks: ticks().map(|_| 0) }
    }

    /// Adds what this takes.
    fn on<E>(&mut self, clock: &dyn Clock, work: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let (start, first) = (clock.now(), ticks());
        let result = work();
        let (last, end) = (ticks(), clock.now());
        self.time += end.saturating_sub(start);
        if let (Some(all), Some(first), Some(last)) = (&mut self.ticks, first, last) {
            *all += last.saturating_sub(first);
        }
        result
    }

    /// Ticks for each of so many.
    fn ticks_each(&self, count: usize) -> Option<f64> {
        self.ticks.map(|ticks| ticks as f64 / count.max(1) as f64)
    }

    fn seconds(&self) -> f64 {
        self.time.max(Duration::from_nanos(1)).as_secs_f64()
    }
}

/// The one in the middle, or the mean of the two there; 0 of none.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(upper) = sorted.get(sorted.len() / 2) else { return 0.0 };
    (sorted[(sorted.len() - 1) / 2] + upper) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
    }
}
