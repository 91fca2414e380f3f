//! Documents that say the same.

use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

/// Words in a row that two documents hardly have in common by chance.
pub const RUN: usize = 8;

/// A document's words: lower case, letters and digits only. Layout and punctuation do not count,
/// so the same scene in two editions has the same words.
fn words(document: &str) -> Vec<String> {
    let letters = |word: &str| -> String {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    document.split_whitespace().map(letters).filter(|word| !word.is_empty()).collect()
}

/// SHA-256 of a document's words with a space between; `None` if it has no words.
pub fn key(document: &str) -> Option<[u8; 32]> {
    let words = words(document);
    (!words.is_empty()).then(|| Sha256::digest(words.join(" ")).into())
}

/// Hashes of all the runs of [`RUN`] words in a document.
fn runs(document: &str) -> Vec<u64> {
    words(document).windows(RUN).map(|run| fnv(run.join(" ").as_bytes())).collect()
}

/// FNV-1a, 64 bits: enough to tell runs apart, and the same on every machine.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Every run of words in the held-out documents, and whether it was met in a training document.
pub struct HeldOutRuns(HashMap<u64, bool>);

impl HeldOutRuns {
    /// The runs of these documents.
    pub fn of<'a>(documents: impl IntoIterator<Item = &'a String>) -> Self {
        Self(documents.into_iter().flat_map(|d| runs(d)).map(|run| (run, false)).collect())
    }

    /// Whether at least this share of the document's runs is held out. If not, it will be trained
    /// on, and those of its runs that are count as met.
    pub fn shares(&mut self, document: &str, share: f64) -> bool {
        let runs = runs(document);
        let distinct: HashSet<&u64> = runs.iter().filter(|run| self.0.contains_key(run)).collect();
        let common = runs.iter().filter(|run| distinct.contains(run)).count();
        if common > 0 && common as f64 >= share * runs.len() as f64 {
            return true;
        }
        for run in distinct {
            self.0.insert(*run, true);
        }
        false
    }

    /// The share of the held-out runs that were met in what is trained on.
    pub fn met(&self) -> f64 {
        let met = self.0.values().filter(|&&met| met).count();
        met as f64 / self.0.len().max(1) as f64
    }
}
