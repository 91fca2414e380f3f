//! The console: the screen and all serial lines at once.

mod keys;
mod screen;
mod serial;
mod text;

use super::clock::TickClock;
use super::has_text_output;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_platform::{Console, Event, Events, Fact, Size};
use core::time::Duration;
use keys::Keyboard;
use screen::ScreenOutput;
use serial::SerialLines;
use text::TextOutput;
use uefi::system;

/// The size of a serial terminal that does not report it: that of a VT100.
const SERIAL_SIZE: Size = Size { columns: 80, rows: 24 };

/// Everything that text is shown on and keys come from.
pub struct FirmwareConsole<'a> {
    clock: &'a TickClock,
    keys: Keyboard,
    screen: Option<ScreenOutput>,
    serial: SerialLines,
    /// Only where there is nothing else.
    text: Option<TextOutput>,
}

impl<'a> FirmwareConsole<'a> {
    /// Takes the console over from the firmware.
    pub fn open(clock: &'a TickClock) -> Self {
        if has_text_output() {
            system::with_stdout(|out| {
                let _ = out.clear();
                let _ = out.enable_cursor(false);
            });
        }
        let mut console = Self {
            clock,
            keys: Keyboard::open(),
            screen: ScreenOutput::open(),
            serial: SerialLines::open(),
            text: None,
        };
        console.open_text_if_needed();
        // The answer comes among the keys.
        console.serial.ask_size(clock);
        console
    }

    /// Falls back to the firmware's text console if nothing else is left.
    fn open_text_if_needed(&mut self) {
        if self.screen.is_none() && !self.serial.any() && self.text.is_none() {
            self.text = TextOutput::open();
        }
    }

    /// Whether there is a screen, rather than a serial terminal alone.
    pub fn has_screen(&self) -> bool {
        self.screen.is_some()
    }

    /// What it consists of.
    pub fn facts(&self) -> Vec<Fact> {
        let none = Fact { label: "screen", value: "none".into() };
        vec![
            self.screen.as_ref().map_or(none, ScreenOutput::fact),
            Fact { label: "serial lines", value: self.serial.in_words() },
        ]
    }

    /// Gives the console back to the firmware, as it was.
    pub fn close(self) {
        if has_text_output() {
            system::with_stdout(|out| {
                let _ = out.reset(false);
                let _ = out.clear();
                let _ = out.enable_cursor(true);
            });
        }
    }
}

impl Events for FirmwareConsole<'_> {
    fn next(&mut self, wait: Option<Duration>) -> Event {
        let event = self.keys.next(wait, self.clock);
        let terminal = self.keys.terminal_in_use(SERIAL_SIZE).unwrap_or(SERIAL_SIZE);
        self.serial.set_columns(terminal.columns);
        event
    }
}

impl Console for FirmwareConsole<'_> {
    fn set_word_wrap(&mut self, on: bool) {
        if let Some(screen) = &mut self.screen {
            screen.set_word_wrap(on);
        }
        self.serial.set_word_wrap(on);
        if let Some(output) = &mut self.text {
            output.set_word_wrap(on);
        }
        // A line is about to be edited, for which the terminal may have been resized or connected.
        if !on {
            self.serial.ask_size(self.clock);
        }
    }

    fn write(&mut self, text: &str) {
        if let Some(screen) = &mut self.screen {
            screen.write(text);
        }
        self.serial.write(text, self.clock);
        self.open_text_if_needed();
        if let Some(output) = &mut self.text {
            output.write(text);
        }
    }

    fn size(&self) -> Size {
        // A serial port that nobody uses decides nothing.
        let terminal = self.keys.terminal_in_use(SERIAL_SIZE).filter(|_| self.serial.any());
        let sizes = [
            self.screen.as_ref().map(ScreenOutput::size),
            terminal,
            self.text.as_ref().map(TextOutput::size),
        ];
        // What is shown on all of them must fit each.
        sizes
            .into_iter()
            .flatten()
            .reduce(|a, b| Size { columns: a.columns.min(b.columns), rows: a.rows.min(b.rows) })
            .unwrap_or(SERIAL_SIZE)
    }
}
