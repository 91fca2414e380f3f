//! The console, with what is typed ahead kept for the next prompt.

use alloc::collections::VecDeque;
use alloc::string::String;
use bootllm_platform::{Console, Input, Key, Size};
use bootllm_terminal::{Edit, LineEditor};
use core::ops::ControlFlow;
use core::time::Duration;

/// Keys that are kept while nobody asks for them.
const TYPED_AHEAD: usize = 512;

/// What came of asking for a line.
pub(crate) enum Typed {
    /// The line.
    Line(String),
    /// The person gave it up.
    Cancelled,
    /// Nothing will be typed any more.
    End,
}

/// The console that the person sits at.
pub(crate) struct Terminal<'a> {
    console: &'a mut dyn Console,
    ahead: VecDeque<Key>,
    closed: bool,
}

impl<'a> Terminal<'a> {
    pub(crate) fn new(console: &'a mut dyn Console) -> Self {
        console.set_word_wrap(true);
        Terminal { console, ahead: VecDeque::with_capacity(TYPED_AHEAD), closed: false }
    }

    pub(crate) fn size(&self) -> Size {
        self.console.size()
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.console.write(text);
    }

    /// Figures and remarks, less bright than the text itself.
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

    /// The next key, one typed ahead first.
    pub(crate) fn key(&mut self, wait: Option<Duration>) -> Input {
        match self.ahead.pop_front() {
            Some(key) => Input::Key(key),
            None if self.closed => Input::Closed,
            None => self.console.read_key(wait),
        }
    }

    /// Whether to go on, or the person has pressed Esc or Ctrl+C since this was last asked. Other
    /// keys are kept for the next prompt.
    pub(crate) fn go_on(&mut self) -> ControlFlow<()> {
        while !self.closed {
            match self.console.read_key(Some(Duration::ZERO)) {
                Input::Key(Key::Escape | Key::Ctrl('c')) => {
                    self.ahead.clear();
                    return ControlFlow::Break(());
                }
                Input::Key(key) if self.ahead.len() < TYPED_AHEAD => self.ahead.push_back(key),
                Input::Key(_) => {}
                Input::Nothing => break,
                Input::Closed => self.closed = true,
            }
        }
        ControlFlow::Continue(())
    }

    /// Forgets the keys that are kept for the next prompt.
    pub(crate) fn forget_typed(&mut self) {
        self.ahead.clear();
    }

    /// Lets the person type a line.
    pub(crate) fn line(&mut self, editor: &mut LineEditor, prompt: &str) -> Typed {
        self.console.set_word_wrap(false);
        let typed = self.edit(editor, prompt);
        self.console.set_word_wrap(true);
        typed
    }

    fn edit(&mut self, editor: &mut LineEditor, prompt: &str) -> Typed {
        let mut out = String::new();
        editor.begin(prompt, self.size(), &mut out);
        self.console.write(&out);
        loop {
            let Input::Key(key) = self.key(None) else {
                return Typed::End;
            };
            out.clear();
            let edit = editor.key(key, &mut out);
            self.console.write(&out);
            match edit {
                Edit::Continue => {}
                Edit::Line(line) => return Typed::Line(line),
                Edit::Cancelled => return Typed::Cancelled,
                Edit::EndOfInput => return Typed::End,
            }
        }
    }
}
