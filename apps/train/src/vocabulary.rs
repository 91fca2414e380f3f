//! Making a tokenizer for a corpus.
//!
//! Byte-pair encoding (Sennrich, Haddow and Birch, 2016) in SentencePiece's form, for llama2.c's
//! `tokenizer.bin`: first the characters of the text are tokens; then, again and again, the two
//! neighbours that stand together most often become one. Characters too rare for a token of their
//! own are spelled in bytes, so every text can be encoded.
//!
//! llama2.c's encoder knows neither words nor the neighbours that made a piece: it joins any two
//! whose text is a piece, the earliest piece first. It gives the same tokens as the making did, for
//! two reasons. No piece spans the end of a word, which two characters tell ([`words`]). And a text
//! that is a piece is made of the same two neighbours wherever it stands: what could change them,
//! a later piece, is joined later.

mod learn;
mod words;

pub use words::words;

use anyhow::{Result, ensure};
use bootllm_tokenizer::Tokenizer;
use learn::Learner;
use std::collections::HashMap;

/// Unknown, BOS, EOS and the 256 bytes.
const RESERVED: usize = 259;
/// The token of byte 0.
const FIRST_BYTE: u32 = 3;
/// A character that is not ASCII has a token of its own if it is one in this many. One that saves
/// two bytes so often is worth as much as a merge in a vocabulary of some thousands.
const RARE: u64 = 100_000;
/// Longer words are nothing that a person wrote, and would only cost time.
const LONGEST_WORD: usize = 64;

/// A tokenizer and the text it was made from.
pub struct Trained {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The words of the text, as they were encoded when the last piece was found.
    words: HashMap<String, Vec<u32>>,
}

impl Trained {
    /// The tokens of a document as the training left them, without BOS. `None` if it has a word
    /// that was not in the text, or one of more than 64 characters.
    pub fn encode(&self, document: &str) -> Option<Vec<u32>> {
        let document = format!(" {document}");
        let tokens: Option<Vec<&[u32]>> =
            words(&document).map(|word| self.words.get(word).map(Vec::as_slice)).collect();
        Some(tokens?.concat())
    }
}

/// Makes a vocabulary of this size from documents.
pub fn train<'a>(
    documents: impl IntoIterator<Item = &'a str>,
    vocab_size: usize,
) -> Result<Trained> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for document in documents {
        // The encoder puts a space in front.
        let document = format!(" {document}");
        for word in words(&document) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
    }
    // In an order that does not depend on the hash map.
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.retain(|(word, _)| word.chars().nth(LONGEST_WORD).is_none());
    counts.sort();

    let alphabet = alphabet(&counts, vocab_size)?;
    let mut learner = Learner::new(&alphabet, &counts);
    while learner.vocab_size() < vocab_size {
        ensure!(
            learner.learn(),
            "the text supports a vocabulary of at most {} tokens, not {vocab_size}; \
             choose a smaller one, or add text",
            learner.vocab_size()
        );
    }
    Ok(learner.finish(counts))
}

/// The characters that get tokens, in their order.
fn alphabet(counts: &[(String, u64)], vocab_size: usize) -> Result<Vec<char>> {
    let mut characters: HashMap<char, u64> = HashMap::new();
    for (word, count) in counts {
        for character in word.chars() {
            *characters.entry(character).or_default() += count;
        }
    }
    let total: u64 = characters.values().sum();
    let usual = |c: char| c == ' ' || c == '\n' || c.is_ascii_graphic();
    let (mut alphabet, mut others): (Vec<char>, Vec<char>) =
        characters.keys().copied().partition(|&c| usual(c));
    let needed = RESERVED + alphabet.len();
    ensure!(
        vocab_size > needed,
        "a vocabulary of {vocab_size} tokens is too small: bytes and the text's characters \
         alone are {needed}"
    );
    others.retain(|c| characters[c] * RARE >= total);
    others.sort_by_key(|&c| (std::cmp::Reverse(characters[&c]), c));
    others.truncate((vocab_size - needed) / 2);
    alphabet.extend(others);
    alphabet.sort();
    Ok(alphabet)
}
