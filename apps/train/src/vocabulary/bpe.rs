//! The merges of byte-pair encoding.

use super::{FIRST_BYTE, RESERVED, TrainedTokenizer};
use bootllm_tokenizer::Tokenizer;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// A growing vocabulary, and the words of the text in its tokens.
pub struct BpeTrainer {
    /// The texts of the tokens from [`RESERVED`] on.
    pieces: Vec<String>,
    words: Vec<Word>,
    /// The text of every adjacent pair in the words, which may become a token.
    candidates: HashMap<String, Candidate>,
    /// The candidates, the most frequent first; ties are broken by text. Entries whose count is not
    /// the candidate's are stale.
    queue: BinaryHeap<(u64, Reverse<String>)>,
}

struct Word {
    tokens: Vec<u32>,
    /// Its occurrences in the text.
    count: u64,
}

#[derive(Default)]
struct Candidate {
    count: u64,
    /// The words that contain it, or did before a merge.
    words: BTreeSet<usize>,
}

impl BpeTrainer {
    /// Starts with a vocabulary of these characters, and the words of a text with their counts.
    pub fn new(alphabet: &[char], counts: &[(String, u64)]) -> Self {
        let pieces: Vec<String> = alphabet.iter().map(char::to_string).collect();
        let tokens: HashMap<char, u32> = alphabet.iter().copied().zip(RESERVED as u32..).collect();
        let mut trainer = BpeTrainer {
            pieces,
            words: Vec::new(),
            candidates: HashMap::new(),
            queue: BinaryHeap::new(),
        };
        for (word, count) in counts {
            let tokens = initial_tokens(word, &tokens);
            trainer.words.push(Word { tokens, count: *count });
            trainer.add_pairs(trainer.words.len() - 1);
        }
        trainer.queue = trainer
            .candidates
            .iter()
            .map(|(text, candidate)| (candidate.count, Reverse(text.clone())))
            .collect();
        trainer
    }

    /// The number of tokens so far.
    pub fn vocab_size(&self) -> usize {
        RESERVED + self.pieces.len()
    }

    /// Makes the most frequent candidate a token. Returns false if none occurs twice.
    pub fn merge_most_frequent(&mut self) -> bool {
        let text = loop {
            let Some((count, Reverse(text))) = self.queue.pop() else { return false };
            if self.candidates.get(&text).is_some_and(|candidate| candidate.count == count) {
                break text;
            }
        };
        let Some(found) = self.candidates.get(&text).filter(|found| found.count >= 2) else {
            return false;
        };
        let words = found.words.clone();
        self.pieces.push(text.clone());
        let mut changed = BTreeSet::new();
        for word in words {
            changed.extend(self.subtract_pairs(word));
            self.merge(word, &text);
            changed.extend(self.add_pairs(word));
        }
        for text in changed {
            let count = self.candidates[&text].count;
            self.queue.push((count, Reverse(text)));
        }
        true
    }

    /// The tokenizer, and the words in its tokens.
    pub fn finish(self, counts: Vec<(String, u64)>) -> TrainedTokenizer {
        let reserved = ["<unk>", "\n<s>\n", "\n</s>\n"].map(str::to_owned).into_iter();
        let bytes = (0..=255).map(|byte: u8| format!("<0x{byte:02X}>"));
        let pieces: Vec<String> = reserved.chain(bytes).chain(self.pieces).collect();
        // Earlier merges have higher scores. Reserved tokens are never merged from others.
        let score = |token: usize| -(token.saturating_sub(RESERVED) as f32);
        let scored = pieces.iter().enumerate().map(|(token, p)| (p.as_bytes(), score(token)));
        let words = counts.into_iter().zip(self.words);
        TrainedTokenizer {
            tokenizer: Tokenizer::new(scored),
            words: words.map(|((text, _), word)| (text, word.tokens)).collect(),
        }
    }

    /// The text of a pair. Bytes are never merged.
    fn merged_text(&self, left: u32, right: u32) -> Option<String> {
        let piece = |token: u32| self.pieces.get((token as usize).checked_sub(RESERVED)?);
        Some(format!("{}{}", piece(left)?, piece(right)?))
    }

    /// The pairs of a word, and how often each occurs in the text because of it.
    fn candidates_of(&self, word: usize) -> (Vec<String>, u64) {
        let Word { tokens, count } = &self.words[word];
        let pairs = tokens.windows(2).filter_map(|pair| self.merged_text(pair[0], pair[1]));
        (pairs.collect(), *count)
    }

    /// Adds the pairs of a word to the counts.
    fn add_pairs(&mut self, word: usize) -> Vec<String> {
        let (texts, count) = self.candidates_of(word);
        for text in &texts {
            let candidate = self.candidates.entry(text.clone()).or_default();
            candidate.count += count;
            candidate.words.insert(word);
        }
        texts
    }

    /// Subtracts the pairs of a word from the counts.
    fn subtract_pairs(&mut self, word: usize) -> Vec<String> {
        let (texts, count) = self.candidates_of(word);
        for text in &texts {
            if let Some(candidate) = self.candidates.get_mut(text) {
                candidate.count -= count;
            }
        }
        texts
    }

    /// Merges the pairs of a word that make the newest token, from left to right.
    fn merge(&mut self, word: usize, text: &str) {
        let newest = self.vocab_size() as u32 - 1;
        let mut at = 0;
        while let Some(&[left, right]) = self.words[word].tokens.get(at..at + 2) {
            if self.merged_text(left, right).is_some_and(|merged| merged == text) {
                self.words[word].tokens.splice(at..at + 2, [newest]);
            }
            at += 1;
        }
    }
}

/// A word as characters, and as bytes where a character has no token.
fn initial_tokens(word: &str, characters: &HashMap<char, u32>) -> Vec<u32> {
    let mut tokens = Vec::with_capacity(word.len());
    for character in word.chars() {
        match characters.get(&character) {
            Some(&token) => tokens.push(token),
            None => {
                let mut buffer = [0; 4];
                let bytes = character.encode_utf8(&mut buffer).bytes();
                tokens.extend(bytes.map(|byte| FIRST_BYTE + u32::from(byte)));
            }
        }
    }
    tokens
}
