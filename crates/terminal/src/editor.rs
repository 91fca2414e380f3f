//! The line that the user types.

mod boundary;
mod history;
mod view;

use crate::char_width;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{Key, Size};
use core::ops::Range;
use history::History;
use view::View;

/// A line editor with the keys of readline: keys go in, text for the console comes out.
///
/// It moves the cursor only relative to where the prompt began, so it works wherever on the screen
/// that is. Typing at the end of the line writes the character and nothing else.
///
/// | key | does |
/// |---|---|
/// | Left, Right, Ctrl+B, Ctrl+F | moves by a character |
/// | Alt+B, Alt+F (Ctrl+Left, Ctrl+Right) | moves by a word |
/// | Home, End, Ctrl+A, Ctrl+E | moves to the beginning, to the end |
/// | Backspace, Ctrl+H; Delete, Ctrl+D | deletes before, at the cursor |
/// | Ctrl+W, Alt+D | deletes the word before, after the cursor |
/// | Ctrl+U, Ctrl+K | deletes what is before, after the cursor |
/// | Up, Down, Ctrl+P, Ctrl+N | brings back what was typed before |
/// | Tab | completes a command |
/// | Ctrl+L | clears the screen |
/// | Escape | clears the line, or cancels if there is nothing on it |
/// | Ctrl+C | cancels |
/// | Ctrl+D on an empty line | ends the input |
///
/// ```
/// use bootllm_platform::{Key, Size};
/// use bootllm_terminal::{Edit, LineEditor};
///
/// let mut editor = LineEditor::new();
/// let mut out = String::new();
/// editor.begin(">>> ", Size { columns: 80, rows: 24 }, &mut out);
/// assert_eq!(editor.key(Key::Char('h'), &mut out), Edit::Continue);
/// assert_eq!(editor.key(Key::Char('i'), &mut out), Edit::Continue);
/// assert_eq!(editor.key(Key::Enter, &mut out), Edit::Line("hi".into()));
/// assert_eq!(out, ">>> hi");
/// editor.leave_row(&mut out);
/// assert_eq!(out, ">>> hi\n");
/// ```
#[derive(Debug)]
pub struct LineEditor {
    text: String,
    /// A byte of `text`, on a boundary between what the cursor steps over.
    cursor: usize,
    history: History,
    completions: Vec<String>,
    view: View,
}

/// What came of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The line goes on.
    Continue,
    /// Enter was pressed: the line, without a line end.
    Line(String),
    /// The user gave the line up: Ctrl+C, or Escape on an empty line.
    Cancelled,
    /// The user wants to leave: Ctrl+D on an empty line.
    EndOfInput,
}

impl LineEditor {
    /// The longest line in bytes, so that no stream of keys can fill the memory.
    const LONGEST_LINE: usize = 64 << 10;

    /// An editor without history and completions.
    pub fn new() -> Self {
        Self {
            text: String::new(),
            cursor: 0,
            history: History::default(),
            completions: Vec::new(),
            view: View::new(),
        }
    }

    /// Sets what Tab completes: the beginnings of lines, such as `/help`.
    pub fn set_completions(&mut self, completions: &[&str]) {
        self.completions = completions.iter().map(|&text| text.into()).collect();
    }

    /// Begins a new line on a console of this size: writes the prompt.
    ///
    /// The cursor must be in the first column. The prompt may hold styles (`ESC[…m`).
    pub fn begin(&mut self, prompt: &str, size: Size, out: &mut String) {
        self.text.clear();
        self.cursor = 0;
        self.history.leave();
        self.view.begin(prompt, size);
        self.show(out);
    }

    /// Takes a key, and appends to `out` what the console is to show for it.
    ///
    /// After anything but [`Edit::Continue`] the cursor is at the end of the line: write on there, or
    /// go to a new row with [`leave_row`](Self::leave_row). The next line starts with
    /// [`begin`](Self::begin).
    pub fn key(&mut self, key: Key, out: &mut String) -> Edit {
        match key {
            Key::Char(character) => self.insert(character),
            Key::Left | Key::Ctrl('b') => self.cursor = boundary::before(&self.text, self.cursor),
            Key::Right | Key::Ctrl('f') => self.cursor = boundary::after(&self.text, self.cursor),
            Key::Alt('b') => self.cursor = boundary::word_before(&self.text, self.cursor),
            Key::Alt('f') => self.cursor = boundary::word_after(&self.text, self.cursor),
            Key::Home | Key::Ctrl('a') => self.cursor = 0,
            Key::End | Key::Ctrl('e') => self.cursor = self.text.len(),
            Key::Backspace | Key::Ctrl('h') => {
                self.delete(boundary::before(&self.text, self.cursor)..self.cursor);
            }
            Key::Ctrl('d') if self.text.is_empty() => return self.end(Edit::EndOfInput, out),
            Key::Delete | Key::Ctrl('d') => {
                self.delete(self.cursor..boundary::after(&self.text, self.cursor));
            }
            Key::Ctrl('w') => self.delete(self.blank_before()..self.cursor),
            Key::Alt('d') => {
                self.delete(self.cursor..boundary::word_after(&self.text, self.cursor));
            }
            Key::Ctrl('u') => self.delete(0..self.cursor),
            Key::Ctrl('k') => self.text.truncate(self.cursor),
            Key::Up | Key::Ctrl('p') => {
                if let Some(text) = self.history.older(&self.text) {
                    self.replace(text);
                }
            }
            Key::Down | Key::Ctrl('n') => {
                if let Some(text) = self.history.newer() {
                    self.replace(text);
                }
            }
            Key::Tab => self.complete(out),
            Key::Ctrl('l') => {
                out.push_str("\x1b[H\x1b[2J");
                self.view.restart();
            }
            Key::Escape if self.text.is_empty() => return self.end(Edit::Cancelled, out),
            Key::Escape => self.replace(String::new()),
            Key::Ctrl('c') => return self.end(Edit::Cancelled, out),
            Key::Enter => {
                self.history.add(&self.text);
                return self.end(Edit::Line(self.text.clone()), out);
            }
            Key::Ctrl(_) | Key::Alt(_) | Key::PageUp | Key::PageDown => {}
        }
        self.show(out);
        Edit::Continue
    }

    fn show(&mut self, out: &mut String) {
        self.view.show(&self.text, self.cursor, out);
    }

    fn end(&mut self, edit: Edit, out: &mut String) -> Edit {
        self.cursor = self.text.len();
        self.show(out);
        edit
    }

    /// The cursor's column.
    pub fn column(&self) -> usize {
        self.view.column()
    }

    /// Goes to a new row after the end of a line, unless the line fills its last row and the cursor
    /// is in a new one.
    pub fn leave_row(&self, out: &mut String) {
        if self.column() > 0 {
            out.push('\n');
        }
    }

    fn insert(&mut self, character: char) {
        // A mark needs a character to stand on.
        let stray_mark = char_width(character) == 0 && self.cursor == 0;
        let too_long = self.text.len() + character.len_utf8() > Self::LONGEST_LINE;
        if character.is_control() || stray_mark || too_long {
            return;
        }
        self.text.insert(self.cursor, character);
        self.cursor += character.len_utf8();
    }

    fn insert_str(&mut self, text: &str) {
        text.chars().for_each(|character| self.insert(character));
    }

    fn delete(&mut self, range: Range<usize>) {
        self.cursor = range.start;
        self.text.drain(range);
    }

    fn replace(&mut self, text: String) {
        self.text = text;
        self.cursor = self.text.len();
    }

    /// Where the word before the cursor begins, words being what blanks part.
    fn blank_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        before.rfind(char::is_whitespace).map_or(0, |blank| boundary::after(before, blank))
    }

    /// Completes what is before the cursor as far as it is certain, and where it is not, shows
    /// what it may become.
    fn complete(&mut self, out: &mut String) {
        let typed = &self.text[..self.cursor];
        let choices: Vec<&str> =
            self.completions.iter().map(String::as_str).filter(|c| c.starts_with(typed)).collect();
        let Some((&first, others)) = choices.split_first() else { return };
        let certain =
            others.iter().fold(first, |certain, choice| &certain[..common(certain, choice)]);
        let missing = String::from(&certain[typed.len()..]);
        if !missing.is_empty() {
            self.insert_str(&missing);
        } else if !others.is_empty() {
            let list = choices.join("  ");
            self.view.show(&self.text, self.text.len(), out);
            out.push('\n');
            out.push_str(&list);
            out.push('\n');
            self.view.restart();
        }
    }
}

impl Default for LineEditor {
    fn default() -> Self {
        Self::new()
    }
}

/// How many bytes two texts have in common at their beginnings, in whole characters.
fn common(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    a.floor_char_boundary(same)
}

#[cfg(test)]
mod tests;
