//! Trains a tokenizer on a corpus.
//!
//! Byte-pair encoding (Sennrich, Haddow and Birch, 2016) as in SentencePiece, for llama2.c's
//! `tokenizer.bin`. At first the characters of the text are tokens; then the most frequent pair of
//! adjacent tokens is merged into a new one, until the vocabulary is full. Characters too rare for a
//! token of their own fall back to bytes, so every text can be encoded.
//!
//! llama2.c's encoder knows neither words nor which pair made a token: it merges any two adjacent
//! tokens whose text is a token, the earliest one first. It still gives the tokens of the training,
//! for two reasons. No token crosses a word boundary, and whether there is a boundary between two
//! characters depends on these two alone ([`words`]). And the text of a token is merged from the
//! same pair wherever it occurs, because only a later token, which is merged later, could change the
//! pair.

mod bpe;
mod words;

pub use words::words;

use crate::error::TrainError;
use anyhow::{Result, ensure};
use bootllm_tokenizer::Tokenizer;
use bpe::BpeTrainer;
use std::collections::HashMap;

/// Tokens of every vocabulary: unknown, BOS, EOS and the 256 bytes.
const RESERVED: usize = 259;
/// The token of byte 0.
const FIRST_BYTE: u32 = 3;
/// A non-ASCII character gets a token if it is at least one in this many characters. It then saves
/// about as many tokens as a merge does in a vocabulary of some thousands.
const RARE: u64 = 100_000;
/// Characters of the longest word to train on. Longer ones are not language, and merging them is
/// slow.
const LONGEST_WORD: usize = 64;

/// A tokenizer and the encoding of its training text.
pub struct TrainedTokenizer {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The tokens of each word of the text after the last merge.
    words: HashMap<String, Vec<u32>>,
}

impl TrainedTokenizer {
    /// The tokens of a document after the last merge of the training, without BOS. `None` if it has a
    /// word that was not in the training text, or one of more than 64 characters.
    pub fn encode(&self, document: &str) -> Option<Vec<u32>> {
        let document = format!(" {document}");
        let tokens: Option<Vec<&[u32]>> =
            words(&document).map(|word| self.words.get(word).map(Vec::as_slice)).collect();
        Some(tokens?.concat())
    }
}

/// Trains a tokenizer with `vocab_size` tokens on documents.
///
/// # Errors
/// [`TrainError::VocabularyTooSmall`] and [`TrainError::VocabularyTooLarge`].
pub fn train<'a>(
    documents: impl IntoIterator<Item = &'a str>,
    vocab_size: usize,
) -> Result<TrainedTokenizer> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for document in documents {
        // The encoder puts a space before the text.
        let document = format!(" {document}");
        for word in words(&document) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
    }
    // Sorted, because the order of a hash map is random.
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.retain(|(word, _)| word.chars().nth(LONGEST_WORD).is_none());
    counts.sort();

    let alphabet = alphabet(&counts, vocab_size)?;
    let mut trainer = BpeTrainer::new(&alphabet, &counts);
    while trainer.vocab_size() < vocab_size {
        let merged = trainer.merge_most_frequent();
        ensure!(merged, TrainError::VocabularyTooLarge { most: trainer.vocab_size(), vocab_size });
    }
    Ok(trainer.finish(counts))
}

/// The characters that get tokens, sorted.
fn alphabet(counts: &[(String, u64)], vocab_size: usize) -> Result<Vec<char>> {
    let mut characters: HashMap<char, u64> = HashMap::new();
    for (word, count) in counts {
        for character in word.chars() {
            *characters.entry(character).or_default() += count;
        }
    }
    let total: u64 = characters.values().sum();
    let always = |c: char| c == ' ' || c == '\n' || c.is_ascii_graphic();
    let (mut alphabet, mut others): (Vec<char>, Vec<char>) =
        characters.keys().copied().partition(|&c| always(c));
    let needed = RESERVED + alphabet.len();
    ensure!(vocab_size > needed, TrainError::VocabularyTooSmall { vocab_size, needed });
    others.retain(|c| characters[c] * RARE >= total);
    others.sort_by_key(|&c| (std::cmp::Reverse(characters[&c]), c));
    others.truncate((vocab_size - needed) / 2);
    alphabet.extend(others);
    alphabet.sort();
    Ok(alphabet)
}
