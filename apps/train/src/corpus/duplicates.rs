//! Duplicate and similar documents.

use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

/// Words of an n-gram. Two documents rarely share eight words in a row by chance.
const NGRAM_WORDS: usize = 8;

/// The words of a document in lower case, letters and digits only, so that the same scene in two
/// editions has the same words whatever its layout and punctuation.
fn words(document: &str) -> Vec<String> {
    let letters = |word: &str| -> String {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    document.split_whitespace().map(letters).filter(|word| !word.is_empty()).collect()
}

/// SHA-256 of a document's words, separated by spaces. `None` if it has no words.
pub fn key(document: &str) -> Option<[u8; 32]> {
    let words = words(document);
    (!words.is_empty()).then(|| Sha256::digest(words.join(" ")).into())
}

/// Hashes of all n-grams of a document.
fn ngrams(document: &str) -> Vec<u64> {
    words(document).windows(NGRAM_WORDS).map(|ngram| fnv(ngram.join(" ").as_bytes())).collect()
}

/// FNV-1a, 64 bits: few collisions, and the same on every machine.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Every n-gram of the held-out documents, and whether a training document has it too.
pub struct HeldOutNgrams(HashMap<u64, bool>);

impl HeldOutNgrams {
    /// The n-grams of these documents.
    pub fn of<'a>(documents: impl IntoIterator<Item = &'a String>) -> Self {
        Self(documents.into_iter().flat_map(|d| ngrams(d)).map(|ngram| (ngram, false)).collect())
    }

    /// Whether at least `share` of the document's n-grams are held out. If not, it will be trained
    /// on, so its held-out n-grams are marked as leaked.
    pub fn overlaps(&mut self, document: &str, share: f64) -> bool {
        let ngrams = ngrams(document);
        let distinct: HashSet<&u64> = ngrams.iter().filter(|n| self.0.contains_key(n)).collect();
        let common = ngrams.iter().filter(|ngram| distinct.contains(ngram)).count();
        if common > 0 && common as f64 >= share * ngrams.len() as f64 {
            return true;
        }
        for ngram in distinct {
            self.0.insert(*ngram, true);
        }
        false
    }

    /// The share of held-out n-grams that training documents have too.
    pub fn leaked_share(&self) -> f64 {
        let leaked = self.0.values().filter(|&&leaked| leaked).count();
        leaked as f64 / self.0.len().max(1) as f64
    }
}
