//! SentencePiece's byte-pair encoding (Kudo and Richardson, 2018), as llama2.c does it.

use super::Encoder;
use crate::table::TokenTable;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// No neighbour.
const NONE: u32 = u32::MAX;
/// Scores up to this never merge; llama2.c's search starts from it.
const LOWEST_SCORE: f32 = -1e10;

/// The encoder of vocabularies whose pieces have scores.
///
/// A space goes before the text, if the vocabulary wants that. Every character becomes its own
/// token, or the tokens of its bytes if the vocabulary lacks it. Then, as long as two neighbours'
/// pieces together are a piece, those merge whose result has the highest score, of equals the
/// leftmost. llama2.c looks through all pairs at every merge; here a heap holds them, which gives
/// the same tokens in n·log n steps.
///
/// llama.cpp does the same for its `llama` vocabularies, but for what no trained vocabulary has: a
/// piece of two characters one of which is none, and two equal pieces.
pub(super) struct SentencePiece;

impl Encoder for SentencePiece {
    fn encode(&self, table: &TokenTable, text: &str, tokens: &mut Vec<u32>) {
        let mut characters = Vec::with_capacity(text.len() + 1);
        if table.rules().add_space {
            push_character(table, " ", &mut characters);
        }
        let mut buffer = [0; 4];
        for character in text.chars() {
            push_character(table, character.encode_utf8(&mut buffer), &mut characters);
        }
        tokens.extend(Merge::new(table, characters).run());
    }
}

fn push_character(table: &TokenTable, character: &str, tokens: &mut Vec<u32>) {
    match table.find(character.as_bytes()) {
        Some(token) => tokens.push(token),
        None => tokens.extend(character.bytes().filter_map(|byte| table.byte_token(byte))),
    }
}

/// A sequence of tokens while it is merged: a linked list, and the merges that are possible.
struct Merge<'a> {
    table: &'a TokenTable,
    links: Vec<Link>,
    candidates: BinaryHeap<Candidate>,
    /// Room for two pieces.
    pair: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Link {
    token: u32,
    previous: u32,
    next: u32,
    /// Whether it is still in the list; otherwise it has merged into its left neighbour.
    alive: bool,
}

/// Two neighbours that could become one token. Out of date if either has changed since.
struct Candidate {
    score: f32,
    left: u32,
    right: u32,
    tokens: (u32, u32),
    merged: u32,
}

impl<'a> Merge<'a> {
    fn new(table: &'a TokenTable, tokens: Vec<u32>) -> Self {
        let count = tokens.len() as u32;
        let links = tokens.into_iter().zip(0..).map(|(token, index)| Link {
            token,
            previous: if index == 0 { NONE } else { index - 1 },
            next: if index + 1 == count { NONE } else { index + 1 },
            alive: true,
        });
        let pair = Vec::with_capacity(2 * table.longest());
        Merge { table, links: links.collect(), candidates: BinaryHeap::new(), pair }
    }

    fn run(mut self) -> impl Iterator<Item = u32> {
        for left in 1..self.links.len() as u32 {
            self.consider(left - 1, left);
        }
        while let Some(best) = self.candidates.pop() {
            let (left, right) = (self.links[best.left as usize], self.links[best.right as usize]);
            if !left.alive || !right.alive || (left.token, right.token) != best.tokens {
                continue;
            }
            self.links[best.right as usize].alive = false;
            self.links[best.left as usize].token = best.merged;
            self.links[best.left as usize].next = right.next;
            if right.next != NONE {
                self.links[right.next as usize].previous = best.left;
                self.consider(best.left, right.next);
            }
            if left.previous != NONE {
                self.consider(left.previous, best.left);
            }
        }
        self.links.into_iter().filter(|link| link.alive).map(|link| link.token)
    }

    /// Adds the merge of two neighbours to the candidates, if their pieces together are a piece.
    fn consider(&mut self, left: u32, right: u32) {
        let tokens = (self.links[left as usize].token, self.links[right as usize].token);
        let pieces = (self.table.piece(tokens.0), self.table.piece(tokens.1));
        if pieces.0.len() + pieces.1.len() > self.table.longest() {
            return;
        }
        self.pair.clear();
        self.pair.extend_from_slice(pieces.0);
        self.pair.extend_from_slice(pieces.1);
        let Some(merged) = self.table.find(&self.pair) else {
            return;
        };
        match self.table.score(merged) {
            Some(score) if score > LOWEST_SCORE => {
                self.candidates.push(Candidate { score, left, right, tokens, merged });
            }
            _ => {}
        }
    }
}

/// The greatest candidate is the one to merge next: the highest score, then the leftmost.
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        // No score is NaN (`consider` compares), and 0 and −0 are equal, as in C.
        let by_score = self.score.partial_cmp(&other.score).unwrap_or(Ordering::Equal);
        by_score.then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}
