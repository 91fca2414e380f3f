//! The vocabulary: pieces, their scores, and finding them.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// The token that stands for what no other token can say.
pub const UNKNOWN: u32 = 0;
/// The token that begins a text, and so parts texts.
pub const BOS: u32 = 1;
/// The token that ends an answer.
pub const EOS: u32 = 2;
/// The token of byte 0; those of the other bytes follow.
const FIRST_BYTE: u32 = 3;

/// A SentencePiece vocabulary.
///
/// Tokens 0, 1 and 2 are unknown, BOS and EOS, and 3 to 258 stand for single bytes, as in every
/// vocabulary that llama2.c reads.
pub struct Tokenizer {
    /// All pieces in a row.
    bytes: Vec<u8>,
    /// Where each piece ends in `bytes`; it begins where the one before ends.
    ends: Vec<u32>,
    scores: Vec<f32>,
    /// Tokens in the order of their pieces; equal pieces in the order of their numbers.
    sorted: Vec<u32>,
    longest: usize,
}

impl Tokenizer {
    /// A vocabulary of pieces with their scores, token 0 first.
    pub fn new<'a>(pieces: impl IntoIterator<Item = (&'a [u8], f32)>) -> Self {
        let mut tokenizer = Tokenizer {
            bytes: Vec::new(),
            ends: Vec::new(),
            scores: Vec::new(),
            sorted: Vec::new(),
            longest: 0,
        };
        for (piece, score) in pieces {
            tokenizer.bytes.extend_from_slice(piece);
            tokenizer.ends.push(tokenizer.bytes.len() as u32);
            tokenizer.scores.push(score);
            tokenizer.longest = tokenizer.longest.max(piece.len());
        }
        let mut sorted: Vec<u32> = (0..tokenizer.ends.len() as u32).collect();
        sorted.sort_by(|&a, &b| tokenizer.piece(a).cmp(tokenizer.piece(b)));
        tokenizer.sorted = sorted;
        tokenizer
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of the longest piece.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The piece of a token as the vocabulary has it (a byte's token reads `<0x0A>`); empty if
    /// there is no such token.
    pub fn piece(&self, token: u32) -> &[u8] {
        let index = token as usize;
        let Some(&end) = self.ends.get(index) else {
            return &[];
        };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..end as usize]
    }

    /// The score of a token: of two neighbours that could merge, those with the higher score do.
    pub fn score(&self, token: u32) -> Option<f32> {
        self.scores.get(token as usize).copied()
    }

    /// The first token with this piece.
    pub fn find(&self, piece: &[u8]) -> Option<u32> {
        let index = self.sorted.partition_point(|&t| self.piece(t).cmp(piece) == Ordering::Less);
        self.sorted.get(index).copied().filter(|&token| self.piece(token) == piece)
    }

    /// The token that stands for one byte.
    pub(crate) fn byte_token(&self, byte: u8) -> u32 {
        let token = FIRST_BYTE + u32::from(byte);
        if (token as usize) < self.len() { token } else { UNKNOWN }
    }

    /// The byte that a token stands for, if its piece is of the form `<0x0A>`.
    pub(crate) fn byte(&self, token: u32) -> Option<u8> {
        let [b'<', b'0', b'x', high, low, b'>'] = self.piece(token) else {
            return None;
        };
        let digit = |c: &u8| char::from(*c).to_digit(16).map(|digit| digit as u8);
        Some(digit(high)? << 4 | digit(low)?)
    }
}
