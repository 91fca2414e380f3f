//! Esc and Ctrl+C during an answer.

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use std::borrow::Cow;
use std::io::IsTerminal;
use std::time::Duration;

/// The keys that stop an answer; none if standard input is not a terminal. The terminal is in raw
/// mode as long as this value lives.
pub struct StopKeys {
    raw: bool,
}

impl StopKeys {
    /// Enters raw mode.
    pub fn watch() -> Self {
        StopKeys { raw: std::io::stdin().is_terminal() && terminal::enable_raw_mode().is_ok() }
    }

    /// Whether Esc or Ctrl+C was pressed since the last call. Other keys are dropped.
    pub fn pressed(&self) -> bool {
        let mut stop = false;
        while self.raw && event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(Event::Key(key)) = event::read() else { continue };
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            stop |= key.kind != KeyEventKind::Release
                && (key.code == KeyCode::Esc || control && key.code == KeyCode::Char('c'));
        }
        stop
    }

    /// The text to write to the terminal: in raw mode a line feed does not return to the first column.
    pub fn shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.raw && std::io::stdout().is_terminal() {
            true => text.replace('\n', "\r\n").into(),
            false => text.into(),
        }
    }
}

impl Drop for StopKeys {
    fn drop(&mut self) {
        if self.raw {
            let _ = terminal::disable_raw_mode();
        }
    }
}
