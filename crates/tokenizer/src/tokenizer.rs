//! The tokenizer: a table of tokens and an encoder.

use crate::encoder::{Encoder, encoder, llama2c_encoder};
use crate::table::TokenTable;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bootllm_model_file::{TokenKind, TokenRules};

/// A vocabulary and the way to split text into its tokens.
///
/// ```
/// use bootllm_tokenizer::{Decoder, Tokenizer};
///
/// let pieces: [(&[u8], f32); 7] = [
///     (b"<unk>", 0.0), (b"<s>", 0.0), (b"</s>", 0.0),
///     (b" ", -4.0), (b"h", -5.0), (b"i", -6.0), (b"hi", -1.0),
/// ];
/// let tokenizer = Tokenizer::new(pieces);
/// let tokens = tokenizer.encode("hi", true, false);
/// assert_eq!(tokens, [1, 3, 6]);
///
/// let mut decoder = Decoder::new(&tokenizer);
/// let mut text = String::new();
/// for &token in &tokens[1..] {
///     text += decoder.push(&tokenizer, token);
/// }
/// assert_eq!(text, " hi");
/// assert!(tokenizer.is_end_of_generation(1) && !tokenizer.is_end_of_generation(6));
/// ```
pub struct Tokenizer {
    pub(crate) table: TokenTable,
    encoder: Box<dyn Encoder>,
}

impl Tokenizer {
    /// llama2.c's vocabulary of pieces with their scores, token 0 first.
    pub fn new<'a>(pieces: impl IntoIterator<Item = (&'a [u8], f32)>) -> Self {
        let table = TokenTable::from_llama2c(pieces);
        let encoder = llama2c_encoder(&table);
        Tokenizer { table, encoder }
    }

    /// A vocabulary of the kind that a GGUF file names; `None` if no encoder is for it.
    pub(crate) fn of_kind(kind: &str, table: TokenTable) -> Option<Self> {
        let encoder = encoder(kind, &table)?;
        Some(Tokenizer { table, encoder })
    }

    /// The tokens of a text, with BOS before and EOS after it if asked for. (Where a vocabulary
    /// wants no BOS, only the empty text gets one: a model needs something to begin from.)
    ///
    /// User-defined tokens are matched first, as a whole, from left to right and the longest of
    /// several, as SentencePiece does; the vocabulary's encoder splits what lies between them. No
    /// text becomes a control token or the end of a generation, however it is spelled.
    pub fn encode(&self, text: &str, bos: bool, eos: bool) -> Vec<u32> {
        let rules = self.rules();
        let mut tokens = Vec::with_capacity(text.len() + 3);
        tokens.extend((bos && (rules.add_bos || text.is_empty())).then_some(rules.bos));
        let mut rest = text;
        while !rest.is_empty() {
            let (between, matched) = self.split_at_user_defined(rest);
            rest = &rest[between.len()..];
            if !between.is_empty() {
                self.encoder.encode(&self.table, between, &mut tokens);
            }
            if let Some(token) = matched {
                tokens.push(token);
                rest = &rest[self.piece(token).len()..];
            }
        }
        tokens.extend(eos.then_some(rules.eos));
        tokens
    }

    /// The beginning of a text up to its first user-defined token, and that token.
    fn split_at_user_defined<'a>(&self, text: &'a str) -> (&'a str, Option<u32>) {
        if self.table.has_user_defined() {
            for (index, _) in text.char_indices() {
                if let Some(token) = self.table.user_defined_at(&text[index..]) {
                    return (&text[..index], Some(token));
                }
            }
        }
        (text, None)
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the longest piece.
    pub fn longest(&self) -> usize {
        self.table.longest()
    }

    /// Which tokens are special, and what goes before a text.
    pub fn rules(&self) -> TokenRules {
        self.table.rules()
    }

    /// Whether a generation is over when the model chooses this token: the end of a text, of a turn
    /// or of a message, and the beginning of another text. llama2.c's vocabularies know only the
    /// last of these: its `run` goes on after EOS.
    pub fn is_end_of_generation(&self, token: u32) -> bool {
        self.table.end_of_generation().any(|end| end == token)
    }

    /// Whether an answer in a conversation is over when the model chooses this token. llama2.c's
    /// `chat` ends it at EOS, in its own vocabularies too, and goes on after BOS.
    pub fn is_end_of_turn(&self, token: u32) -> bool {
        let TokenRules { eos, eot, eom, .. } = self.rules();
        token == eos || [eot, eom].contains(&Some(token))
    }

    /// What a token is for. In llama2.c's vocabularies its number says so.
    pub fn kind(&self, token: u32) -> TokenKind {
        self.table.kind(token)
    }

    /// The piece of a token as the vocabulary has it (a byte's token reads `<0x0A>`); empty if
    /// there is no such token.
    pub fn piece(&self, token: u32) -> &[u8] {
        self.table.piece(token)
    }

    /// The score of a token: of two merges that are possible, the one with the higher score is made
    /// first.
    pub fn score(&self, token: u32) -> Option<f32> {
        self.table.score(token)
    }

    /// The first token with this piece among those that text can become.
    pub fn find(&self, piece: &[u8]) -> Option<u32> {
        self.table.find(piece)
    }

    /// The first control token with this piece. Templates put them between users' texts.
    pub fn find_control(&self, piece: &[u8]) -> Option<u32> {
        let is =
            |&token: &u32| self.kind(token) == TokenKind::Control && self.piece(token) == piece;
        (0..self.len() as u32).find(is)
    }
}
