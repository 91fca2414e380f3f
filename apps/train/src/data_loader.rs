//! Encoded documents, and batches of them in an order that follows from the seed.

use crate::network::Batch;
use crate::parameters::Random;
use bootllm_tokenizer::{BOS, Tokenizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Encoded documents: BOS, the text, and the BOS of the next document. llama2.c trains the same way,
/// and ends a text where the model predicts BOS.
pub struct Documents {
    documents: Vec<Vec<u32>>,
    bytes: usize,
}

impl Documents {
    /// Encodes texts.
    pub fn new(texts: &[String], tokenizer: &Tokenizer) -> Self {
        let encode = |text: &String| {
            let mut tokens = tokenizer.encode(text, true, false);
            tokens.push(BOS);
            tokens
        };
        let bytes = texts.iter().map(String::len).sum();
        Documents { documents: texts.par_iter().map(encode).collect(), bytes }
    }

    /// The number of documents.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there are no documents.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Tokens per epoch.
    pub fn tokens(&self) -> usize {
        self.documents.iter().map(|document| document.len() - 1).sum()
    }

    /// Bytes of all texts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A hash of all tokens (FNV-1a).
    pub fn fingerprint(&self) -> u64 {
        let tokens = self.documents.iter().flatten();
        tokens.fold(0xcbf2_9ce4_8422_2325, |hash: u64, &token| {
            (hash ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// Batches of up to `batch_tokens` tokens for evaluation: documents in order, without predicting
    /// the final BOS, which is not text. Documents longer than the context are cut.
    pub fn batches(&self, context: usize, batch_tokens: usize) -> Vec<Batch> {
        let all = self.documents.iter().zip(0..);
        let spans: Vec<Span> = all
            .flat_map(|(tokens, document)| cut(document, tokens.len() - 2, context, context))
            .collect();
        let mut next = 0;
        let mut batches = Vec::new();
        while next < spans.len() {
            batches.push(self.fill(&spans, &mut next, batch_tokens));
        }
        batches
    }

    /// A batch of the spans from `next` on that fit, at least one.
    fn fill(&self, spans: &[Span], next: &mut usize, batch_tokens: usize) -> Batch {
        let mut batch = Batch::default();
        while let Some(&Span { document, start, length }) = spans.get(*next) {
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

/// Cuts the `length` input tokens of a document into spans of up to `context` tokens, the first of up
/// to `first`. Only the first starts with BOS, because the document starts nowhere else.
fn cut(document: usize, length: usize, first: usize, context: usize) -> impl Iterator<Item = Span> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let most = if start == 0 { first } else { context };
        let span = Span { document, start, length: most.min(length - start) };
        start += span.length;
        (span.length > 0).then_some(span)
    })
}

/// Consecutive input tokens of a document.
#[derive(Clone, Copy, Debug)]
struct Span {
    document: usize,
    start: usize,
    length: usize,
}

/// The position of a data loader in its documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderPosition {
    /// Complete passes over all documents.
    pub epoch: u64,
    /// Spans of this epoch that have been read. Checkpoints call it `piece`.
    #[serde(rename = "piece")]
    pub span: usize,
}

/// An endless sequence of batches. Every epoch has all documents, in another order.
pub struct DataLoader<'a> {
    documents: &'a Documents,
    context: usize,
    batch_tokens: usize,
    seed: u64,
    spans: Vec<Span>,
    position: LoaderPosition,
}

impl<'a> DataLoader<'a> {
    /// Batches of up to `batch_tokens` tokens, from a position on. `documents` must not be empty.
    pub fn new(
        documents: &'a Documents,
        context: usize,
        batch_tokens: usize,
        seed: u64,
        position: LoaderPosition,
    ) -> Self {
        let spans = Vec::new();
        let mut loader = DataLoader { documents, context, batch_tokens, seed, spans, position };
        loader.shuffle();
        loader
    }

    /// The position of the next batch.
    pub fn position(&self) -> LoaderPosition {
        self.position
    }

    /// Cuts and shuffles the documents for the epoch. Long ones are cut at other places each time.
    fn shuffle(&mut self) {
        let mut random = Random::new(self.seed ^ self.position.epoch.wrapping_mul(0x9e37_79b9));
        self.spans.clear();
        for (document, tokens) in self.documents.documents.iter().enumerate() {
            let length = tokens.len() - 1;
            let whole = length <= self.context;
            let first = if whole { length } else { 1 + random.below(self.context) };
            self.spans.extend(cut(document, length, first, self.context));
        }
        random.shuffle(&mut self.spans);
    }

    /// The next batch. It may have fewer tokens, because no document is cut to fill it.
    pub fn next_batch(&mut self) -> Batch {
        if self.position.span >= self.spans.len() {
            self.position = LoaderPosition { epoch: self.position.epoch + 1, span: 0 };
            self.shuffle();
        }
        self.documents.fill(&self.spans, &mut self.position.span, self.batch_tokens)
    }

    /// The number of batches in `epochs` passes over the documents.
    pub fn batches_in(mut self, epochs: f64) -> u64 {
        let mut batches = 0;
        while self.epochs() < epochs {
            self.next_batch();
            batches += 1;
        }
        batches
    }

    /// Passes over the documents so far, with the fraction of the current one.
    pub fn epochs(&self) -> f64 {
        let share = self.position.span as f64 / self.spans.len().max(1) as f64;
        self.position.epoch as f64 + share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(lengths: &[usize]) -> Documents {
        // Every token occurs once, so a span shows where it came from.
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
        let mut loader = DataLoader::new(&documents, 8, 16, 1, LoaderPosition::default());
        let mut orders = Vec::new();
        for epoch in 0..3 {
            let mut targets = Vec::new();
            while loader.position().epoch == epoch && loader.position().span < loader.spans.len() {
                let batch = loader.next_batch();
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
            loader.position = LoaderPosition { epoch: epoch + 1, span: 0 };
            loader.shuffle();
        }
        assert_ne!(orders[0], orders[1]);
    }

    #[test]
    fn batches_are_counted() {
        let documents = documents(&[3, 20, 1, 7, 8, 50]);
        let loader = || DataLoader::new(&documents, 8, 16, 1, LoaderPosition::default());
        let mut counted = loader();
        (0..loader().batches_in(2.5)).for_each(|_| drop(counted.next_batch()));
        assert!((2.5..2.8).contains(&counted.epochs()), "{}", counted.epochs());
    }

    #[test]
    fn a_loader_continues_from_a_position() {
        let documents = documents(&[3, 20, 1, 7, 8, 50]);
        let mut whole = DataLoader::new(&documents, 8, 16, 1, LoaderPosition::default());
        for _ in 0..20 {
            let mut resumed = DataLoader::new(&documents, 8, 16, 1, whole.position());
            assert_eq!(resumed.next_batch(), whole.next_batch());
        }
    }

    #[test]
    fn evaluation_leaves_out_the_end() {
        let documents = documents(&[3, 9]);
        let batches = documents.batches(8, 100);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].lengths, [3, 8, 1]);
        assert_eq!(batches[0].targets, (10..22).collect::<Vec<u32>>());
        assert_eq!(batches[0].tokens[..3], [BOS, 10, 11]);
    }
}
