//! The vocabulary of a GGUF file.

use crate::{FileError, Tokenizer};
use bootllm_model_file::{Token, TokenKind, TokenRules, Tokens, Vocabulary};
use bootllm_platform::ReadAt;

impl Tokenizer {
    /// The tokenizer inside a GGUF file. `file` is the one that `vocabulary` was read from.
    pub fn inside(vocabulary: &Vocabulary, file: &mut dyn ReadAt) -> Result<Self, FileError> {
        let mut tokenizer = Tokenizer::empty(vocabulary.rules());
        // As large as it would be as a `tokenizer.bin`.
        let mut size = 0;
        vocabulary.for_each(file, |token| {
            size += 8 + token.piece.len() as u64;
            if size > Tokenizer::LARGEST_FILE {
                return Err(FileError::TooLarge { size });
            }
            tokenizer.push_token(&token);
            Ok(())
        })?;
        Ok(tokenizer.sort())
    }
}

/// As it is written into a GGUF file.
impl Tokens for Tokenizer {
    fn count(&self) -> usize {
        self.len()
    }

    fn token(&self, index: usize) -> Token<'_> {
        let token = index as u32;
        let kind = self.kind(token);
        let piece = self.piece(token);
        let piece = match kind {
            // llama2.c puts line ends around BOS and EOS.
            TokenKind::Control => piece.trim_ascii(),
            _ => piece,
        };
        Token { piece, score: self.score(token).unwrap_or(0.0), kind }
    }

    fn rules(&self) -> TokenRules {
        self.rules()
    }
}
