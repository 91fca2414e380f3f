//! Finding the pieces, one by one.

use super::{FIRST_BYTE, RESERVED, Trained};
use bootllm_tokenizer::Tokenizer;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// A vocabulary that grows, and the text as it encodes it.
pub struct Learner {
    /// The pieces from token [`RESERVED`] on.
    pieces: Vec<String>,
    words: Vec<Word>,
    /// What neighbours would become, for all neighbours in the words.
    candidates: HashMap<String, Candidate>,
    /// The candidates, the most frequent first, of equals the first in the order of their text.
    /// An entry whose count is no longer the candidate's is out of date.
    queue: BinaryHeap<(u64, Reverse<String>)>,
}

struct Word {
    tokens: Vec<u32>,
    /// How often it is in the text.
    count: u64,
}

#[derive(Default)]
struct Candidate {
    count: u64,
    /// The words it is in, or was.
    words: BTreeSet<usize>,
}

impl Learner {
    /// A vocabulary of these characters, and the words of a text with how often they are in it.
    pub fn new(alphabet: &[char], counts: &[(String, u64)]) -> Self {
        let pieces: Vec<String> = alphabet.iter().map(char::to_string).collect();
        let tokens: HashMap<char, u32> = alphabet.iter().copied().zip(RESERVED as u32..).collect();
        let mut learner = Learner {
            pieces,
            words: Vec::new(),
            candidates: HashMap::new(),
            queue: BinaryHeap::new(),
        };
        for (word, count) in counts {
            let tokens = spelled(word, &tokens);
            learner.words.push(Word { tokens, count: *count });
            learner.note(learner.words.len() - 1);
        }
        learner.queue = learner
            .candidates
            .iter()
            .map(|(text, candidate)| (candidate.count, Reverse(text.clone())))
            .collect();
        learner
    }

    /// Tokens so far.
    pub fn vocab_size(&self) -> usize {
        RESERVED + self.pieces.len()
    }

    /// Makes the most frequent candidate a piece. False if none is in the text twice.
    pub fn learn(&mut self) -> bool {
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
            changed.extend(self.forget(word));
            self.join(word, &text);
            changed.extend(self.note(word));
        }
        for text in changed {
            let count = self.candidates[&text].count;
            self.queue.push((count, Reverse(text)));
        }
        true
    }

    /// The tokenizer, and the words as they are encoded now.
    pub fn finish(self, counts: Vec<(String, u64)>) -> Trained {
        let reserved = ["<unk>", "\n<s>\n", "\n</s>\n"].map(str::to_owned).into_iter();
        let bytes = (0..=255).map(|byte: u8| format!("<0x{byte:02X}>"));
        let pieces: Vec<String> = reserved.chain(bytes).chain(self.pieces).collect();
        // Earlier pieces have the higher scores. Those below are never joined from others.
        let score = |token: usize| -(token.saturating_sub(RESERVED) as f32);
        let scored = pieces.iter().enumerate().map(|(token, p)| (p.as_bytes(), score(token)));
        let words = counts.into_iter().zip(self.words);
        Trained {
            tokenizer: Tokenizer::new(scored),
            words: words.map(|((text, _), word)| (text, word.tokens)).collect(),
        }
    }

    /// What two neighbours would become. Bytes are never joined.
    fn joined(&self, left: u32, right: u32) -> Option<String> {
        let piece = |token: u32| self.pieces.get((token as usize).checked_sub(RESERVED)?);
        Some(format!("{}{}", piece(left)?, piece(right)?))
    }

    /// What neighbours in a word would become, and how often it is in the text for its sake.
    fn candidates_of(&self, word: usize) -> (Vec<String>, u64) {
        let Word { tokens, count } = &self.words[word];
        let pairs = tokens.windows(2).filter_map(|pair| self.joined(pair[0], pair[1]));
        (pairs.collect(), *count)
    }

    /// Counts the neighbours in a word.
    fn note(&mut self, word: usize) -> Vec<String> {
        let (texts, count) = self.candidates_of(word);
        for text in &texts {
            let candidate = self.candidates.entry(text.clone()).or_default();
            candidate.count += count;
            candidate.words.insert(word);
        }
        texts
    }

    /// Takes the neighbours in a word out of the count.
    fn forget(&mut self, word: usize) -> Vec<String> {
        let (texts, count) = self.candidates_of(word);
        for text in &texts {
            if let Some(candidate) = self.candidates.get_mut(text) {
                candidate.count -= count;
            }
        }
        texts
    }

    /// Joins the neighbours in a word that are the newest piece, from left to right.
    fn join(&mut self, word: usize, text: &str) {
        let newest = self.vocab_size() as u32 - 1;
        let mut at = 0;
        while let Some(&[left, right]) = self.words[word].tokens.get(at..at + 2) {
            if self.joined(left, right).is_some_and(|joined| joined == text) {
                self.words[word].tokens.splice(at..at + 2, [newest]);
            }
            at += 1;
        }
    }
}

/// A word in characters, and in bytes where there is no token for one.
fn spelled(word: &str, characters: &HashMap<char, u32>) -> Vec<u32> {
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
