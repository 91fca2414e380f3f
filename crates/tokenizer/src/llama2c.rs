//! llama2.c's `tokenizer.bin`.
//!
//! Little-endian: an i32, the length of the longest piece; then for each token an f32 score, an
//! i32 length and the bytes of the piece, spaces as spaces. How many tokens there are is not
//! written: the file simply ends (llama2.c's `tokenizer.py`).

use crate::table::FIRST_BYTE;
use crate::{BOS, EOS, FileError, Tokenizer, UNKNOWN};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_model_file::{ReadError, TokenKind, TokenRules, Vocabulary};
use bootllm_platform::ReadAt;

/// Bytes of the longest piece that is read. Encoding a text takes memory for a few pieces.
const LONGEST_PIECE: usize = 1 << 16;

impl Tokenizer {
    /// Bytes of the largest `tokenizer.bin` that is read: far more than any vocabulary takes.
    pub const LARGEST_FILE: u64 = 16 << 20;

    /// Reads the tokenizer in a file of its own, a `tokenizer.bin` or a GGUF file, and checks that it
    /// has as many tokens as the model.
    pub fn from_file(file: &mut dyn ReadAt, vocab_size: usize) -> Result<Self, FileError> {
        let size = file.size();
        let mut magic = [0; 4];
        if size >= magic.len() as u64 {
            file.read_at(0, &mut magic).map_err(ReadError::from)?;
        }
        if &magic == b"GGUF" {
            let vocabulary = Vocabulary::read(file)?;
            let found = usize::try_from(vocabulary.count()).unwrap_or(usize::MAX);
            if found != vocab_size {
                return Err(FileError::VocabularySize { found, expected: vocab_size });
            }
            return Self::from_gguf(&vocabulary, file);
        }
        if size > Self::LARGEST_FILE {
            return Err(FileError::TooLarge { size });
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size as usize).map_err(|_| FileError::OutOfMemory { size })?;
        bytes.resize(size as usize, 0);
        file.read_at(0, &mut bytes).map_err(ReadError::from)?;
        Self::from_bytes_for(&bytes, vocab_size)
    }

    /// Reads a `tokenizer.bin`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let pieces = Pieces::of(bytes)?;
        // All of it is checked before anything is allocated.
        pieces.clone().try_for_each(|piece| piece.map(drop))?;
        Ok(Tokenizer::new(pieces.map_while(Result::ok)))
    }

    /// Reads a `tokenizer.bin` and checks that it has as many tokens as the model.
    pub fn from_bytes_for(bytes: &[u8], vocab_size: usize) -> Result<Self, FileError> {
        let found = Pieces::of(bytes)?.try_fold(0, |count, piece| piece.map(|_| count + 1))?;
        if found != vocab_size {
            return Err(FileError::VocabularySize { found, expected: vocab_size });
        }
        Self::from_bytes(bytes)
    }

    /// Writes the vocabulary as a `tokenizer.bin`. [`Tokenizer::check_llama2c`] says whether that is
    /// possible.
    pub fn write(&self) -> Vec<u8> {
        // As llama2.c's tokenizer.py spells them.
        let spelled = |token| match token {
            BOS if !self.table.is_llama2c() => b"\n<s>\n",
            EOS if !self.table.is_llama2c() => b"\n</s>\n".as_slice(),
            token => self.piece(token),
        };
        let tokens = 0..self.len() as u32;
        let longest = tokens.clone().map(|token| spelled(token).len()).max().unwrap_or(0);
        let mut bytes: Vec<u8> = (longest as i32).to_le_bytes().into();
        for token in tokens {
            bytes.extend(self.score(token).unwrap_or(0.0).to_le_bytes());
            bytes.extend((spelled(token).len() as i32).to_le_bytes());
            bytes.extend(spelled(token));
        }
        bytes
    }

    /// Checks that a `tokenizer.bin` can hold this vocabulary without loss.
    pub fn check_llama2c(&self) -> Result<(), FileError> {
        if self.table.is_llama2c() {
            return Ok(());
        }
        let TokenRules { unknown, bos, eos, eot, eom, add_bos, add_space } = self.rules();
        let plain = |token| matches!(self.kind(token), TokenKind::Normal | TokenKind::Byte);
        let in_order =
            (FIRST_BYTE..).zip(0..=u8::MAX).all(|(n, byte)| self.table.byte_token(byte) == Some(n));
        let problems = [
            (
                (unknown, bos, eos, eot, eom) != (UNKNOWN, BOS, EOS, None, None),
                "its special tokens are others",
            ),
            (
                !(FIRST_BYTE..self.len() as u32).all(plain),
                "it has more tokens that are not plain text",
            ),
            (!in_order, "its bytes are other tokens"),
            (!add_bos, "its texts do not begin with BOS"),
            (!add_space, "its texts do not begin with a space"),
            ((0..self.len() as u32).any(|n| self.piece(n).is_empty()), "it has an empty piece"),
        ];
        match problems.into_iter().find(|(differs, _)| *differs) {
            None => Ok(()),
            Some((_, problem)) => Err(FileError::NotLlama2c { problem }),
        }
    }
}

/// The names under which a model's tokenizer is looked for in the folder of the model, in this
/// order: `NAME.tokenizer.bin`, then `tokenizer.bin`. `model` is the model's file name with its
/// folder, separated by `/`.
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
