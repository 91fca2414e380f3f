//! The vocabulary of a GGUF file.

use crate::encoder::is_known;
use crate::table::TokenTable;
use crate::{FileError, Tokenizer};
use bootllm_model_file::{Token, TokenKind, TokenRules, Tokens, Vocabulary};
use bootllm_platform::ReadAt;

impl Tokenizer {
    /// The tokenizer in a GGUF file. `file` is the one that `vocabulary` was read from.
    pub fn from_gguf(vocabulary: &Vocabulary, file: &mut dyn ReadAt) -> Result<Self, FileError> {
        let unknown_kind = || FileError::Kind { found: vocabulary.model().into() };
        if !is_known(vocabulary.model()) {
            return Err(unknown_kind());
        }
        let mut table = TokenTable::empty(vocabulary.rules());
        // As large as it would be as a `tokenizer.bin`.
        let mut size = 0;
        vocabulary.for_each(file, |token| {
            size += 8 + token.piece.len() as u64;
            if size > Tokenizer::LARGEST_FILE {
                return Err(FileError::TooLarge { size });
            }
            table.push_token(&token);
            Ok(())
        })?;
        Tokenizer::of_kind(vocabulary.model(), table.sort()).ok_or_else(unknown_kind)
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
