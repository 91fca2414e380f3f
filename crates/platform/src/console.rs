//! The console: text out, keys in.

use core::time::Duration;

/// Where a person reads and types.
///
/// A console may be several devices at once (a screen and a serial line): what is written goes to
/// all of them, and a key may come from any.
pub trait Console {
    /// Shows text, UTF-8, at once (nothing stays in a buffer).
    ///
    /// `\n` begins a new line. Besides it a console understands `\r`, backspace, and of the ANSI
    /// sequences: `ESC[nA` `ESC[nB` `ESC[nC` `ESC[nD` (move), `ESC[K` (clear to the end of the
    /// line), `ESC[J` (clear to the end of the screen), `ESC[2J`, `ESC[H`, and `ESC[…m` with 0, 1,
    /// 2, 7, 30 to 37, 39 and 90 to 97 (styles and colours).
    fn write(&mut self, text: &str);

    /// Whether words that do not fit a row go to the next one as a whole, if this console can do
    /// that. It is for text that is read; a line that is being typed needs it off, as it is at
    /// first.
    fn set_word_wrap(&mut self, _on: bool) {}

    /// The next key, waiting for it asleep, never in a busy loop.
    ///
    /// `wait` is how long at most: `None` for as long as it takes, zero to only look.
    fn read_key(&mut self, wait: Option<Duration>) -> Input;

    /// How many columns and rows of text can be seen.
    fn size(&self) -> Size;
}

/// Columns and rows of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// What came of waiting for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// The time ran out.
    Nothing,
    /// No key will ever come again (the end of a file or of a connection).
    Closed,
}

/// A key as a person names it, whatever device it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Key {
    /// A character that would be shown, the space included.
    Char(char),
    /// Ctrl with a letter, in lower case.
    Ctrl(char),
    /// Alt with a character.
    Alt(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    Escape,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    PageUp,
    PageDown,
}
