//! Keys from what devices deliver.

mod utf8;

use crate::csi::{Csi, Step};
use alloc::collections::VecDeque;
use bootllm_platform::{Key, Size};
use utf8::{Source, Utf8};

/// Puts keys together from the bytes and characters that devices deliver.
///
/// What was pushed is taken out with [`next_key`](Self::next_key). An ESC may be the Escape key or
/// begin a sequence, and a byte may be a part of a character: while
/// [`is_pending`](Self::is_pending) says so, wait some 50 ms for more, and if nothing came call
/// [`flush`](Self::flush). The bytes of one sequence come faster than that, and no two keys that a
/// user presses do.
/// # Devices that deliver keys
///
/// A device that knows its keys hands them over with [`push_key`](Self::push_key), in the order in
/// which they were pressed, whatever terminals deliver besides.
#[derive(Debug, Default)]
pub struct KeyDecoder {
    keys: VecDeque<Key>,
    sequence: Sequence,
    utf8: Utf8,
    /// What the terminal reported.
    size: Option<Size>,
    /// The last key was a CR, so an LF now is the other half of the same line end.
    after_return: bool,
}

/// How far an escape sequence has come.
#[derive(Debug, Default)]
enum Sequence {
    #[default]
    None,
    /// ESC.
    Escape,
    /// `ESC [` and what followed.
    Csi(Csi),
    /// `ESC O`: the keypad and function keys of a VT100.
    Ss3,
}

impl KeyDecoder {
    /// A decoder to which nothing came yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next whole key, if there is one.
    pub fn next_key(&mut self) -> Option<Key> {
        self.keys.pop_front()
    }

    /// Whether what came so far is the beginning of something: wait a little for the rest, then
    /// [`flush`](Self::flush).
    pub fn is_pending(&self) -> bool {
        self.utf8.is_pending() || !matches!(self.sequence, Sequence::None)
    }

    /// Says that nothing more came: what is pending is all there is of it.
    ///
    /// A lone ESC becomes the Escape key. A sequence that was cut off is dropped.
    pub fn flush(&mut self) {
        self.end_character();
        self.end_sequence();
        self.after_return = false;
    }

    /// Takes a byte from a terminal in raw mode, where characters are UTF-8 and keys are the
    /// sequences that xterm sends.
    pub fn push_byte(&mut self, byte: u8) {
        self.push_utf8(byte, Source::Terminal);
    }

    /// Takes a byte that is either part of a character in UTF-8 or, where it is not valid UTF-8, a
    /// character from U+0000 to U+00FF itself.
    pub fn push_byte_or_char(&mut self, byte: u8) {
        self.push_utf8(byte, Source::ByteOrChar);
    }

    /// Takes a character of a stream in which escape sequences come.
    pub fn push_char(&mut self, character: char) {
        self.end_character();
        self.character(character);
    }

    /// Takes a whole key. What is pending is all there is of it.
    pub fn push_key(&mut self, key: Key) {
        self.end_character();
        self.end_sequence();
        self.emit(key);
    }

    /// Takes the size that the terminal reported in answer to [`SIZE_QUERY`](crate::SIZE_QUERY), if
    /// it did since this was last called.
    pub fn take_size(&mut self) -> Option<Size> {
        self.size.take()
    }

    fn push_utf8(&mut self, byte: u8, source: Source) {
        for character in self.utf8.push(byte, source) {
            self.character(character);
        }
    }

    fn end_character(&mut self) {
        for character in self.utf8.flush() {
            self.character(character);
        }
    }

    /// Takes the next character of a stream in which escape sequences come.
    fn character(&mut self, character: char) {
        match core::mem::take(&mut self.sequence) {
            Sequence::None => self.plain(character),
            Sequence::Escape => match character {
                '[' => self.sequence = Sequence::Csi(Csi::new()),
                'O' => self.sequence = Sequence::Ss3,
                _ => self.with_alt(character),
            },
            Sequence::Csi(mut csi) => match csi.push(character) {
                Step::More => self.sequence = Sequence::Csi(csi),
                Step::Final(letter) => self.control_sequence(&csi, letter),
                Step::Broken => self.plain(character),
            },
            Sequence::Ss3 => match character {
                'M' => self.emit(Key::Enter),
                '!'..='~' => self.cursor_key(character, false),
                _ => self.plain(character),
            },
        }
    }

    fn end_sequence(&mut self) {
        match core::mem::take(&mut self.sequence) {
            Sequence::Escape => self.emit(Key::Escape),
            Sequence::Csi(csi) if csi.is_empty() => self.emit(Key::Alt('[')),
            Sequence::Ss3 => self.emit(Key::Alt('O')),
            Sequence::None | Sequence::Csi(_) => {}
        }
    }

    /// The keys of xterm, `ESC [ 1 ; modifiers letter` and `ESC [ number ; modifiers ~`, and the
    /// report of the cursor's position, `ESC [ row ; column R`.
    fn control_sequence(&mut self, csi: &Csi, letter: char) {
        if !csi.is_plain() {
            return;
        }
        // F3 with modifiers is a position in the first row; no terminal has only that.
        if let ('R', &[rows, columns]) = (letter, csi.numbers())
            && rows > 1
            && columns > 1
        {
            self.size = Some(Size { columns: columns.into(), rows: rows.into() });
            return;
        }
        // Modifiers come as one more than a sum of shift 1, alt 2, ctrl 4.
        let modifiers = csi.numbers().get(1).map_or(0, |modifiers| modifiers.saturating_sub(1));
        let word = modifiers & (2 | 4) != 0;
        match (letter, csi.numbers()[0]) {
            ('~', 1 | 7) => self.emit(Key::Home),
            ('~', 3) => self.emit(Key::Delete),
            ('~', 4 | 8) => self.emit(Key::End),
            ('~', 5) => self.emit(Key::PageUp),
            ('~', 6) => self.emit(Key::PageDown),
            _ => self.cursor_key(letter, word),
        }
    }

    fn cursor_key(&mut self, letter: char, word: bool) {
        self.emit(match letter {
            'A' => Key::Up,
            'B' => Key::Down,
            'C' if word => Key::Alt('f'),
            'C' => Key::Right,
            'D' if word => Key::Alt('b'),
            'D' => Key::Left,
            'F' => Key::End,
            'H' => Key::Home,
            _ => return,
        });
    }

    /// A character after ESC or with the Alt key held.
    fn with_alt(&mut self, character: char) {
        match character {
            BACKSPACE | DELETE => self.emit(Key::Ctrl('w')),
            _ if character.is_control() => {
                self.emit(Key::Escape);
                self.plain(character);
            }
            _ => self.emit(Key::Alt(character)),
        }
    }

    /// A character that is in no sequence.
    fn plain(&mut self, character: char) {
        let second_half = character == '\n' && self.after_return;
        let key = match character {
            '\n' if second_half => None,
            '\r' | '\n' => Some(Key::Enter),
            '\t' => Some(Key::Tab),
            BACKSPACE | DELETE => Some(Key::Backspace),
            ESCAPE => {
                self.sequence = Sequence::Escape;
                None
            }
            '\u{01}'..='\u{1A}' => Some(Key::Ctrl((b'a' - 1 + character as u8).into())),
            _ if character.is_control() => None,
            _ => Some(Key::Char(character)),
        };
        if let Some(key) = key {
            self.emit(key);
        }
        self.after_return = character == '\r';
    }

    fn emit(&mut self, key: Key) {
        self.after_return = false;
        self.keys.push_back(key);
    }
}

const BACKSPACE: char = '\u{08}';
const ESCAPE: char = '\u{1B}';
const DELETE: char = '\u{7F}';

#[cfg(test)]
mod tests;
