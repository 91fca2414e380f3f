//! Consoles: a terminal, or a pipe.

use anyhow::{Context, Result};
use bootllm_platform::{Console, Event, Events, Key, Size};
use bootllm_terminal::{KeyDecoder, WordWrap};
use crossterm::event::{
    self, Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use crossterm::terminal;
use std::collections::VecDeque;
use std::io::{IsTerminal, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Opens the console of standard input and output: the terminal, if there is one.
pub fn open_console() -> Result<Box<dyn Console>> {
    if std::io::stdin().is_terminal() {
        Ok(Box::new(TerminalConsole::open()?))
    } else {
        Ok(Box::new(PipeConsole::new()))
    }
}

/// A terminal in raw mode. The mode ends with the value.
struct TerminalConsole {
    wrap: WordWrap,
    wrapped: String,
}

impl TerminalConsole {
    fn open() -> Result<Self> {
        terminal::enable_raw_mode().context("the terminal")?;
        Ok(TerminalConsole { wrap: WordWrap::new(80), wrapped: String::new() })
    }
}

impl Drop for TerminalConsole {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
    }
}

impl Events for TerminalConsole {
    fn next(&mut self, wait: Option<Duration>) -> Event {
        loop {
            match event::poll(wait.unwrap_or(Duration::from_secs(3600))) {
                Ok(true) => {}
                Ok(false) if wait.is_none() => continue,
                Ok(false) => return Event::Timeout,
                Err(_) => return Event::Closed,
            }
            match event::read() {
                Ok(TerminalEvent::Key(event)) => {
                    if let Some(key) = key(event) {
                        return Event::Key(key);
                    }
                }
                Ok(_) => {}
                Err(_) => return Event::Closed,
            }
        }
    }
}

impl Console for TerminalConsole {
    fn write(&mut self, text: &str) {
        self.wrapped.clear();
        self.wrap.set_columns(self.size().columns);
        self.wrap.write(text, &mut self.wrapped);
        // In raw mode a line feed does not go back to the first column.
        let text = self.wrapped.replace('\n', "\r\n");
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }

    fn set_word_wrap(&mut self, on: bool) {
        self.wrap.set_on(on);
    }

    fn size(&self) -> Size {
        if !std::io::stdout().is_terminal() {
            return Size::UNLIMITED;
        }
        // A terminal whose size was never set reports 0.
        let size = terminal::size().ok().filter(|&(columns, rows)| columns > 0 && rows > 0);
        let (columns, rows) = size.unwrap_or((80, 24));
        Size { columns: columns.into(), rows: rows.into() }
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    Some(match event.code {
        KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::CONTROL) => {
            Key::Ctrl(c.to_ascii_lowercase())
        }
        KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::ALT) => Key::Alt(c),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Esc => Key::Escape,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return None,
    })
}

/// Bytes of standard input that are read ahead, in blocks.
const BLOCKS_AHEAD: usize = 16;
const BLOCK: usize = 4096;

/// Standard input and output that are no terminal: bytes in are keys, as on a serial line, and
/// nothing is wrapped or paged.
struct PipeConsole {
    decoder: KeyDecoder,
    input: Receiver<Vec<u8>>,
    block: VecDeque<u8>,
}

impl PipeConsole {
    fn new() -> Self {
        // A read cannot be given a time limit, so another thread does it.
        let (sender, input) = sync_channel(BLOCKS_AHEAD);
        std::thread::spawn(move || {
            let mut block = [0; BLOCK];
            while let Ok(length @ 1..) = std::io::stdin().read(&mut block) {
                if sender.send(block[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        PipeConsole { decoder: KeyDecoder::new(), input, block: VecDeque::new() }
    }
}

impl Events for PipeConsole {
    fn next(&mut self, wait: Option<Duration>) -> Event {
        // What is in a pipe is for the next question, never an interruption.
        if wait == Some(Duration::ZERO) {
            return Event::Timeout;
        }
        loop {
            if let Some(key) = self.decoder.next_key() {
                return Event::Key(key);
            }
            if let Some(byte) = self.block.pop_front() {
                self.decoder.push_byte(byte);
                continue;
            }
            let received = match wait {
                Some(wait) => self.input.recv_timeout(wait),
                None => self.input.recv().map_err(RecvTimeoutError::from),
            };
            match received {
                Ok(block) => self.block = block.into(),
                Err(RecvTimeoutError::Timeout) => return Event::Timeout,
                Err(RecvTimeoutError::Disconnected) if self.decoder.is_pending() => {
                    self.decoder.flush();
                }
                Err(RecvTimeoutError::Disconnected) => return Event::Closed,
            }
        }
    }
}

impl Console for PipeConsole {
    fn write(&mut self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }

    fn set_word_wrap(&mut self, _on: bool) {}

    fn size(&self) -> Size {
        Size::UNLIMITED
    }
}
