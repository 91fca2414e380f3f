//! Documents as tokens, and batches of them in an order that follows from the seed.

use crate::network::Batch;
use crate::parameters::Random;
use bootllm_tokenizer::{BOS, Tokenizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Documents as tokens: BOS, the text, and the BOS of the document that would follow. llama2.c
/// trains so too, and ends a text where the model says BOS.
pub struct Documents {
    documents: Vec<Vec<u32>>,
    bytes: usize,
}

impl Documents {
    /// The tokens of these texts.
    pub fn new(texts: &[String], tokenizer: &Tokenizer) -> Self {
        let encode = |text: &String| {
            let mut tokens = tokenizer.encode(text, true, false);
            tokens.push(BOS);
            tokens
        };
        let bytes = texts.iter().map(String::len).sum();
        Documents { documents: texts.par_iter().map(encode).collect(), bytes }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Tokens that are trained on in an epoch.
    pub fn tokens(&self) -> usize {
        self.documents.iter().map(|document| document.len() - 1).sum()
    }

    /// Bytes of all texts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A number that changes when the documents do (FNV-1a).
    pub fn fingerprint(&self) -> u64 {
        let tokens = self.documents.iter().flatten();
        tokens.fold(0xcbf2_9ce4_8422_2325, |hash: u64, &token| {
            (hash ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// The documents in batches of up to `batch_tokens`, for measuring: in order, without the BOS
    /// that ends each, for that is no text. One that is longer than the context is cut.
    pub fn batches(&self, context: usize, batch_tokens: usize) -> Vec<Batch> {
        let all = self.documents.iter().zip(0..);
        let pieces: Vec<Piece> = all
            .flat_map(|(tokens, document)| cut(document, tokens.len() - 2, context, context))
            .collect();
        let mut next = 0;
        let mut batches = Vec::new();
        while next < pieces.len() {
            batches.push(self.fill(&pieces, &mut next, batch_tokens));
        }
        batches
    }

    /// The pieces from `next` on that fit into a batch, at least one.
    fn fill(&self, pieces: &[Piece], next: &mut usize, batch_tokens: usize) -> Batch {
        let mut batch = Batch::default();
        while let Some(&Piece { document, start, length }) = pieces.get(*next) {
            if !batch.tokens.is_empty() && batch.tokens.len() + length > batch_tokens {
                break;
            }
            let tokens = &self.documents[document][start..=start + length];
            batch.tokens.extend(&tokens[..length]);
            batch.targets.extend(&tokens[1..]);
            batch.lengths.push(length);
            *next += 1;
        }
        batch
    }
}

/// Cuts a document, of which `length` tokens are fed in, into pieces of up to `context` tokens, the
/// first of up to `first`. Only the first begins with BOS, for no document begins where the others
/// do.
fn cut(
    document: usize,
    length: usize,
    first: usize,
    context: usize,
) -> impl Iterator<Item = Piece> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let most = if start == 0 { first } else { context };
        let piece = Piece { document, start, length: most.min(length - start) };
        start += piece.length;
        (piece.length > 0).then_some(piece)
    })
}

/// A part of a document: the tokens that are fed in.
#[derive(Clone, Copy, Debug)]
struct Piece {
    document: usize,
    start: usize,
    length: usize,
}

/// Where a run stands in its documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// How often all documents have been read.
    pub epoch: u64,
    /// Pieces of this epoch that have been read.
    pub piece: usize,
}

/// Batches without end: every epoch has all documents, in another order.
pub struct Feed<'a> {
    documents: &'a Documents,
    context: usize,
    batch_tokens: usize,
    seed: u64,
    pieces: Vec<Piece>,
    position: Position,
}

impl<'a> Feed<'a> {
    /// Batches of up to `batch_tokens`, from a position on. There must be a document.
    pub fn new(
        documents: &'a Documents,
        context: usize,
        batch_tokens: usize,
        seed: u64,
        position: Position,
    ) -> Self {
        let pieces = Vec::new();
        let mut feed = Feed { documents, context, batch_tokens, seed, pieces, position };
        feed.shuffle();
        feed
    }

    /// Where the next batch begins.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Cuts and orders the documents for the epoch. Long ones are cut elsewhere in every epoch.
    fn shuffle(&mut self) {
        let mut random = Random::new(self.seed ^ self.position.epoch.wrapping_mul(0x9e37_79b9));
        self.pieces.clear();
        for (document, tokens) in self.documents.documents.iter().enumerate() {
            let length = tokens.len() - 1;
            let whole = length <= self.context;
            let first = if whole { length } else { 1 + random.below(self.context) };
            self.pieces.extend(cut(document, length, first, self.context));
        }
        random.shuffle(&mut self.pieces);
    }

    /// The next batch; it may have fewer tokens, for no document is cut to fill it.
    pub fn next_batch(&mut self) -> Batch {
        if self.position.piece >= self.pieces.len() {
            self.position = Position { epoch: self.position.epoch + 1, piece: 0 };
            self.shuffle();
        }
        self.documents.fill(&self.pieces, &mut self.position.piece, self.batch_tokens)
    }

    /// How many batches it takes to read the documents this often.
    pub fn batches_in(mut self, epochs: f64) -> u64 {
        let mut batches = 0;
        while self.epochs() < epochs {
            self.next_batch();
            batches += 1;
        }
        batches
    }

    /// How often the documents have been read, the current epoch's share included.
    pub fn epochs(&self) -> f64 {
        let share = self.position.piece as f64 / self.pieces.len().max(1) as f64;
        self.position.epoch as f64 + share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(lengths: &[usize]) -> Documents {
        // Every token is another, so that a piece tells where it came from.
        let mut next = 10;
        let documents = lengths.iter().map(|&length| {
            let text: Vec<u32> = (next..next + length as u32).collect();
            next += length as u32;
            [&[BOS], text.as_slice(), &[BOS]].concat()
        });
        Documents { documents: documents.collect(), bytes: 0 }
    }

    #[test]
    fn an_epoch_has_every_token_once() {
        let documents = documents(&[3, 20, 1, 7, 8, 50]);
        let mut feed = Feed::new(&documents, 8, 16, 1, Position::default());
        let mut orders = Vec::new();
        for epoch in 0..3 {
            let mut targets = Vec::new();
            while feed.position().epoch == epoch && feed.position().piece < feed.pieces.len() {
                let batch = feed.next_batch();
                assert!(batch.tokens.len() <= 16);
                assert!(batch.lengths.iter().all(|&length| length <= 8));
                assert_eq!(batch.tokens.len(), batch.targets.len());
                targets.extend(batch.targets);
            }
            orders.push(targets.clone());
            targets.sort_unstable();
            let mut expected = vec![BOS; 6];
            expected.extend(10..99);
            assert_eq!(targets, expected);
            feed.position = Position { epoch: epoch + 1, piece: 0 };
            feed.shuffle();
        }
        assert_ne!(orders[0], orders[1]);
    }

    #[test]
    fn batches_are_counted_by_making_them() {
        let documents = documents(&[3, 20, 1, 7, 8, 50]);
        let feed = || Feed::new(&documents, 8, 16, 1, Position::default());
        let mut counted = feed();
        (0..feed().batches_in(2.5)).for_each(|_| drop(counted.next_batch()));
        assert!((2.5..2.8).contains(&counted.epochs()), "{}", counted.epochs());
    }

    #[test]
    fn a_feed_goes_on_where_another_stopped() {
        let documents = documents(&[3, 20, 1, 7, 8, 50]);
        let mut whole = Feed::new(&documents, 8, 16, 1, Position::default());
        for _ in 0..20 {
            let mut resumed = Feed::new(&documents, 8, 16, 1, whole.position());
            assert_eq!(resumed.next_batch(), whole.next_batch());
        }
    }

    #[test]
    fn measuring_leaves_out_the_end() {
        let documents = documents(&[3, 9]);
        let batches = documents.batches(8, 100);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].lengths, [3, 8, 1]);
        assert_eq!(batches[0].targets, (10..22).collect::<Vec<u32>>());
        assert_eq!(batches[0].tokens[..3], [BOS, 10, 11]);
    }
}
