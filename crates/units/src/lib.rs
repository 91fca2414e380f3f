#![no_std]
#![forbid(unsafe_code)]
//! Numbers for people: bytes, counts, durations, rates, and progress in one line.
//!
//! ```
//! assert_eq!(bootllm_units::bytes(37_400_000), "37.4 MB");
//! assert_eq!(bootllm_units::count(15_191_712), "15.2 M");
//! ```

extern crate alloc;

use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// Bytes: `37.4 MB`. 1 MB is 10^6 bytes, as on the label of a disk.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".into(),
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// A count: `1.2 M`.
pub fn count(count: u64) -> String {
    match count {
        0..1_000 => format!("{count}"),
        1_000..1_000_000 => format!("{:.1} k", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", count as f64 / 1e6),
        _ => format!("{:.2} G", count as f64 / 1e9),
    }
}

/// A whole number with separators: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = format!("{number}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration: `3.2 ms`, `0.42 s`, `12.3 s`.
pub fn duration(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 10.0 => format!("{seconds:.2} s"),
        seconds => format!("{seconds:.1} s"),
    }
}

/// Cores that compute: `1 core`, `4 cores`.
pub fn cores_phrase(count: usize) -> String {
    if count == 1 { "1 core".into() } else { format!("{count} cores") }
}

/// Cores of a machine: `4`, or `4 (8 threads)` if they run more threads than one each.
pub fn cores(cores: usize, threads: usize) -> String {
    match threads > cores {
        true => format!("{cores} ({threads} threads)"),
        false => format!("{cores}"),
    }
}

/// `count` per second; 0 if no time passed.
pub fn rate(count: f64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

/// Progress of a long transfer in one line of at most `columns` characters: what it is, a bar, the
/// share, bytes and speed.
pub fn progress_line(what: &str, done: u64, total: u64, time: Duration, columns: usize) -> String {
    let share = if total == 0 { 1.0 } else { done as f64 / total as f64 };
    let speed = rate(done as f64, time) as u64;
    let figures = format!(
        " {:3.0} %  {} of {}  {}/s",
        100.0 * share,
        bytes(done),
        bytes(total),
        bytes(speed)
    );
    // The brackets take two columns, and the last column stays free so that no terminal wraps.
    let width = columns.saturating_sub(what.len() + figures.chars().count() + 4).min(40);
    let filled = ((width as f64 * share) as usize).min(width);
    format!("{what} [{:=<filled$}{:width$}]{figures}", "", "", width = width - filled)
}

/// Progress through tokens in one line: `reading: 40 of 96 tokens`.
pub fn tokens_line(what: &str, done: usize, total: usize) -> String {
    format!("{what}: {done} of {total} tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_unit_that_fits() {
        for (number, expected) in
            [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1_000, "1.0 kB")]
        {
            assert_eq!(bytes(number), expected);
        }
        assert_eq!(bytes(1_500_000), "1.5 MB");
        assert_eq!(bytes(4_294_967_296), "4.29 GB");
        assert_eq!(count(999), "999");
        assert_eq!(count(2_500_000_000), "2.50 G");
        assert_eq!(duration(Duration::from_micros(3200)), "3.2 ms");
        assert_eq!(duration(Duration::from_millis(420)), "0.42 s");
        assert_eq!(duration(Duration::from_secs(12)), "12.0 s");
        assert_eq!(cores(4, 4), "4");
        assert_eq!(rate(10.0, Duration::ZERO), 0.0);
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (412_345, "412,345")] {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn a_progress_line_fits_its_columns() {
        for columns in [0, 40, 80, 200] {
            for done in [0, 1, 500_000_000, 1_000_000_000] {
                let line =
                    progress_line("loading", done, 1_000_000_000, Duration::from_secs(1), columns);
                assert!(columns < 60 || line.chars().count() < columns, "{line}");
            }
        }
    }
}
