//! The vocabulary inside a file.

use super::GgufError;
use super::cursor::{Cursor, MOST};
use super::metadata::{self, value_type};
use super::{keys, read_header};
use crate::description::Budget;
use crate::{Metadata, ReadError};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::ReadAt;

/// The kind of vocabulary that is written: SentencePiece's, as the Llama models have it.
pub(super) const MODEL: &str = "llama";
/// What SentencePiece, and so GGUF, writes for a space.
const SPACE: &[u8] = "\u{2581}".as_bytes();
/// What stands for no token (llama.cpp's `LLAMA_TOKEN_NULL`, −1).
const NONE: i128 = u32::MAX as i128;
/// Tokens whose scores and kinds are read at once.
const BATCH: usize = 256;

/// What a token is for, by its number in GGUF (`llama_token_type` in llama.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// Stands for text that no other token can represent.
    Unknown,
    /// Controls, and is not text.
    Control,
    /// A piece of text that was added after training, and is matched as a whole.
    UserDefined,
    /// Not used.
    Unused,
    /// A single byte; its piece is of the form `<0x0A>`.
    Byte,
}

impl TokenKind {
    const ALL: [(i32, TokenKind); 6] = [
        (1, TokenKind::Normal),
        (2, TokenKind::Unknown),
        (3, TokenKind::Control),
        (4, TokenKind::UserDefined),
        (5, TokenKind::Unused),
        (6, TokenKind::Byte),
    ];

    fn of(number: i32) -> Self {
        let known = Self::ALL.into_iter().find(|(known, _)| *known == number);
        known.map_or(TokenKind::Normal, |(_, kind)| kind)
    }

    pub(super) fn number(self) -> i32 {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or(1, |(number, _)| number)
    }
}

/// One token of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token<'a> {
    /// Its text, with spaces as spaces.
    pub piece: &'a [u8],
    /// Of two possible merges, the one whose result has the higher score is made first.
    pub score: f32,
    /// What it is for.
    pub kind: TokenKind,
}

/// The special tokens of a vocabulary, and what goes before a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// The token that stands for text that no other token can represent.
    pub unknown: u32,
    /// The token that begins a text.
    pub bos: u32,
    /// The token that ends an answer.
    pub eos: u32,
    /// The token that ends a turn of a conversation, if there is one beside EOS.
    pub eot: Option<u32>,
    /// The token that ends a message within a turn, if there is one.
    pub eom: Option<u32>,
    /// Whether a text begins with BOS.
    pub add_bos: bool,
    /// Whether a space goes before a text.
    pub add_space: bool,
}

/// A vocabulary that is written into a file.
pub trait Tokens {
    /// How many tokens there are.
    fn count(&self) -> usize;

    /// A token.
    fn token(&self, index: usize) -> Token<'_>;

    /// The special tokens, and what goes before a text.
    fn rules(&self) -> TokenRules;
}

/// Where a file has its vocabulary, and how it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    /// Its kind.
    model: String,
    count: u64,
    /// Where the pieces, the scores and the kinds begin.
    pieces: u64,
    scores: Option<u64>,
    kinds: Option<u64>,
    rules: TokenRules,
}

impl Vocabulary {
    /// Looks for the vocabulary in a GGUF file of any model, or of none.
    pub fn read(file: &mut dyn ReadAt) -> Result<Self, ReadError> {
        let mut cursor = Cursor::new(file, 0)?;
        let header = read_header(&mut cursor)?;
        let metadata = metadata::read(&mut cursor, header.values, &mut Budget::new())?;
        Ok(Self::of(&metadata)?.ok_or(GgufError::NoVocabulary)?)
    }

    pub(super) fn of(metadata: &Metadata) -> Result<Option<Self>, GgufError> {
        use value_type::{F32, I32, STRING, U32};
        let Some(model) = metadata.text(keys::TOKENIZER_MODEL)? else {
            return Ok(None);
        };
        let pieces = metadata.array(keys::TOKENS, &[STRING], "a list of texts")?;
        let pieces = pieces.ok_or(GgufError::Missing { key: keys::TOKENS })?;
        let beside = |key, elements, expected| {
            let array = metadata.array(key, elements, expected)?;
            match array.filter(|array| array.count != pieces.count) {
                None => Ok(array.map(|array| array.offset)),
                Some(array) => {
                    let (found, expected) = (array.count, pieces.count);
                    Err(GgufError::VocabularySize { key, found, expected })
                }
            }
        };
        let check = |key, id: i128| {
            let token = u32::try_from(id).ok().filter(|&id| u64::from(id) < pieces.count);
            token.ok_or(GgufError::NoSuchToken { key })
        };
        let named = |key| Ok::<_, GgufError>(metadata.integer(key)?.filter(|&id| id != NONE));
        let token = |key, default| check(key, named(key)?.unwrap_or(default));
        let optional = |key| named(key)?.map(|id| check(key, id)).transpose();
        let rules = TokenRules {
            unknown: token(keys::UNKNOWN, 0)?,
            bos: token(keys::BOS, 1)?,
            eos: token(keys::EOS, 2)?,
            eot: optional(keys::EOT)?,
            eom: optional(keys::EOM)?,
            add_bos: metadata.bool(keys::ADD_BOS)?.unwrap_or(true),
            add_space: metadata.bool(keys::ADD_SPACE)?.unwrap_or(true),
        };
        Ok(Some(Vocabulary {
            model: model.to_owned(),
            count: pieces.count,
            pieces: pieces.offset,
            scores: beside(keys::SCORES, &[F32], "a list of numbers")?,
            kinds: beside(keys::KINDS, &[I32, U32], "a list of whole numbers")?,
            rules,
        }))
    }

    /// Which kind of vocabulary it is, and so how it encodes: `tokenizer.ggml.model`. Cut and cleaned
    /// so that it can be shown.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How many tokens there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The special tokens, and what goes before a text.
    pub fn rules(&self) -> TokenRules {
        self.rules
    }

    /// Calls `each` with every token, in order. The first error, of the file or of `each`, ends it.
    ///
    /// `file` is the one that was read.
    pub fn for_each<E: From<ReadError>>(
        &self,
        file: &mut dyn ReadAt,
        mut each: impl FnMut(Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor = Cursor::new(file, self.pieces)?;
        let mut piece = Vec::new();
        let (mut scores, mut kinds) = ([0; 4 * BATCH], [0; 4 * BATCH]);
        for first in (0..self.count).step_by(BATCH) {
            let bytes = 4 * (self.count - first).min(BATCH as u64) as usize;
            for (offset, numbers) in [(self.scores, &mut scores), (self.kinds, &mut kinds)] {
                if let Some(offset) = offset {
                    // The whole array is within the file.
                    let read = cursor.file().read_at(offset + 4 * first, &mut numbers[..bytes]);
                    read.map_err(ReadError::from)?;
                }
            }
            let numbers = scores[..bytes].as_chunks().0.iter().zip(kinds[..bytes].as_chunks().0);
            for (index, (&score, &kind)) in (first..).zip(numbers) {
                read_piece(&mut cursor, index, &mut piece)?;
                let score = f32::from_le_bytes(score);
                if score.is_nan() {
                    return Err(ReadError::from(GgufError::Score { token: index }).into());
                }
                let kind = TokenKind::of(i32::from_le_bytes(kind));
                each(Token { piece: &piece, score, kind })?;
            }
        }
        Ok(())
    }
}

/// Reads a piece, its spaces as spaces.
fn read_piece(cursor: &mut Cursor<'_>, token: u64, piece: &mut Vec<u8>) -> Result<(), ReadError> {
    let (text, whole) = cursor.string(MOST)?;
    if !whole {
        return Err(GgufError::PieceLength { token }.into());
    }
    piece.clear();
    let mut rest = text;
    while let Some((&byte, others)) = rest.split_first() {
        let space = rest.strip_prefix(SPACE);
        piece.push(if space.is_some() { b' ' } else { byte });
        rest = space.unwrap_or(others);
    }
    Ok(())
}

/// Replaces the spaces of a piece by what a file has for them.
pub(super) fn escape(piece: &[u8], escaped: &mut Vec<u8>) {
    escaped.clear();
    for byte in piece {
        let byte = core::slice::from_ref(byte);
        escaped.extend_from_slice(if byte == b" " { SPACE } else { byte });
    }
}
