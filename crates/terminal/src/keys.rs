//! From what devices deliver to keys.

mod utf8;

use crate::csi::{Csi, Step};
use alloc::collections::VecDeque;
use bootllm_platform::Key;
use utf8::{Source, Utf8};

/// Puts keys together from the bytes, characters and scan codes that devices deliver.
///
/// What was pushed is taken out with [`next_key`](Self::next_key). An ESC may be the Escape key or
/// begin a sequence, and a byte may be a part of a character: while
/// [`is_pending`](Self::is_pending) says so, wait some 50 ms for more, and if nothing came call
/// [`flush`](Self::flush). The bytes of one sequence come faster than that, and no two keys that a
/// person presses do.
///
/// # Characters from U+0080 to U+00FF on UEFI
///
/// An `é` is one key U+00E9 from a keyboard, but two keys U+00C3 U+00A9 from a serial line, where
/// the firmware makes a key of each byte. A keyboard tells whether Ctrl and Alt are held, and a
/// serial line does not ([`Modifiers::known`]). So what comes with modifiers known is taken as it
/// is. What comes without is read as UTF-8 where it is valid UTF-8 and as itself where it is not,
/// because firmware without SimpleTextInputEx gives no modifiers from keyboards either. That is
/// wrong only for a person who, on such firmware, types `Ã` and then `©` within 50 ms.
#[derive(Debug, Default)]
pub struct KeyDecoder {
    keys: VecDeque<Key>,
    sequence: Sequence,
    utf8: Utf8,
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

/// Which modifier keys were held, as UEFI's SimpleTextInputEx tells it with a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifiers {
    /// Whether the device tells them at all. Keyboards do, serial lines do not.
    pub known: bool,
    /// Ctrl is held.
    pub ctrl: bool,
    /// The left Alt is held. The right one is AltGr on many keyboards and chooses a character.
    pub alt: bool,
}

impl Modifiers {
    /// Reads `EFI_KEY_STATE.KeyShiftState` (UEFI specification 2.10, 12.2.3).
    pub fn from_uefi(key_shift_state: u32) -> Self {
        const VALID: u32 = 0x8000_0000;
        const RIGHT_CONTROL: u32 = 0x04;
        const LEFT_CONTROL: u32 = 0x08;
        const LEFT_ALT: u32 = 0x20;

        let known = key_shift_state & VALID != 0;
        Self {
            known,
            ctrl: known && key_shift_state & (LEFT_CONTROL | RIGHT_CONTROL) != 0,
            alt: known && key_shift_state & LEFT_ALT != 0,
        }
    }
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

    /// Takes the character of a UEFI key (`EFI_INPUT_KEY.UnicodeChar`, where there is no scan
    /// code).
    pub fn push_char(&mut self, unit: u16, modifiers: Modifiers) {
        if !modifiers.known
            && let Ok(byte) = u8::try_from(unit)
        {
            // A NUL says that there is no character.
            if byte != 0 {
                self.push_utf8(byte, Source::Firmware);
            }
            return;
        }
        self.end_character();
        if modifiers.known {
            // No sequence goes on with a key of a keyboard.
            self.end_sequence();
        }
        let character = char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
        match modifiers {
            // On some keyboards this is how AltGr comes, which chooses a character.
            Modifiers { ctrl: true, alt: true, .. } => self.plain(character),
            Modifiers { ctrl: true, .. } if character.is_ascii_alphabetic() => {
                self.plain(control_character(character));
            }
            Modifiers { ctrl: true, .. } if !character.is_ascii_control() => {}
            Modifiers { alt: true, .. } => self.with_alt(character),
            _ => self.character(character),
        }
    }

    /// Takes the scan code of a UEFI key (UEFI specification 2.10, 12.1.2).
    pub fn push_scan(&mut self, scan: u16, modifiers: Modifiers) {
        self.end_character();
        let word = modifiers.ctrl || modifiers.alt;
        let key = match scan {
            0x01 => Key::Up,
            0x02 => Key::Down,
            0x03 if word => Key::Alt('f'),
            0x03 => Key::Right,
            0x04 if word => Key::Alt('b'),
            0x04 => Key::Left,
            0x05 => Key::Home,
            0x06 => Key::End,
            // The firmware's serial terminals (edk2's TerminalDxe) make this of 0x7F, which is
            // what terminals send for Backspace; a Delete key comes through them as a sequence.
            0x08 if !modifiers.known => return self.character(DELETE),
            0x08 => Key::Delete,
            0x09 => Key::PageUp,
            0x0A => Key::PageDown,
            0x17 if modifiers.known => Key::Escape,
            // From a serial line the rest of a sequence that the firmware does not know follows.
            0x17 => return self.character(ESCAPE),
            _ => return self.end_sequence(),
        };
        self.end_sequence();
        self.emit(key);
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

    /// The keys of xterm: `ESC [ 1 ; modifiers letter` and `ESC [ number ; modifiers ~`.
    fn control_sequence(&mut self, csi: &Csi, letter: char) {
        if !csi.is_plain() {
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

/// What Ctrl makes of a letter: its place in the alphabet.
fn control_character(letter: char) -> char {
    (letter as u8 & 0x1F).into()
}

#[cfg(test)]
mod tests;
