//! How far something has come.

use std::io::{IsTerminal, Write};
use std::time::Duration;

/// A line on standard error that shows how far something has come, if a person can see it and
/// waits for longer than a moment.
pub struct ProgressBar {
    what: String,
    visible: bool,
    shown: Option<Duration>,
}

/// Who waits no longer than this is shown nothing.
const MOMENT: Duration = Duration::from_millis(300);
/// What changes all the time is shown as often.
const PAUSE: Duration = Duration::from_millis(100);

impl ProgressBar {
    /// A bar that is not shown yet.
    pub fn new(what: &str) -> Self {
        ProgressBar { what: what.into(), visible: std::io::stderr().is_terminal(), shown: None }
    }

    /// Goes over to something else. That is shown at once, for how far it is may be known late.
    pub fn go_over_to(&mut self, what: String, time: Duration) {
        self.what = what;
        if time >= MOMENT {
            self.write(time, str::to_owned);
        }
    }

    /// Shows the bar, at most ten times a second.
    pub fn show(&mut self, done: u64, total: u64, time: Duration) {
        self.show_line(time, |what| bootllm_units::progress_line(what, done, total, time, 80));
    }

    /// The same for tokens that are read.
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

    /// Takes the bar away again.
    pub fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
