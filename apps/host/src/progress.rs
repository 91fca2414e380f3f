//! Progress on standard error.

use std::io::{IsTerminal, Write};
use std::time::Duration;

/// A line on standard error that shows progress, if standard error is a terminal and the task
/// takes longer than a moment.
pub struct ProgressBar {
    what: String,
    visible: bool,
    shown: Option<Duration>,
}

/// Nothing is shown before this much time has passed.
const MOMENT: Duration = Duration::from_millis(300);
/// The least time between two updates.
const PAUSE: Duration = Duration::from_millis(100);

impl ProgressBar {
    /// A bar that is not shown yet.
    pub fn new(what: &str) -> Self {
        ProgressBar { what: what.into(), visible: std::io::stderr().is_terminal(), shown: None }
    }

    /// Continues with another task. Its name is shown at once, because its first progress may come late.
    pub fn switch_to(&mut self, what: String, time: Duration) {
        self.what = what;
        if time >= MOMENT {
            self.write(time, str::to_owned);
        }
    }

    /// Shows progress in bytes, at most ten times per second.
    pub fn show(&mut self, done: u64, total: u64, time: Duration) {
        self.show_line(time, |what| bootllm_units::progress_line(what, done, total, time, 80));
    }

    /// Shows progress in tokens.
    pub fn show_tokens(&mut self, done: usize, all: usize, time: Duration) {
        self.show_line(time, |what| bootllm_units::tokens_line(what, done, all));
    }

    fn show_line(&mut self, time: Duration, line: impl FnOnce(&str) -> String) {
        if time >= self.shown.map_or(MOMENT, |shown| shown + PAUSE) {
            self.write(time, line);
        }
    }

    fn write(&mut self, time: Duration, line: impl FnOnce(&str) -> String) {
        if self.visible {
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", line(&self.what));
            self.shown = Some(time);
        }
    }

    /// Removes the bar.
    pub fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
