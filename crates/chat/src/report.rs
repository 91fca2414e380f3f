//! Figures in words.

use crate::{End, Report, checksum};
use alloc::format;
use alloc::string::String;
use bootllm_sampling::likeliest;
use core::fmt::Write;
use core::time::Duration;

/// Bytes as a person reads them: `37.4 MB` (1 MB = 10^6 bytes, as disks are sold).
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// Cores that compute: `1 core`, `4 cores`.
pub fn computing(count: usize) -> String {
    if count == 1 { "1 core".into() } else { format!("{count} cores") }
}

/// A count as a person reads it: `1.2 M`.
pub fn count(count: u64) -> String {
    match count {
        0..1_000 => format!("{count}"),
        1_000..1_000_000 => format!("{:.1} k", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", count as f64 / 1e6),
        _ => format!("{:.2} G", count as f64 / 1e9),
    }
}

/// A time as a person reads it: `3.2 ms`, `0.42 s`, `12.3 s`.
pub fn duration(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 10.0 => format!("{seconds:.2} s"),
        seconds => format!("{seconds:.1} s"),
    }
}

/// Cores as a person reads them: `4`, or `4 (8 threads)` if they run more threads than one each.
pub fn cores(cores: usize, threads: usize) -> String {
    match threads > cores {
        true => format!("{cores} ({threads} threads)"),
        false => format!("{cores}"),
    }
}

/// So many of something in so much time.
pub fn rate(count: f64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

/// How far something long has come, in one line of `columns` characters or less: a bar, the share,
/// the bytes and the speed.
pub fn progress(what: &str, done: u64, total: u64, time: Duration, columns: usize) -> String {
    let share = if total == 0 { 1.0 } else { done as f64 / total as f64 };
    let speed = rate(done as f64, time) as u64;
    let figures = format!(
        " {:3.0} %  {} of {}  {}/s",
        100.0 * share,
        bytes(done),
        bytes(total),
        bytes(speed)
    );
    // The brackets take two columns, and the last stays free so that no terminal wraps.
    let width = columns.saturating_sub(what.len() + figures.chars().count() + 4).min(40);
    let filled = ((width as f64 * share) as usize).min(width);
    format!("{what} [{:=<filled$}{:width$}]{figures}", "", "", width = width - filled)
}

/// How many tokens of a long text have been read, in a line of at most 80 characters.
pub fn tokens_progress(what: &str, done: usize, all: usize) -> String {
    format!("{what}: {done} of {all} tokens")
}

/// The figures of a text in one line, prompt and generation apart.
pub fn summary(report: &Report) -> String {
    let mut line = format!(
        "prompt {} tokens, {:.1} tok/s · generated {} tokens",
        report.prompt_tokens,
        rate(report.prompt_tokens as f64, report.prompt_time),
        report.generated,
    );
    if report.decoded > 0 {
        let _ = write!(line, ", {:.1} tok/s", rate(report.decoded as f64, report.decode_time));
    }
    if report.generated > 0 {
        let _ = write!(line, " · first after {}", duration(report.prompt_time));
    }
    if report.end == End::Stopped {
        line.push_str(" · stopped");
    }
    line
}

/// A position's logits in one line: the token fed, the likeliest next one, the first ten values,
/// and a checksum of all of them. Values are shown with as many digits as tell a number from its
/// neighbours, so two lines are equal only if the logits are equal to the bit.
pub fn logits(position: usize, token: u32, logits: &[f32]) -> String {
    let mut line = format!("pos={position} token={token} argmax={}", likeliest(logits));
    let _ = write!(line, " checksum={:016x} logits[0..10]:", checksum(logits));
    for logit in logits.iter().take(10) {
        let _ = write!(line, " {logit}");
    }
    line
}
