//! The vocabulary: pieces, their scores, and finding them.

use alloc::vec::Vec;
use bootllm_model_file::{Token, TokenKind, TokenRules};
use core::cmp::Ordering;

/// llama2.c's token for what no other token can say.
pub const UNKNOWN: u32 = 0;
/// llama2.c's token that begins a text, and so parts texts.
pub const BOS: u32 = 1;
/// llama2.c's token that ends an answer.
pub const EOS: u32 = 2;
/// llama2.c's token of byte 0; those of the other bytes follow.
pub(crate) const FIRST_BYTE: u32 = 3;

/// A SentencePiece vocabulary.
///
/// There are two sorts. llama2.c's knows nothing but pieces and scores: tokens 0, 1 and 2 are
/// unknown, BOS and EOS, and 3 to 258 stand for single bytes. One of a GGUF file says of each token
/// what it is for.
pub struct Tokenizer {
    /// All pieces in a row.
    bytes: Vec<u8>,
    /// Where each piece ends in `bytes`; it begins where the one before ends.
    ends: Vec<u32>,
    scores: Vec<f32>,
    /// What each token is for; empty if nobody said.
    kinds: Vec<TokenKind>,
    /// Tokens that text can have, in the order of their pieces; equal pieces in the order of their
    /// numbers.
    sorted: Vec<u32>,
    longest: usize,
    /// The token of each byte.
    byte_tokens: [u32; 256],
    rules: TokenRules,
}

impl Tokenizer {
    /// llama2.c's vocabulary of pieces with their scores, token 0 first.
    pub fn new<'a>(pieces: impl IntoIterator<Item = (&'a [u8], f32)>) -> Self {
        let rules =
            TokenRules { unknown: UNKNOWN, bos: BOS, eos: EOS, add_bos: true, add_space: true };
        let mut tokenizer = Tokenizer::empty(rules);
        for (piece, score) in pieces {
            tokenizer.push(piece, score);
        }
        let last = tokenizer.len();
        for (token, byte_token) in (FIRST_BYTE..).zip(&mut tokenizer.byte_tokens) {
            *byte_token = if (token as usize) < last { token } else { UNKNOWN };
        }
        tokenizer.sort()
    }

    /// A vocabulary without tokens.
    pub(crate) fn empty(rules: TokenRules) -> Self {
        Tokenizer {
            bytes: Vec::new(),
            ends: Vec::new(),
            scores: Vec::new(),
            kinds: Vec::new(),
            sorted: Vec::new(),
            longest: 0,
            byte_tokens: [rules.unknown; 256],
            rules,
        }
    }

    fn push(&mut self, piece: &[u8], score: f32) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(self.bytes.len() as u32);
        self.scores.push(score);
        self.longest = self.longest.max(piece.len());
    }

    /// Adds a token of which is known what it is for.
    pub(crate) fn push_token(&mut self, token: &Token<'_>) {
        self.push(token.piece, token.score);
        self.kinds.push(token.kind);
        let number = self.len() as u32 - 1;
        if let Some(byte) = self.byte(number) {
            self.byte_tokens[usize::from(byte)] = number;
        }
    }

    /// Makes pieces ready to be found.
    pub(crate) fn sort(mut self) -> Self {
        let is_text = |&token: &u32| match self.kinds.get(token as usize) {
            None => true,
            Some(TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused) => true,
            Some(TokenKind::Unknown | TokenKind::Control | TokenKind::Byte) => false,
        };
        let mut sorted: Vec<u32> = (0..self.len() as u32).filter(is_text).collect();
        sorted.sort_by(|&a, &b| self.piece(a).cmp(self.piece(b)));
        self.sorted = sorted;
        self
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

    /// Which tokens are special, and what goes before a text.
    pub fn rules(&self) -> TokenRules {
        self.rules
    }

    /// Whether this is a vocabulary of llama2.c's sort.
    pub(crate) fn is_llama2c(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether a text is over where the model says this token. llama2.c's stories are parted by
    /// BOS, and it goes on after EOS; elsewhere EOS ends a text too.
    pub fn ends_text(&self, token: u32) -> bool {
        token == self.rules.bos || (!self.is_llama2c() && token == self.rules.eos)
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

    /// What a token shows: its piece, nothing if it is known to be none of a text.
    pub(crate) fn shown(&self, token: u32) -> &[u8] {
        match self.kinds.get(token as usize) {
            Some(TokenKind::Unknown | TokenKind::Control | TokenKind::Unused) => &[],
            _ => self.piece(token),
        }
    }

    /// The score of a token: of two neighbours that could merge, those with the higher score do.
    pub fn score(&self, token: u32) -> Option<f32> {
        self.scores.get(token as usize).copied()
    }

    /// What a token is for. In llama2.c's vocabularies its number says so.
    pub(crate) fn kind(&self, token: u32) -> TokenKind {
        match self.kinds.get(token as usize) {
            Some(&kind) => kind,
            None if token == UNKNOWN => TokenKind::Unknown,
            None if token == BOS || token == EOS => TokenKind::Control,
            None if self.byte(token).is_some() => TokenKind::Byte,
            None => TokenKind::Normal,
        }
    }

    /// The first token of a text with this piece.
    pub fn find(&self, piece: &[u8]) -> Option<u32> {
        let index = self.sorted.partition_point(|&t| self.piece(t).cmp(piece) == Ordering::Less);
        self.sorted.get(index).copied().filter(|&token| self.piece(token) == piece)
    }

    /// The token that stands for one byte.
    pub(crate) fn byte_token(&self, byte: u8) -> u32 {
        self.byte_tokens[usize::from(byte)]
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
