//! Tokens to text, as they come.

use crate::Tokenizer;
use alloc::string::String;

/// Turns tokens into text one by one, and holds back the bytes of a character until it is complete.
///
/// As in llama2.c, a space at the start of the first piece after BOS is dropped (if the vocabulary
/// puts one before every text), and so are control characters other than white space. llama2.c's
/// `run` also drops every byte outside ASCII that comes as a token of its own; here such bytes are
/// joined to characters. Bytes that are not UTF-8 become U+FFFD.
#[derive(Default)]
pub struct Decoder {
    previous: Option<u32>,
    /// The beginning of a character whose end has not come yet.
    pending: [u8; 4],
    pending_length: usize,
    text: String,
}

impl Decoder {
    /// A decoder at the beginning of a text, with room for the pieces of this vocabulary, so
    /// that decoding allocates nothing.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        // At worst every byte becomes U+FFFD, which has three bytes; four may have been pending.
        Decoder { text: String::with_capacity(3 * (tokenizer.longest() + 4)), ..Self::default() }
    }

    /// The text that `token` completes: its own and what was held back before it.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> &str {
        let previous = self.previous.replace(token);
        self.text.clear();
        let table = &tokenizer.table;
        let byte = table.byte(token).map(|byte| [byte]);
        let mut piece = byte.as_ref().map_or(table.shown(token), |byte| byte.as_slice());
        let rules = table.rules();
        if rules.add_space && previous == Some(rules.bos) && piece.first() == Some(&b' ') {
            piece = &piece[1..];
        }
        for &byte in piece {
            self.push_byte(byte);
        }
        &self.text
    }

    /// The rest at the end of a text: U+FFFD if a character remained incomplete.
    pub fn finish(&mut self) -> &str {
        self.text.clear();
        if self.pending_length > 0 {
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        self.pending_length = 0;
        self.previous = None;
        &self.text
    }

    fn push_byte(&mut self, byte: u8) {
        self.pending[self.pending_length] = byte;
        self.pending_length += 1;
        match core::str::from_utf8(&self.pending[..self.pending_length]) {
            Ok(character) => {
                // White space is what C's `isspace` says.
                let shown = |c: char| !c.is_control() || matches!(c, '\t'..='\r');
                self.text.extend(character.chars().filter(|&c| shown(c)));
                self.pending_length = 0;
            }
            Err(error) if error.error_len().is_none() => {} // The rest may still come.
            Err(_) => {
                // The pending bytes can never become a character. If the new byte ended them, it may
                // begin another one.
                self.text.push(char::REPLACEMENT_CHARACTER);
                let interrupted = self.pending_length > 1;
                self.pending_length = 0;
                if interrupted {
                    self.push_byte(byte);
                }
            }
        }
    }
}
