//! The console, with what is typed ahead kept for the next prompt.

use crate::typed_ahead::TypedAhead;
use alloc::format;
use alloc::string::String;
use bootllm_platform::{Clock, Console, Event, Key, Size};
use bootllm_terminal::{Edit, LineEditor};
use core::ops::ControlFlow;
use core::time::Duration;

/// The time between two looks for keys while the program works: looking takes time, too.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The user's console.
pub(crate) struct Terminal<'a> {
    console: &'a mut dyn Console,
    clock: &'a dyn Clock,
    ahead: TypedAhead,
    closed: bool,
    /// When keys were last looked for while the program works.
    looked: Duration,
}

impl<'a> Terminal<'a> {
    pub(crate) fn new(console: &'a mut dyn Console, clock: &'a dyn Clock) -> Self {
        console.set_word_wrap(true);
        let ahead = TypedAhead::new();
        Terminal { console, clock, ahead, closed: false, looked: Duration::ZERO }
    }

    pub(crate) fn clock(&self) -> &'a dyn Clock {
        self.clock
    }

    pub(crate) fn size(&self) -> Size {
        self.console.size()
    }

    /// Whether what is overwritten on the console vanishes, as it does not in a file.
    pub(crate) fn is_screen(&self) -> bool {
        self.size() != Size::UNLIMITED
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.console.write(text);
    }

    /// Whether no key will come any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes text of a model. Control characters but line feeds and tabs are left out: they would
    /// do things to the console.
    pub(crate) fn write_text(&mut self, text: &str) {
        let is_foreign = |c: char| c.is_control() && c != '\n' && c != '\t';
        for part in text.split(is_foreign).filter(|part| !part.is_empty()) {
            self.console.write(part);
        }
    }

    /// Writes figures and remarks, less bright than the text itself.
    pub(crate) fn quiet(&mut self, text: &str) {
        let body = text.trim_end_matches('\n');
        self.console.write("\x1b[2m");
        self.console.write(body);
        self.console.write("\x1b[0m");
        self.console.write(&text[body.len()..]);
    }

    /// Says what went wrong.
    pub(crate) fn problem(&mut self, message: &str) {
        self.console.write("\x1b[91m");
        self.console.write(message);
        self.console.write("\x1b[0m\n");
    }

    /// Returns the next key, one typed ahead first.
    pub(crate) fn next(&mut self, wait: Option<Duration>) -> Event {
        match self.ahead.pop() {
            Some(key) => Event::Key(key),
            None if self.closed => Event::Closed,
            None => self.console.next(wait),
        }
    }

    /// Returns Esc or Ctrl+C, as [`Key::Escape`], if the user pressed one since this was last called;
    /// it looks for `pause` at most. Other keys are kept for the next prompt, and returned too.
    pub(crate) fn poll(&mut self, pause: Duration) -> Event {
        let now = self.clock.now();
        if self.closed || pause.is_zero() && now.saturating_sub(self.looked) < LOOK_EVERY {
            return Event::Timeout;
        }
        self.looked = now;
        let (mut wait, mut last) = (pause, Event::Timeout);
        loop {
            match self.console.next(Some(wait)) {
                Event::Key(Key::Escape | Key::Ctrl('c')) => {
                    self.ahead.clear();
                    return Event::Key(Key::Escape);
                }
                Event::Key(key) => {
                    self.ahead.push(key);
                    (wait, last) = (Duration::ZERO, Event::Key(key));
                }
                Event::Timeout => return last,
                Event::Closed => {
                    self.closed = true;
                    return last;
                }
            }
        }
    }

    /// Breaks if the user has pressed Esc or Ctrl+C: an interrupt for the engine.
    pub(crate) fn poll_cancel(&mut self) -> ControlFlow<()> {
        match self.poll(Duration::ZERO) {
            Event::Key(Key::Escape) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Takes back the last key that was kept, if it is this one.
    pub(crate) fn forget_last(&mut self, key: Key) {
        self.ahead.forget_last(key);
    }

    /// Forgets the keys that are kept for the next prompt.
    pub(crate) fn forget_typed(&mut self) {
        self.ahead.clear();
    }

    /// Starts a line that the user types, in bold, to tell it from what the program writes.
    pub(crate) fn begin_line(&mut self, editor: &mut LineEditor, prompt: &str) {
        if let Some(lines) = self.ahead.take_dropped() {
            let lines = if lines == 1 { "1 line".into() } else { format!("{lines} lines") };
            self.problem(&format!(
                "{lines} typed meanwhile did not fit the memory for that and cannot be used; type \
                 the last part again"
            ));
        }
        self.console.set_word_wrap(false);
        let mut out = String::new();
        editor.begin(&format!("\x1b[1m{prompt}"), self.size(), &mut out);
        self.console.write(&out);
    }

    /// Takes a key of the line. Anything but [`Edit::Continue`] ends it, with the cursor at its end.
    pub(crate) fn edit_line(&mut self, editor: &mut LineEditor, key: Key) -> Edit {
        let mut out = String::new();
        let edit = editor.key(key, &mut out);
        self.console.write(&out);
        if edit != Edit::Continue {
            self.end_line();
        }
        edit
    }

    /// Ends a line without a key.
    pub(crate) fn end_line(&mut self) {
        self.console.write("\x1b[0m");
        self.console.set_word_wrap(true);
    }

    /// Goes to a new row after a line.
    pub(crate) fn leave_row(&mut self, editor: &LineEditor) {
        let mut out = String::new();
        editor.leave_row(&mut out);
        self.console.write(&out);
    }
}
