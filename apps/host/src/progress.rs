//! How far something has come.

use bootllm_chat::report;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// A line on standard error that shows how far something has come, if a person can see it and
/// waits for longer than a moment.
pub struct ProgressBar {
    what: &'static str,
    visible: bool,
    shown: Option<Duration>,
}

impl ProgressBar {
    /// A bar that is not shown yet.
    pub fn new(what: &'static str) -> Self {
        ProgressBar { what, visible: std::io::stderr().is_terminal(), shown: None }
    }

    /// Shows the bar, at most ten times a second.
    pub fn show(&mut self, done: u64, total: u64, time: Duration) {
        self.show_line(time, |what| report::progress(what, done, total, time, 80));
    }

    /// The same for tokens that are read.
    pub fn show_tokens(&mut self, done: usize, all: usize, time: Duration) {
        self.show_line(time, |what| report::tokens_progress(what, done, all));
    }

    fn show_line(&mut self, time: Duration, line: impl FnOnce(&str) -> String) {
        let due = self.shown.unwrap_or(Duration::from_millis(200)) + Duration::from_millis(100);
        if self.visible && time >= due {
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", line(self.what));
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
