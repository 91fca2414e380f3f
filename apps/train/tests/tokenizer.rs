//! The tokenizer that is made encodes as its maker did.

use bootllm_tokenizer::{Decoder, Tokenizer};
use bootllm_train::corpus::Corpus;
use bootllm_train::vocabulary::{Trained, train};
use std::path::Path;

/// Asserts that the product's tokenizer, written and read, encodes these documents as the maker.
fn assert_same(trained: &Trained, documents: &[String]) -> usize {
    let tokenizer = Tokenizer::read(&trained.tokenizer.write()).unwrap();
    let mut compared = 0;
    for document in documents {
        if let Some(expected) = trained.encode(document) {
            assert_eq!(tokenizer.encode(document, false, false), expected, "{document:?}");
            compared += 1;
        }
    }
    compared
}

#[test]
fn tmp_corpus() {
    let folder = std::env::var("CORPUS").unwrap();
    let corpus = Corpus::read(Path::new(&folder)).unwrap();
    let trained = train(corpus.train.iter().map(String::as_str), 2048).unwrap();
    assert_eq!(assert_same(&trained, &corpus.train), corpus.train.len());
    eprintln!("held out: {} of {}", assert_same(&trained, &corpus.held_out), corpus.held_out.len());
    let mut decoder = Decoder::new(&trained.tokenizer);
    let text: Vec<String> = (259..2048)
        .map(|t| String::from_utf8_lossy(trained.tokenizer.piece(t)).into_owned())
        .collect();
    eprintln!("{text:?}");
    let _ = decoder.finish();
}
