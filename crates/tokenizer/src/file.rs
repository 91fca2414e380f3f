//! llama2.c's `tokenizer.bin`.
//!
//! Little-endian: an i32, the length of the longest piece; then for each token an f32 score, an
//! i32 length and the bytes of the piece, spaces as spaces. How many tokens there are is not
//! written: the file simply ends (llama2.c's `tokenizer.py`).

use crate::Tokenizer;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Why a file is not a tokenizer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FileError {
    /// There is nothing in the file.
    #[error("the file is empty; copy the tokenizer again")]
    Empty,
    /// The first number is no length.
    #[error("not a tokenizer: it would have pieces of up to {found} bytes in {size} bytes")]
    LongestPiece {
        /// What the file says.
        found: i32,
        /// Bytes in the file.
        size: usize,
    },
    /// A token's piece would end behind the file's end, or the file ends within a token.
    #[error(
        "token {token} is cut off at the end of the file: \
         the tokenizer is cut short, or not a tokenizer at all"
    )]
    CutShort {
        /// The token's number.
        token: usize,
    },
    /// A piece is empty, or has a length that is negative or that no word has.
    #[error("token {token} has a piece of {length} bytes")]
    PieceLength {
        /// The token's number.
        token: usize,
        /// The length that the file says.
        length: i32,
    },
    /// A score by which nothing can be ordered.
    #[error("the score of token {token} is not a number")]
    Score {
        /// The token's number.
        token: usize,
    },
    /// The tokenizer is not the model's.
    #[error("it has {found} tokens, the model {expected}: it belongs to another model")]
    VocabularySize {
        /// Tokens in the file.
        found: usize,
        /// Tokens of the model.
        expected: usize,
    },
    /// The file is larger than any vocabulary.
    #[error("{size} bytes are too many for a tokenizer")]
    TooLarge {
        /// Bytes in the file.
        size: u64,
    },
}

/// Bytes of the longest piece that is read. Memory for a few pieces is needed at every text.
const LONGEST_PIECE: usize = 1 << 16;

impl Tokenizer {
    /// The largest file that [`Tokenizer::read`] is meant for: far more than any vocabulary has.
    pub const LARGEST_FILE: u64 = 16 << 20;

    /// Reads a `tokenizer.bin`.
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let pieces = Pieces::of(bytes)?;
        // All of it is checked before anything is allocated.
        pieces.clone().try_for_each(|piece| piece.map(drop))?;
        Ok(Tokenizer::new(pieces.map_while(Result::ok)))
    }

    /// Reads a `tokenizer.bin` and checks that it has as many tokens as the model.
    pub fn read_for(bytes: &[u8], vocab_size: usize) -> Result<Self, FileError> {
        let found = Pieces::of(bytes)?.try_fold(0, |count, piece| piece.map(|_| count + 1))?;
        if found != vocab_size {
            return Err(FileError::VocabularySize { found, expected: vocab_size });
        }
        Self::read(bytes)
    }

    /// The vocabulary as a `tokenizer.bin`.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = (self.longest() as i32).to_le_bytes().into();
        for token in 0..self.len() as u32 {
            bytes.extend(self.score(token).unwrap_or(0.0).to_le_bytes());
            bytes.extend((self.piece(token).len() as i32).to_le_bytes());
            bytes.extend(self.piece(token));
        }
        bytes
    }
}

/// The files in which a model's tokenizer is looked for, beside the model and in this order:
/// `NAME.tokenizer.bin`, then `tokenizer.bin`. `model` is the model's file with its folder, parted
/// by `/`.
pub fn names_beside(model: &str) -> [String; 2] {
    let (folder, name) = model.rfind('/').map_or(("", model), |at| model.split_at(at + 1));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    [format!("{folder}{stem}.tokenizer.bin"), format!("{folder}tokenizer.bin")]
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// The pieces of a file with their scores, as they come. After an error there are none.
#[derive(Clone)]
struct Pieces<'a> {
    bytes: &'a [u8],
    token: usize,
}

impl<'a> Pieces<'a> {
    fn of(mut bytes: &'a [u8]) -> Result<Self, FileError> {
        let size = bytes.len();
        if size as u64 > Tokenizer::LARGEST_FILE {
            return Err(FileError::TooLarge { size: size as u64 });
        }
        if size == 0 {
            return Err(FileError::Empty);
        }
        let longest = take(&mut bytes).map(i32::from_le_bytes).unwrap_or(0);
        if !usize::try_from(longest).is_ok_and(|longest| (1..=size).contains(&longest)) {
            return Err(FileError::LongestPiece { found: longest, size });
        }
        Ok(Pieces { bytes, token: 0 })
    }

    fn read(&mut self) -> Result<(&'a [u8], f32), FileError> {
        let token = self.token;
        let cut_short = FileError::CutShort { token };
        let score = take(&mut self.bytes).map(f32::from_le_bytes).ok_or(cut_short.clone())?;
        let length = take(&mut self.bytes).map(i32::from_le_bytes).ok_or(cut_short.clone())?;
        if score.is_nan() {
            return Err(FileError::Score { token });
        }
        let bytes =
            usize::try_from(length).ok().filter(|bytes| (1..=LONGEST_PIECE).contains(bytes));
        let bytes = bytes.ok_or(FileError::PieceLength { token, length })?;
        let (piece, rest) = self.bytes.split_at_checked(bytes).ok_or(cut_short)?;
        (self.bytes, self.token) = (rest, token + 1);
        Ok((piece, score))
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<(&'a [u8], f32), FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let piece = self.read();
        if piece.is_err() {
            self.bytes = &[];
        }
        Some(piece)
    }
}
