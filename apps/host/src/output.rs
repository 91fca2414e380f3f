//! Standard output and standard error.

use anyhow::{Context, Result};
use std::io::Write;
use std::ops::ControlFlow;

/// Standard output, written piece by piece. After an error nothing more is written.
#[derive(Default)]
pub struct StdoutSink {
    error: Option<std::io::Error>,
}

impl StdoutSink {
    /// Writes a piece at once. `Break` means that no more can be written.
    pub fn show(&mut self, text: &str) -> ControlFlow<()> {
        let mut stdout = std::io::stdout().lock();
        if self.error.is_none() && !text.is_empty() {
            let result = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            self.error = result.err();
        }
        if self.error.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The first error. A closed pipe is not an error: the reader has seen enough, and the program exits.
    pub fn result(&mut self) -> Result<()> {
        match self.error.take() {
            Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            Some(error) => Err(error).context("standard output"),
            None => Ok(()),
        }
    }
}

/// Writes a line to standard output. (`println!` would panic if the pipe is closed.)
pub fn print_line(text: &str) -> Result<()> {
    let mut stdout = StdoutSink::default();
    let _ = stdout.show(&format!("{text}\n"));
    stdout.result()
}

/// Writes a line to standard error. If that fails, there is nowhere to report it.
pub fn eprint_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
