//! A trained tokenizer encodes like its training did.

use bootllm_tokenizer::{BOS, Decoder, Tokenizer};
use bootllm_train::corpus::documents;
use bootllm_train::error::TrainError;
use bootllm_train::vocabulary::{TrainedTokenizer, train};
use std::path::Path;

/// Reads the trained tokenizer like the product does. Asserts that it encodes these documents like the
/// training did and decodes them again. Returns the number of documents that the training encodes.
fn assert_same<'a>(
    trained: &TrainedTokenizer,
    documents: impl IntoIterator<Item = &'a str>,
) -> usize {
    let tokenizer = Tokenizer::from_bytes(&trained.tokenizer.write()).expect("a tokenizer");
    let mut compared = 0;
    for document in documents {
        let tokens = tokenizer.encode(document, true, false);
        assert_eq!(decoded(&tokenizer, &tokens), document);
        if let Some(expected) = trained.encode(document) {
            assert_eq!(tokens[0], BOS);
            assert_eq!(tokens[1..], expected, "{document:?}");
            compared += 1;
        }
    }
    compared
}

fn decoded(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    let mut decoder = Decoder::new(tokenizer);
    let mut text = String::new();
    for &token in tokens {
        let piece = decoder.push(tokenizer, token);
        text.push_str(if token == BOS { "" } else { piece });
    }
    text.push_str(decoder.finish());
    text
}

/// A linear congruential generator.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

/// Texts of few letters. They are hard for an encoder, because most adjacent pairs are tokens and the
/// same token can be merged from different pairs.
fn generated(seed: u64) -> Vec<String> {
    const CHARACTERS: [char; 16] =
        ['a', 'a', 'a', 'b', 'b', 'c', ' ', ' ', '.', '.', '"', '1', '\n', 'é', '世', '\t'];
    let mut numbers = Numbers(seed);
    let mut text = |length: usize| -> String {
        (0..length).map(|_| CHARACTERS[numbers.below(CHARACTERS.len())]).collect()
    };
    (1..200).map(|length| format!("x{}x", text(length))).collect()
}

#[test]
fn generated_text_is_encoded_like_the_training_did() {
    for seed in 0..8 {
        let texts = generated(seed);
        let trained = train(texts.iter().map(String::as_str), 259 + 200).unwrap();
        assert_eq!(trained.tokenizer.len(), 459);
        assert_eq!(assert_same(&trained, texts.iter().map(String::as_str)), texts.len());
        // In other texts, known words are encoded in the same way.
        assert_same(&trained, generated(seed + 100).iter().map(String::as_str));
    }
}

#[test]
#[cfg_attr(not(has_shared), ignore = "needs the folder `shared` beside the repository")]
fn real_text_is_encoded_like_the_training_did() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/text");
    let text = std::fs::read_to_string(file.join("tinystories-c.txt")).unwrap();
    let texts: Vec<&str> = documents(&text).map(str::trim).collect();
    let (first, last) = texts.split_at(texts.len() * 9 / 10);
    let trained = train(first.iter().copied(), 2048).unwrap();
    // All of it takes half a minute in a debug build.
    let part = if cfg!(debug_assertions) { 200 } else { first.len() };
    assert_eq!(assert_same(&trained, first[..part].iter().copied()), part);
    assert!(assert_same(&trained, last.iter().copied().take(part)) > 0);
}

#[test]
fn the_vocabulary_has_llama2_cs_form() {
    let trained = train(["the cat sat, the cat ran\n\nthe €"], 275).unwrap();
    let tokenizer = &trained.tokenizer;
    assert_eq!(tokenizer.piece(0), b"<unk>");
    assert_eq!(tokenizer.piece(1), b"\n<s>\n");
    assert_eq!(tokenizer.piece(2), b"\n</s>\n");
    assert_eq!(tokenizer.piece(3), b"<0x00>");
    assert_eq!(tokenizer.piece(258), b"<0xFF>");
    assert_eq!((tokenizer.score(3), tokenizer.score(258)), (Some(0.0), Some(0.0)));
    // The characters, sorted, then the merges, the most frequent first.
    let pieces: Vec<_> = (259..275).map(|t| String::from_utf8_lossy(tokenizer.piece(t))).collect();
    let expected =
        ["\n", " ", ",", "a", "c", "e", "h", "n", "r", "s", "t", "€", "at", "he", "the", " c"];
    assert_eq!(pieces, expected);
    let scores: Vec<_> = (259..275).filter_map(|token| tokenizer.score(token)).collect();
    assert!(scores.is_sorted_by(|earlier, later| earlier > later), "{scores:?}");
    // No token crosses a word boundary, and unknown characters are bytes.
    let encoded = tokenizer.encode("the cat sat é", false, false);
    assert_eq!(decoded(tokenizer, &encoded), " the cat sat é");
    assert_eq!(encoded[encoded.len() - 2..], [3 + 0xC3, 3 + 0xA9]);
}

#[test]
fn rare_characters_are_spelled_in_bytes() {
    let text = format!("{}Ω", "ab ".repeat(100_000));
    let trained = train([text.as_str()], 264).unwrap();
    assert_eq!(trained.tokenizer.find("Ω".as_bytes()), None);
    assert_eq!(assert_same(&trained, [text.as_str()]), 1);
    let text = format!("{}Ω", "ab ".repeat(1000));
    assert!(train([text.as_str()], 264).unwrap().tokenizer.find("Ω".as_bytes()).is_some());
}

#[test]
fn the_order_of_the_documents_does_not_matter() {
    let mut texts = generated(3);
    let first = train(texts.iter().map(String::as_str), 400).unwrap();
    texts.reverse();
    let second = train(texts.iter().map(String::as_str), 400).unwrap();
    assert_eq!(first.tokenizer.write(), second.tokenizer.write());
}

#[test]
fn a_size_that_the_text_does_not_support_is_refused() {
    let refused = |size| {
        let error = train(["the cat sat, the cat ran"], size).err()?;
        Some(error.downcast::<TrainError>().unwrap())
    };
    let too_large = |vocab_size| TrainError::VocabularyTooLarge { most: 275, vocab_size };
    assert_eq!(refused(1000), Some(too_large(1000)));
    // The size in the error is the largest that works.
    assert_eq!(refused(275), None);
    assert_eq!(refused(276), Some(too_large(276)));
    // Ten characters.
    let too_small = |vocab_size| TrainError::VocabularyTooSmall { vocab_size, needed: 269 };
    assert_eq!(refused(269), Some(too_small(269)));
    assert_eq!(refused(259), Some(too_small(259)));
    assert_eq!(refused(270), None);
}

#[test]
fn very_long_words_are_not_trained_on() {
    let long = "ab".repeat(5000);
    let text = format!("ab ab ab {long}");
    let trained = train([text.as_str()], 264).unwrap();
    assert_eq!(trained.encode(&text), None);
    assert_same(&trained, [text.as_str()]);
}
