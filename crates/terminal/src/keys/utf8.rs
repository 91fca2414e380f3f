//! Characters from bytes that come one at a time.

use core::str;

/// Where bytes come from. It decides what bytes mean that are not valid UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Source {
    /// A terminal: they are wrong.
    #[default]
    Terminal,
    /// A device that sends characters below U+0100 as bytes, too: they are those characters.
    ByteOrChar,
}

/// The beginning of a character.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    bytes: [u8; 4],
    length: usize,
    source: Source,
}

impl Utf8 {
    pub(super) fn is_pending(&self) -> bool {
        self.length > 0
    }

    /// Takes a byte; gives what characters it completed.
    pub(super) fn push(&mut self, byte: u8, source: Source) -> Decoded {
        self.source = source;
        let mut decoded = Decoded::default();
        if self.length > 0 && !self.continues_with(byte) {
            decoded = self.flush();
        }
        self.bytes[self.length] = byte;
        self.length += 1;
        match str::from_utf8(&self.bytes[..self.length]) {
            Ok(text) => {
                text.chars().for_each(|character| decoded.push(character));
                self.length = 0;
            }
            // No character begins like this.
            Err(error) if error.error_len().is_some() => {
                self.flush().for_each(|character| decoded.push(character));
            }
            Err(_) => {}
        }
        decoded
    }

    /// Gives up waiting for the rest: what the bytes are without it.
    pub(super) fn flush(&mut self) -> Decoded {
        let mut decoded = Decoded::default();
        let bytes = &self.bytes[..core::mem::take(&mut self.length)];
        match self.source {
            // One for the whole of a cut-off character, as Unicode recommends (chapter 3,
            // "U+FFFD Substitution of Maximal Subparts").
            Source::Terminal if !bytes.is_empty() => decoded.push(char::REPLACEMENT_CHARACTER),
            Source::Terminal => {}
            Source::ByteOrChar => {
                for &byte in bytes {
                    // No key is a C1 control character: this is a piece of broken UTF-8.
                    let control = matches!(byte, 0x80..=0x9F);
                    decoded.push(if control { char::REPLACEMENT_CHARACTER } else { byte.into() });
                }
            }
        }
        decoded
    }

    /// Whether the byte may follow those that wait.
    fn continues_with(&self, byte: u8) -> bool {
        let mut bytes = self.bytes;
        bytes[self.length] = byte;
        match str::from_utf8(&bytes[..=self.length]) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        }
    }
}

/// A few characters: a byte can show that three before it were no UTF-8, and be one of its own.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    characters: [char; 4],
    next: usize,
    length: usize,
}

impl Decoded {
    fn push(&mut self, character: char) {
        self.characters[self.length] = character;
        self.length += 1;
    }
}

impl Iterator for Decoded {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let character = *self.characters[..self.length].get(self.next)?;
        self.next += 1;
        Some(character)
    }
}
