//! How text becomes tokens: one file for each kind of vocabulary, and one line in [`KINDS`].

mod sentencepiece;

use crate::table::TokenTable;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Splits text into tokens, in the manner of one kind of vocabulary.
pub(crate) trait Encoder: Send + Sync {
    /// Appends the tokens of `text`, which is not empty. It begins a text or follows a token that
    /// was matched as a whole.
    fn encode(&self, table: &TokenTable, text: &str, tokens: &mut Vec<u32>);
}

/// A kind of vocabulary.
struct Kind {
    /// Its name in GGUF's `tokenizer.ggml.model`.
    name: &'static str,
    /// Its name among people.
    title: &'static str,
    /// Makes the encoder for a vocabulary.
    encoder: fn(&TokenTable) -> Box<dyn Encoder>,
}

/// All kinds that can be used. llama2.c's files are of the first one.
const KINDS: &[Kind] = &[Kind {
    name: "llama",
    title: "SentencePiece",
    encoder: |_| Box::new(sentencepiece::SentencePiece),
}];

/// Makes the encoder for a vocabulary of the kind that a GGUF file names.
pub(crate) fn encoder(name: &str, table: &TokenTable) -> Option<Box<dyn Encoder>> {
    let kind = KINDS.iter().find(|kind| kind.name == name)?;
    Some((kind.encoder)(table))
}

/// Makes the encoder for llama2.c's vocabularies.
pub(crate) fn llama2c_encoder(table: &TokenTable) -> Box<dyn Encoder> {
    (KINDS[0].encoder)(table)
}

/// Whether vocabularies of this kind can be used.
pub(crate) fn is_known(name: &str) -> bool {
    KINDS.iter().any(|kind| kind.name == name)
}

/// The kinds that can be used, for a message.
pub(crate) fn known_kinds() -> String {
    let names: Vec<String> =
        KINDS.iter().map(|kind| format!("{:?} ({})", kind.name, kind.title)).collect();
    names.join(", ")
}
