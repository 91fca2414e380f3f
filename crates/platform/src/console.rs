//! The console: where text is shown.

use crate::Events;

/// Shows text to the user. The keys that answer it come from [`Events`].
///
/// A console may be several devices at once, such as a screen and a serial terminal: text goes to
/// all of them, and a key may come from any.
pub trait Console: Events {
    /// Shows UTF-8 text at once; nothing stays in a buffer.
    ///
    /// `\n` starts a new line. A console also understands `\r`, backspace, and these ANSI
    /// sequences: `ESC[nA` `ESC[nB` `ESC[nC` `ESC[nD` (move), `ESC[K` (clear to the end of the
    /// line), `ESC[J` (clear to the end of the screen), `ESC[2J`, `ESC[H`, and `ESC[…m` with 0, 1,
    /// 2, 7, 30 to 37, 39 and 90 to 97 (styles and colours).
    fn write(&mut self, text: &str);

    /// Sets whether lines break between words. It is off at first.
    ///
    /// It is for text to read. A line editor counts columns itself and needs it off.
    fn set_word_wrap(&mut self, on: bool);

    /// The size that text has to fit.
    fn size(&self) -> Size;
}

/// Columns and rows of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters per line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

impl Size {
    /// The size of a console without a screen, such as a file: nothing has to fit.
    pub const UNLIMITED: Self = Self { columns: usize::MAX, rows: usize::MAX };
}
