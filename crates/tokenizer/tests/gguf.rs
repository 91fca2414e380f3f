//! Vocabularies of GGUF files: kinds, special tokens, and what text can never become.

use bootllm_model_file::{GgufError, ReadError, TokenKind, Vocabulary};
use bootllm_tokenizer::{Decoder, FileError, Tokenizer};
use proptest::prelude::*;

/// Numbers of kinds in a file.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// A file with nothing but a vocabulary.
#[derive(Clone, Debug)]
struct File {
    model: &'static str,
    /// Pieces with scores and kinds.
    tokens: Vec<(String, f32, i32)>,
    ids: Vec<(&'static str, u32)>,
    add_space: bool,
}

impl File {
    /// Unknown, BOS, EOS and all bytes, and then these.
    fn with(tokens: &[(&str, f32, i32)]) -> Self {
        let special = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)];
        let special = special.map(|(piece, kind)| (piece.to_string(), 0.0, kind)).into_iter();
        let bytes = (0..=255).map(|byte| (format!("<0x{byte:02X}>"), 0.0, BYTE));
        let own = tokens.iter().map(|&(piece, score, kind)| (piece.to_string(), score, kind));
        let tokens = special.chain(bytes).chain(own).collect();
        File { model: "llama", tokens, ids: Vec::new(), add_space: true }
    }

    fn id(mut self, key: &'static str, token: u32) -> Self {
        self.ids.push((key, token));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let count = (self.tokens.len() as u64).to_le_bytes();
        let array = |element: u32, elements: Vec<Vec<u8>>| {
            [&9u32.to_le_bytes(), &element.to_le_bytes(), &count[..], &elements.concat()].concat()
        };
        let pieces = self.tokens.iter().map(|(piece, ..)| string(piece)).collect();
        let scores = self.tokens.iter().map(|(_, score, _)| score.to_le_bytes().into()).collect();
        let kinds = self.tokens.iter().map(|(.., kind)| kind.to_le_bytes().into()).collect();
        let mut values = vec![
            ("model", [&8u32.to_le_bytes(), &string(self.model)[..]].concat()),
            ("tokens", array(8, pieces)),
            ("scores", array(6, scores)),
            ("token_type", array(5, kinds)),
            ("add_space_prefix", [&7u32.to_le_bytes()[..], &[self.add_space.into()]].concat()),
        ];
        for &(key, token) in &self.ids {
            values.push((key, [4u32.to_le_bytes(), token.to_le_bytes()].concat()));
        }
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(0u64.to_le_bytes());
        file.extend((values.len() as u64).to_le_bytes());
        for (key, value) in values {
            file.extend(string(&format!("tokenizer.ggml.{key}")));
            file.extend(value);
        }
        file
    }

    fn read(&self) -> Result<Tokenizer, FileError> {
        Tokenizer::from_file(&mut self.bytes().as_slice(), self.tokens.len())
    }

    fn tokenizer(&self) -> Tokenizer {
        self.read().unwrap()
    }
}

/// The first token of its own.
const OWN: u32 = 259;

#[test]
fn the_ends_of_a_generation_are_a_set() {
    let ends = |file: &File| -> Vec<u32> {
        let tokenizer = file.tokenizer();
        (0..tokenizer.len() as u32).filter(|&t| tokenizer.is_end_of_generation(t)).collect()
    };
    let file = File::with(&[("<|turn|>", 0.0, CONTROL), ("<|message|>", 0.0, CONTROL)]);
    assert_eq!(ends(&file), [1, 2]);
    let file = file.id("eot_token_id", OWN);
    assert_eq!(ends(&file), [1, 2, OWN]);
    let file = file.id("eom_token_id", OWN + 1);
    assert_eq!(ends(&file), [1, 2, OWN, OWN + 1]);
    let rules = file.tokenizer().rules();
    assert_eq!((rules.eot, rules.eom), (Some(OWN), Some(OWN + 1)));
    // What llama.cpp writes for no token.
    let none = File::with(&[]).id("eot_token_id", u32::MAX).id("eom_token_id", u32::MAX);
    assert_eq!(ends(&none), [1, 2]);
}

#[test]
fn special_tokens_are_within_the_vocabulary() {
    for key in ["bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id"] {
        assert!(File::with(&[]).id(key, OWN - 1).read().is_ok());
        for token in [OWN, u32::MAX - 1] {
            let error = File::with(&[]).id(key, token).read().err();
            let Some(FileError::Read(ReadError::Gguf(GgufError::NoSuchToken { key: named }))) =
                error
            else {
                panic!("{key}: {error:?}");
            };
            assert_eq!(named, format!("tokenizer.ggml.{key}"));
        }
    }
}

#[test]
fn a_vocabulary_of_an_unknown_kind_is_refused() {
    let file = File { model: "gpt2", ..File::with(&[]) };
    assert_eq!(file.read().err(), Some(FileError::Kind { found: "gpt2".into() }));
    let vocabulary = Vocabulary::read(&mut file.bytes().as_slice()).unwrap();
    assert_eq!(vocabulary.model(), "gpt2");
}

#[test]
fn a_llama2_c_file_has_no_place_for_more_special_tokens() {
    let check = |file: &File| file.tokenizer().check_llama2c();
    let file = File::with(&[("<|turn|>", 0.0, NORMAL)]);
    assert_eq!(check(&file), Ok(()));
    let more = [CONTROL, UNKNOWN, UNUSED, USER_DEFINED]
        .map(|kind| File::with(&[("<|turn|>", 0.0, kind)]))
        .into_iter()
        .chain([file.clone().id("eot_token_id", OWN), file.id("eom_token_id", OWN)]);
    for file in more {
        assert!(matches!(check(&file), Err(FileError::NotLlama2c { .. })), "{file:?}");
    }
}

/// A vocabulary of letters with user-defined tokens.
fn with_user_defined() -> File {
    File::with(&[
        (" ", -1.0, NORMAL),
        ("a", -2.0, NORMAL),
        ("b", -3.0, NORMAL),
        ("ab", -4.0, NORMAL),
        ("<x>", 0.0, USER_DEFINED),
        ("<x>a", 0.0, USER_DEFINED),
        ("<x>ab<x>", 0.0, USER_DEFINED),
        ("\n\n", 0.0, USER_DEFINED),
        ("é<", 0.0, USER_DEFINED),
        ("<y>", 0.0, CONTROL),
    ])
}

#[test]
fn user_defined_tokens_are_matched_as_a_whole() {
    let tokenizer = with_user_defined().tokenizer();
    let [space, a, b, ab, x, xa, xabx, lines, e, _] =
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|n| OWN + n);
    let byte = |byte: u8| u32::from(byte) + 3;
    for (text, tokens) in [
        // As in llama.cpp, a space goes before what follows such a token, too.
        ("ab<x>b", vec![space, ab, x, space, b]),
        ("<x>", vec![x]),
        ("<x>a", vec![xa]),
        ("<x>ab", vec![xa, space, b]),
        ("<x>ab<x>", vec![xabx]),
        ("<x>ab<x>ab<x>", vec![xabx, space, ab, x]),
        ("a\n\n\n", vec![space, a, lines, space, byte(b'\n')]),
        ("é<x>", vec![e, space, byte(b'x'), byte(b'>')]),
        ("<x", vec![space, byte(b'<'), byte(b'x')]),
        ("<y>", vec![space, byte(b'<'), byte(b'y'), byte(b'>')]),
    ] {
        assert_eq!(tokenizer.encode(text, false, false), tokens, "{text:?}");
    }
    let plain = File { add_space: false, ..with_user_defined() }.tokenizer();
    assert_eq!(plain.encode("ab<x>b", true, true), [1, ab, x, b, 2]);
    let mut decoder = Decoder::new(&plain);
    let mut text = String::new();
    for token in [ab, x, b, OWN + 9] {
        text.push_str(decoder.push(&plain, token));
    }
    assert_eq!(text, "ab<x>b", "a control token shows nothing");
}

#[test]
fn templates_find_control_tokens_that_text_does_not_become() {
    let tokenizer = with_user_defined().tokenizer();
    assert_eq!(tokenizer.find_control(b"<y>"), Some(OWN + 9));
    assert_eq!(tokenizer.find_control(b"<x>"), None);
    assert_eq!(tokenizer.find(b"<y>"), None);
    assert_eq!(tokenizer.kind(OWN + 9), TokenKind::Control);
    assert_eq!(tokenizer.kind(OWN + 4), TokenKind::UserDefined);
}

#[test]
fn a_user_defined_token_that_ends_a_generation_is_not_text() {
    for key in ["bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id"] {
        let tokenizer = with_user_defined().id(key, OWN + 4).tokenizer();
        let tokens = tokenizer.encode("a<x>b", false, false);
        assert!(!tokens.contains(&(OWN + 4)), "{key}: {tokens:?}");
    }
}

#[test]
fn a_tokenizer_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&with_user_defined().tokenizer());
}

#[test]
fn a_byte_does_not_become_a_control_token() {
    let spelled = File::with(&[("<0x41>", 0.0, CONTROL), ("<0x42>", 0.0, UNKNOWN)]).tokenizer();
    let byte = |byte: u8| u32::from(byte) + 3;
    let tokens = spelled.encode("ABC", false, false);
    assert_eq!(tokens, [b' ', b'A', b'B', b'C'].map(byte));
    // Where a byte has no other token, it is unknown.
    let ends = File::with(&[]).id("eot_token_id", byte(b'A')).tokenizer();
    assert_eq!(ends.encode("AB", false, false), [byte(b' '), 0, byte(b'B')]);
    let nothing = File::with(&[]).id("eot_token_id", byte(b'A')).id("unknown_token_id", 2);
    assert_eq!(nothing.tokenizer().encode("AB", false, false), [byte(b' '), byte(b'B')]);
}

/// Vocabularies in which every kind of token looks like text and can be merged from its parts.
fn treacherous() -> impl Strategy<Value = File> {
    let kind = prop_oneof![
        3 => Just(NORMAL),
        1 => Just(USER_DEFINED),
        1 => Just(UNUSED),
        1 => Just(UNKNOWN),
        2 => Just(CONTROL),
    ];
    let token = ("[<>/sab|]{1,4}", -9.0f32..9.0, kind);
    let ids = proptest::collection::vec(any::<prop::sample::Index>(), 4);
    (proptest::collection::vec(token, 5..60), ids, any::<bool>()).prop_map(
        |(tokens, ids, add_space)| {
            let own: Vec<_> =
                tokens.iter().map(|(p, score, kind)| (p.as_str(), *score, *kind)).collect();
            let keys = ["bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id"];
            let file = File { add_space, ..File::with(&own) };
            keys.into_iter()
                .zip(ids)
                .fold(file, |file, (key, index)| file.id(key, OWN + index.index(own.len()) as u32))
        },
    )
}

/// What is matched as a whole, in the plainest way.
fn split_naively(file: &File, text: &str) -> Vec<Result<u32, String>> {
    let special: Vec<u32> = file.ids.iter().map(|&(_, token)| token).collect();
    let mut parts: Vec<Result<u32, String>> = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let whole = (0..).zip(&file.tokens).filter(|(token, (piece, _, kind))| {
            *kind == USER_DEFINED && !special.contains(token) && rest.starts_with(piece.as_str())
        });
        let longest = whole.max_by_key(|(token, (piece, ..))| (piece.len(), u32::MAX - token));
        let taken = match longest {
            Some((token, (piece, ..))) => {
                parts.push(Ok(token));
                piece.len()
            }
            None => {
                match parts.last_mut() {
                    Some(Err(between)) => between.push(character),
                    _ => parts.push(Err(character.into())),
                }
                character.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    parts
}

proptest! {
    #[test]
    fn no_text_becomes_a_special_token(file in treacherous(), text in "[<>/sab| é]{0,30}") {
        let tokenizer = file.tokenizer();
        let pieces = file.tokens.iter().map(|(piece, ..)| piece.as_str());
        for text in pieces.skip(OWN as usize).chain([text.as_str(), "<s>", "</s>", "<unk>"]) {
            for token in tokenizer.encode(text, false, false) {
                let kind = tokenizer.kind(token);
                prop_assert!(!matches!(kind, TokenKind::Control | TokenKind::Unknown), "{text:?}");
                prop_assert!(!tokenizer.is_end_of_generation(token), "{text:?}: {token}");
            }
        }
    }

    #[test]
    fn user_defined_tokens_are_those_of_the_naive_search(
        file in treacherous(),
        text in "[<>/sab|é]{0,60}",
    ) {
        let tokenizer = file.tokenizer();
        // The same vocabulary with nothing to be matched as a whole.
        let mut plain = file.clone();
        for (.., kind) in &mut plain.tokens {
            *kind = if *kind == USER_DEFINED { NORMAL } else { *kind };
        }
        let plain = plain.tokenizer();
        let naive: Vec<u32> = split_naively(&file, &text)
            .into_iter()
            .flat_map(|part| match part {
                Ok(token) => vec![token],
                Err(between) => plain.encode(&between, false, false),
            })
            .collect();
        prop_assert_eq!(tokenizer.encode(&text, false, false), naive);
    }
}
