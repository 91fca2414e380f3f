//! Standard output.

use anyhow::{Context, Result};
use std::io::Write;
use std::ops::ControlFlow;

/// Standard output, piece by piece. After an error nothing more is written.
#[derive(Default)]
pub struct Output {
    error: Option<std::io::Error>,
}

impl Output {
    /// Writes a piece at once; says whether to go on.
    pub fn show(&mut self, text: &str) -> ControlFlow<()> {
        let mut stdout = std::io::stdout().lock();
        if self.error.is_none() && !text.is_empty() {
            let result = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            self.error = result.err();
        }
        if self.error.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The first error. A reader who has seen enough is none: it ends the program.
    pub fn result(&mut self) -> Result<()> {
        match self.error.take() {
            Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            Some(error) => Err(error).context("standard output"),
            None => Ok(()),
        }
    }
}

/// Writes a text and a line end. (`println!` would panic where nobody reads any more.)
pub fn print_line(text: &str) -> Result<()> {
    let mut output = Output::default();
    let _ = output.show(&format!("{text}\n"));
    output.result()
}

/// Writes a line to standard error. Where that cannot be written, there is nobody to tell.
pub fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
