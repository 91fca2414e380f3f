//! How fast a model runs.

use alloc::vec;
use alloc::vec::Vec;
use bootllm_cores::Cores;
use bootllm_engine::{KvFormat, LoadError, Model, Session, SessionError, Times};
use bootllm_platform::Clock;
use core::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Tokens of a prompt, fed together.
    pub prefill: usize,
    /// Tokens fed one by one.
    pub decode: usize,
    /// How often; medians count.
    pub times: usize,
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
    /// Where the time went while feeding a prompt, once more.
    pub prefill_times: Times,
    /// And while feeding tokens one by one.
    pub decode_times: Times,
}

/// Why nothing could be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// There is no memory for a session.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The work does not fit into the context.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Measures a model on these cores.
pub fn run(
    model: &Model,
    cores: &dyn Cores,
    clock: &dyn Clock,
    work: Work,
) -> Result<Measured, MeasureError> {
    let mut session = Session::with_cache(model, cores, work.kv_format)?;
    let vocabulary = model.config().vocab_size as u32;
    let prompt: Vec<u32> = (0..work.prefill as u32).map(|i| i * 7 % vocabulary).collect();
    let mut measured = Measured {
        prefill: vec![],
        decode: vec![],
        prefill_times: Times::default(),
        decode_times: Times::default(),
    };
    // Once before anything counts: pages are touched, cores wake up.
    feed(&mut session, &prompt[..prompt.len().min(8)])?;
    one_by_one(&mut session, work.decode.min(4), vocabulary)?;
    for _ in 0..work.times {
        let time = timed(clock, || feed(&mut session, &prompt))?;
        measured.prefill.push(work.prefill as f64 / time);
        let time = timed(clock, || one_by_one(&mut session, work.decode, vocabulary))?;
        measured.decode.push(work.decode as f64 / time);
    }
    session.measure(clock);
    feed(&mut session, &prompt)?;
    measured.prefill_times = session.times();
    session.measure(clock);
    one_by_one(&mut session, work.decode, vocabulary)?;
    measured.decode_times = session.times();
    Ok(measured)
}

fn feed(session: &mut Session<'_>, prompt: &[u32]) -> Result<(), SessionError> {
    session.rewind(0);
    session.prefill(prompt)
}

fn one_by_one(
    session: &mut Session<'_>,
    count: usize,
    vocabulary: u32,
) -> Result<(), SessionError> {
    session.rewind(0);
    (0..count as u32).try_for_each(|i| session.decode(i * 7 % vocabulary).map(drop))
}

fn timed<E>(clock: &dyn Clock, work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let start = clock.now();
    work()?;
    let time = clock.now().saturating_sub(start);
    Ok(time.max(Duration::from_nanos(1)).as_secs_f64())
}

/// The one in the middle; 0 of none.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
