//! The console, with what is typed ahead kept for the next prompt.

use crate::typed_ahead::TypedAhead;
use alloc::format;
use alloc::string::String;
use bootllm_platform::{Console, Event, Key, Size};
use bootllm_terminal::{Edit, LineEditor, WordWrap};
use core::ops::ControlFlow;
use core::time::Duration;

/// What came of asking for a line.
pub(crate) enum LineInput {
    /// The line. The cursor is at its end.
    Line(String),
    /// The user gave it up.
    Cancelled,
    /// No more keys will come.
    End,
}

/// The user's console.
pub(crate) struct Terminal<'a> {
    console: &'a mut dyn Console,
    ahead: TypedAhead,
    closed: bool,
}

impl<'a> Terminal<'a> {
    pub(crate) fn new(console: &'a mut dyn Console) -> Self {
        console.set_word_wrap(true);
        Terminal { console, ahead: TypedAhead::new(), closed: false }
    }

    pub(crate) fn size(&self) -> Size {
        self.console.size()
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.console.write(text);
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

    /// Breaks if the user has pressed Esc or Ctrl+C since this was last called. Other keys are kept
    /// for the next prompt.
    pub(crate) fn poll_cancel(&mut self) -> ControlFlow<()> {
        while !self.closed {
            match self.console.next(Some(Duration::ZERO)) {
                Event::Key(Key::Escape | Key::Ctrl('c')) => {
                    self.ahead.clear();
                    return ControlFlow::Break(());
                }
                Event::Key(key) => self.ahead.push(key),
                Event::Timeout => break,
                Event::Closed => self.closed = true,
            }
        }
        ControlFlow::Continue(())
    }

    /// Forgets the keys that are kept for the next prompt.
    pub(crate) fn forget_typed(&mut self) {
        self.ahead.clear();
    }

    /// Lets the user type a line, in bold, to tell it from what the program writes.
    pub(crate) fn line(&mut self, editor: &mut LineEditor, prompt: &str) -> LineInput {
        if let Some(lines) = self.ahead.take_dropped() {
            let lines = if lines == 1 { "1 line".into() } else { format!("{lines} lines") };
            self.problem(&format!(
                "{lines} typed meanwhile did not fit the memory for that and cannot be used; type \
                 the last part again"
            ));
        }
        self.console.set_word_wrap(false);
        let input = self.edit(editor, &format!("\x1b[1m{prompt}"));
        self.console.write("\x1b[0m");
        self.console.set_word_wrap(true);
        input
    }

    /// Goes to a new row after a line.
    pub(crate) fn leave_row(&mut self, editor: &LineEditor) {
        let mut out = String::new();
        editor.leave_row(&mut out);
        self.console.write(&out);
    }

    fn edit(&mut self, editor: &mut LineEditor, prompt: &str) -> LineInput {
        let mut out = String::new();
        editor.begin(prompt, self.size(), &mut out);
        self.console.write(&out);
        loop {
            let Event::Key(key) = self.next(None) else {
                return LineInput::End;
            };
            out.clear();
            let edit = editor.key(key, &mut out);
            self.console.write(&out);
            match edit {
                Edit::Continue => {}
                Edit::Line(line) => return LineInput::Line(line),
                Edit::Cancelled => return LineInput::Cancelled,
                Edit::EndOfInput => return LineInput::End,
            }
        }
    }

    /// Shows text that may be longer than the screen, a page at a time.
    pub(crate) fn page(&mut self, text: &str) {
        let Size { columns, rows } = self.size();
        let mut pager = Pager::new(text, columns);
        let mut room = rows.saturating_sub(1).max(1);
        loop {
            self.console.write(pager.take(room));
            if pager.is_at_end() {
                return;
            }
            self.quiet("-- Space: next page, Enter: next line, q: end --");
            let more = loop {
                match self.next(None) {
                    Event::Key(Key::Char(' ') | Key::PageDown) => {
                        break rows.saturating_sub(1).max(1);
                    }
                    Event::Key(Key::Enter | Key::Down) => break 1,
                    Event::Key(Key::Char('q' | 'Q') | Key::Escape | Key::Ctrl('c' | 'd'))
                    | Event::Closed => break 0,
                    Event::Key(_) | Event::Timeout => {}
                }
            };
            self.console.write("\r\x1b[K");
            if more == 0 {
                return;
            }
            room = more;
        }
    }
}

/// Text in portions of rows.
struct Pager<'t> {
    rest: &'t str,
    columns: usize,
}

impl<'t> Pager<'t> {
    fn new(text: &'t str, columns: usize) -> Self {
        Pager { rest: text, columns }
    }

    fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the lines that fit `rows`, and at least one.
    fn take(&mut self, rows: usize) -> &'t str {
        let (mut end, mut used) = (0, 0usize);
        for line in self.rest.split_inclusive('\n') {
            let mut wrap = WordWrap::new(self.columns);
            wrap.set_on(true);
            let mut out = String::new();
            wrap.write(line, &mut out);
            let unfinished = usize::from(!line.ends_with('\n'));
            used = used.saturating_add(out.matches('\n').count() + unfinished);
            if used > rows && end > 0 {
                break;
            }
            end += line.len();
        }
        let (page, rest) = self.rest.split_at(end);
        self.rest = rest;
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn pages_count_rows_and_lose_nothing() {
        let text = "one\ntwo words\nthree longer words here\n\nlast";
        for (columns, rows, pages) in [
            (80, 2, &["one\ntwo words\n", "three longer words here\n\n", "last"][..]),
            (12, 2, &["one\ntwo words\n", "three longer words here\n", "\nlast"]),
            (12, 1, &["one\n", "two words\n", "three longer words here\n", "\n", "last"]),
            (usize::MAX, usize::MAX, &[text]),
        ] {
            let mut pager = Pager::new(text, columns);
            let mut found = Vec::new();
            while !pager.is_at_end() {
                found.push(pager.take(rows));
            }
            assert_eq!(found, pages, "{columns} x {rows}");
        }
    }
}
