//! The tokenizer that is made encodes as its maker did.

use bootllm_tokenizer::{BOS, Decoder, Tokenizer};
use bootllm_train::corpus::documents;
use bootllm_train::vocabulary::{Trained, train};
use std::path::Path;

/// Reads what the maker wrote, as the product does, and asserts that it encodes these documents
/// as the maker did, and that they come back. Says how many the maker could encode.
fn assert_same<'a>(trained: &Trained, documents: impl IntoIterator<Item = &'a str>) -> usize {
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

/// Numbers that look random, the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

/// Texts of few letters, which is hard on an encoder: most neighbours are pieces, and the same
/// piece can be made of different neighbours.
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
fn what_is_written_encodes_as_its_maker_did() {
    for seed in 0..8 {
        let texts = generated(seed);
        let trained = train(texts.iter().map(String::as_str), 259 + 200).unwrap();
        assert_eq!(trained.tokenizer.len(), 459);
        assert_eq!(assert_same(&trained, texts.iter().map(String::as_str)), texts.len());
        // On other texts the words that it knows are encoded alike too, and the others somehow.
        assert_same(&trained, generated(seed + 100).iter().map(String::as_str));
    }
}

#[test]
fn real_text_encodes_as_the_maker_did() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/text");
    let Ok(text) = std::fs::read_to_string(file.join("tinystories-c.txt")) else {
        eprintln!("skipped, for there is no folder `shared` beside the repository");
        return;
    };
    let texts: Vec<&str> = documents(&text).map(str::trim).collect();
    let (first, last) = texts.split_at(texts.len() * 9 / 10);
    let trained = train(first.iter().copied(), 2048).unwrap();
    // The whole of it takes a debug build half a minute.
    let part = if cfg!(debug_assertions) { 200 } else { first.len() };
    assert_eq!(assert_same(&trained, first[..part].iter().copied()), part);
    assert!(assert_same(&trained, last.iter().copied().take(part)) > 0);
}

#[test]
fn the_form_is_llama2_cs() {
    let trained = train(["the cat sat, the cat ran\n\nthe €"], 275).unwrap();
    let tokenizer = &trained.tokenizer;
    assert_eq!(tokenizer.piece(0), b"<unk>");
    assert_eq!(tokenizer.piece(1), b"\n<s>\n");
    assert_eq!(tokenizer.piece(2), b"\n</s>\n");
    assert_eq!(tokenizer.piece(3), b"<0x00>");
    assert_eq!(tokenizer.piece(258), b"<0xFF>");
    assert_eq!((tokenizer.score(3), tokenizer.score(258)), (Some(0.0), Some(0.0)));
    // The characters in their order, then the pieces, the most frequent first.
    let pieces: Vec<_> = (259..275).map(|t| String::from_utf8_lossy(tokenizer.piece(t))).collect();
    let expected =
        ["\n", " ", ",", "a", "c", "e", "h", "n", "r", "s", "t", "€", "at", "he", "the", " c"];
    assert_eq!(pieces, expected);
    let scores: Vec<_> = (259..275).filter_map(|token| tokenizer.score(token)).collect();
    assert!(scores.is_sorted_by(|earlier, later| earlier > later), "{scores:?}");
    // No piece spans the end of a word, and bytes stand for what was not seen.
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
    let refused = |size| train(["the cat sat, the cat ran"], size).err().map(|e| e.to_string());
    let error = refused(1000).unwrap();
    assert!(error.contains("at most 275 tokens, not 1000"), "{error}");
    // The size that is named is one that works, and the largest.
    assert_eq!(refused(275), None);
    assert!(refused(276).unwrap().contains("at most 275 tokens"));
    let error = refused(259).unwrap();
    assert!(error.contains("259 tokens is too small"), "{error}");
}

#[test]
fn a_word_without_end_is_left_to_the_bytes_and_letters() {
    let long = "ab".repeat(5000);
    let text = format!("ab ab ab {long}");
    let trained = train([text.as_str()], 264).unwrap();
    assert_eq!(trained.encode(&text), None);
    assert_same(&trained, [text.as_str()]);
}
