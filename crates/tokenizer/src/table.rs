//! The table of tokens: pieces, scores, kinds, special tokens, and finding a token by its piece.

use alloc::vec::Vec;
use bootllm_model_file::{Token, TokenKind, TokenRules};
use core::cmp::Ordering;

/// llama2.c's token for text that no other token can represent.
pub const UNKNOWN: u32 = 0;
/// llama2.c's token that begins a text, and so separates texts.
pub const BOS: u32 = 1;
/// llama2.c's token that ends an answer.
pub const EOS: u32 = 2;
/// llama2.c's token of byte 0; those of the other bytes follow.
pub(crate) const FIRST_BYTE: u32 = 3;

/// Bytes of the longest piece that is matched as a whole: longer than any real one, and short
/// enough that no vocabulary makes the search slow.
const LONGEST_WHOLE: usize = 256;

/// All tokens of a vocabulary, whichever way it encodes text.
///
/// There are two sources. llama2.c's files have nothing but pieces and scores: tokens 0, 1 and 2
/// are unknown, BOS and EOS, and 3 to 258 stand for single bytes. A GGUF file says what each token
/// is for.
pub(crate) struct TokenTable {
    /// All pieces in a row.
    bytes: Vec<u8>,
    /// Where each piece ends in `bytes`; it begins where the one before ends.
    ends: Vec<u32>,
    scores: Vec<f32>,
    /// What each token is for, as a GGUF file says; empty for llama2.c's vocabularies.
    kinds: Vec<TokenKind>,
    /// The tokens that text can become, in the order of their pieces; equal pieces in the order of
    /// their numbers.
    sorted: Vec<u32>,
    /// Those of them that are matched as a whole, in the same order.
    user_defined: Vec<u32>,
    longest: usize,
    /// The token of each byte: where it has none of its own the unknown one, unless that controls.
    byte_tokens: [Option<u32>; 256],
    rules: TokenRules,
}

/// The tokens at which a text, a turn or a message begins or ends.
fn ends(rules: TokenRules) -> [Option<u32>; 4] {
    [Some(rules.bos), Some(rules.eos), rules.eot, rules.eom]
}

impl TokenTable {
    /// llama2.c's vocabulary of pieces with their scores, token 0 first.
    pub(crate) fn from_llama2c<'a>(pieces: impl IntoIterator<Item = (&'a [u8], f32)>) -> Self {
        let mut table = TokenTable::empty(TokenRules {
            unknown: UNKNOWN,
            bos: BOS,
            eos: EOS,
            eot: None,
            eom: None,
            add_bos: true,
            add_space: true,
        });
        for (piece, score) in pieces {
            table.push(piece, score);
        }
        let count = table.len();
        for (token, byte_token) in (FIRST_BYTE..).zip(&mut table.byte_tokens) {
            *byte_token = Some(if (token as usize) < count { token } else { UNKNOWN });
        }
        table.sort()
    }

    /// A table without tokens.
    pub(crate) fn empty(rules: TokenRules) -> Self {
        let controls = ends(rules).contains(&Some(rules.unknown));
        TokenTable {
            bytes: Vec::new(),
            ends: Vec::new(),
            scores: Vec::new(),
            kinds: Vec::new(),
            sorted: Vec::new(),
            user_defined: Vec::new(),
            longest: 0,
            byte_tokens: [(!controls).then_some(rules.unknown); 256],
            rules,
        }
    }

    fn push(&mut self, piece: &[u8], score: f32) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(self.bytes.len() as u32);
        self.scores.push(score);
        self.longest = self.longest.max(piece.len());
    }

    /// Adds a token of a GGUF file.
    pub(crate) fn push_token(&mut self, token: &Token<'_>) {
        self.push(token.piece, token.score);
        self.kinds.push(token.kind);
        let number = self.len() as u32 - 1;
        if let Some(byte) = self.byte(number)
            && !self.is_special(number)
        {
            self.byte_tokens[usize::from(byte)] = Some(number);
        }
    }

    /// Makes pieces ready to be found.
    pub(crate) fn sort(mut self) -> Self {
        let mut sorted: Vec<u32> =
            (0..self.len() as u32).filter(|&token| self.is_text(token)).collect();
        sorted.sort_by(|&a, &b| self.piece(a).cmp(self.piece(b)));
        let whole = |&token: &u32| {
            self.kinds.get(token as usize) == Some(&TokenKind::UserDefined)
                && (1..=LONGEST_WHOLE).contains(&self.piece(token).len())
                && core::str::from_utf8(self.piece(token)).is_ok()
        };
        self.user_defined = sorted.iter().copied().filter(whole).collect();
        self.sorted = sorted;
        self
    }

    /// Whether a token controls. Text never becomes such a token, however it is spelled: users could
    /// otherwise end their own message and speak for the model.
    fn is_special(&self, token: u32) -> bool {
        ends(self.rules).contains(&Some(token))
            || matches!(self.kind(token), TokenKind::Unknown | TokenKind::Control)
    }

    /// Whether a text's characters are merged into this token. A byte's token stands for what has
    /// no token of its own; only llama2.c also finds `<0x0A>` in a text.
    fn is_text(&self, token: u32) -> bool {
        !self.is_special(token) && (self.kind(token) != TokenKind::Byte || self.is_llama2c())
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the longest piece.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    pub(crate) fn rules(&self) -> TokenRules {
        self.rules
    }

    /// Whether this is a vocabulary of llama2.c's files.
    pub(crate) fn is_llama2c(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The tokens after which a generation is over. llama2.c's `run` ends a text at BOS and goes on
    /// after EOS.
    pub(crate) fn end_of_generation(&self) -> impl Iterator<Item = u32> {
        let goes_on = self.is_llama2c().then_some(self.rules.eos);
        ends(self.rules).into_iter().flatten().filter(move |&token| goes_on != Some(token))
    }

    /// The piece of a token as the vocabulary has it (a byte's token reads `<0x0A>`); empty if
    /// there is no such token.
    pub(crate) fn piece(&self, token: u32) -> &[u8] {
        let index = token as usize;
        let Some(&end) = self.ends.get(index) else {
            return &[];
        };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..end as usize]
    }

    /// What a token shows: its piece; nothing if a GGUF file says that it is no text.
    pub(crate) fn shown(&self, token: u32) -> &[u8] {
        match self.kinds.get(token as usize) {
            Some(TokenKind::Unknown | TokenKind::Control | TokenKind::Unused) => &[],
            _ => self.piece(token),
        }
    }

    pub(crate) fn score(&self, token: u32) -> Option<f32> {
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

    /// The first token with this piece among those that text can become.
    pub(crate) fn find(&self, piece: &[u8]) -> Option<u32> {
        let index = self.sorted.partition_point(|&t| self.piece(t).cmp(piece) == Ordering::Less);
        self.sorted.get(index).copied().filter(|&token| self.piece(token) == piece)
    }

    /// Whether some tokens are matched as a whole.
    pub(crate) fn has_user_defined(&self) -> bool {
        !self.user_defined.is_empty()
    }

    /// The user-defined token with the longest piece that `text` begins with.
    pub(crate) fn user_defined_at(&self, text: &str) -> Option<u32> {
        let mut start = text.as_bytes();
        loop {
            // The greatest piece that is not greater than `start`. If `start` begins with it, it is
            // the longest such piece, for a longer one would be greater.
            let end = self.user_defined.partition_point(|&token| self.piece(token) <= start);
            let piece = self.piece(*self.user_defined[..end].last()?);
            if start.starts_with(piece) {
                let first = self.user_defined.partition_point(|&token| self.piece(token) < piece);
                return self.user_defined.get(first).copied();
            }
            // Otherwise a piece that `start` begins with is no longer than what both begin with:
            // it would be greater than this one.
            let common = start.iter().zip(piece).take_while(|(a, b)| a == b).count();
            start = &start[..common];
        }
    }

    /// The token that stands for one byte in a text; `None` if there is none, and the byte is left
    /// out.
    pub(crate) fn byte_token(&self, byte: u8) -> Option<u32> {
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
