//! The tokenizer against a plain transcription of what llama2.c does, and its decoder.

use bootllm_model_file::TokenKind;
use bootllm_tokenizer::{Decoder, FileError, Tokenizer, names_beside};
use proptest::prelude::*;

/// A vocabulary with all bytes and a few pieces that merge in several ways.
fn vocabulary(extra: &[(&str, f32)]) -> Tokenizer {
    let bytes: Vec<String> = (0..=255).map(|byte| format!("<0x{byte:02X}>")).collect();
    let special =
        ["<unk>", "\n<s>\n", "\n</s>\n"].into_iter().chain(bytes.iter().map(String::as_str));
    let plain = special.map(|piece| (piece.as_bytes(), 0.0));
    Tokenizer::new(plain.chain(extra.iter().map(|(piece, score)| (piece.as_bytes(), *score))))
}

fn letters() -> Tokenizer {
    vocabulary(&[
        (" ", -20.0),
        ("a", -21.0),
        ("b", -22.0),
        ("c", -23.0),
        ("é", -24.0),
        ("ab", -1.0),
        ("bc", -1.0),
        ("abc", -5.0),
        (" a", -3.0),
        ("aa", -2.0),
        ("aab", -0.5),
        ("bca", -0.0),
        ("cab", 0.0),
        (" ab", -2e10),
        ("éa", -4.0),
    ])
}

/// llama2.c's encoder in its own way: look at all pairs, merge the best, start again.
fn encode_naively(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut tokens = Vec::new();
    let characters = if text.is_empty() { String::new() } else { format!(" {text}") };
    for character in characters.chars() {
        let bytes = character.to_string().into_bytes();
        match tokenizer.find(&bytes) {
            Some(token) => tokens.push(token),
            None => tokens.extend(bytes.iter().map(|&byte| u32::from(byte) + 3)),
        }
    }
    loop {
        let mut best = (-1e10, None);
        for index in 1..tokens.len() {
            let pair =
                [tokenizer.piece(tokens[index - 1]), tokenizer.piece(tokens[index])].concat();
            if let Some(token) = tokenizer.find(&pair)
                && tokenizer.score(token).unwrap() > best.0
            {
                best = (tokenizer.score(token).unwrap(), Some((index, token)));
            }
        }
        let (_, Some((index, token))) = best else {
            return tokens;
        };
        tokens[index - 1] = token;
        tokens.remove(index);
    }
}

fn decode(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    let mut decoder = Decoder::new(tokenizer);
    let mut text = String::new();
    for &token in tokens {
        text.push_str(decoder.push(tokenizer, token));
    }
    text + decoder.finish()
}

/// Vocabularies in which control tokens look like text, and can be merged from their parts.
fn treacherous() -> impl Strategy<Value = Vec<(String, f32)>> {
    let piece = "[<>/sab|]{1,4}";
    let special = proptest::collection::vec((piece, Just(10.0f32)), 3);
    let pieces = proptest::collection::vec((piece, -9.0f32..9.0), 5..60);
    (special, pieces).prop_map(|(special, pieces)| {
        let bytes = (0..=255).map(|byte| (format!("<0x{byte:02X}>"), 0.0));
        special.into_iter().chain(bytes).chain(pieces).collect()
    })
}

proptest! {
    #[test]
    fn no_text_becomes_a_control_token(pieces in treacherous(), text in "[<>/sab| é]{0,30}") {
        let tokenizer =
            Tokenizer::new(pieces.iter().map(|(piece, score)| (piece.as_bytes(), *score)));
        for text in pieces.iter().take(3).map(|(piece, _)| piece).chain([&text]) {
            let tokens = tokenizer.encode(text, false, false);
            let controls =
                |&token: &u32| matches!(tokenizer.kind(token), TokenKind::Control | TokenKind::Unknown);
            prop_assert!(!tokens.iter().any(controls), "{text:?}: {tokens:?}");
        }
    }

    #[test]
    fn merging_with_a_heap_gives_llama2c_s_tokens(text in "[abcé日 ]{0,40}") {
        let tokenizer = letters();
        prop_assert_eq!(tokenizer.encode(&text, false, false), encode_naively(&tokenizer, &text));
    }

    #[test]
    fn what_was_encoded_decodes_to_itself(text in "[ -~\n\t¡-ÿ日-本😀-😎]{0,60}") {
        let tokenizer = letters();
        let tokens = tokenizer.encode(&text, true, false);
        prop_assert_eq!(decode(&tokenizer, &tokens[1..]), if text.is_empty() { text.clone() } else { format!(" {text}") });
        // After BOS the space that was put in front is taken off again.
        let mut decoder = Decoder::new(&tokenizer);
        let mut decoded = String::new();
        for &token in &tokens {
            let piece = decoder.push(&tokenizer, token);
            if token != 1 {
                decoded.push_str(piece);
            }
        }
        prop_assert_eq!(decoded, text);
    }

    #[test]
    fn any_bytes_decode_to_what_rust_s_lossy_conversion_gives(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let tokenizer = letters();
        let tokens: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte) + 3).collect();
        let expected: String = String::from_utf8_lossy(&bytes)
            .chars()
            .filter(|&c| !c.is_control() || "\t\n\u{b}\u{c}\r".contains(c))
            .collect();
        prop_assert_eq!(decode(&tokenizer, &tokens), expected);
    }

    #[test]
    fn any_bytes_read_as_a_tokenizer_or_give_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(tokenizer) = Tokenizer::from_bytes(&bytes) {
            tokenizer.encode("abc é", true, true);
        }
    }
}

#[test]
fn an_incomplete_character_is_held_back() {
    let tokenizer = letters();
    let mut decoder = Decoder::new(&tokenizer);
    let byte = |byte: u8| u32::from(byte) + 3;
    assert_eq!(decoder.push(&tokenizer, byte(0xe6)), "");
    assert_eq!(decoder.push(&tokenizer, byte(0x97)), "");
    assert_eq!(decoder.push(&tokenizer, byte(0xa5)), "日");
    assert_eq!(decoder.push(&tokenizer, byte(0xf0)), "");
    assert_eq!(decoder.push(&tokenizer, tokenizer.find(b"ab").unwrap()), "\u{fffd}ab");
    assert_eq!(decoder.push(&tokenizer, byte(0xc3)), "");
    assert_eq!(decoder.finish(), "\u{fffd}");
    assert_eq!(decoder.finish(), "");
}

#[test]
fn control_characters_are_dropped_and_white_space_is_kept() {
    let tokenizer = letters();
    let tokens: Vec<u32> = b"\x1b[2J\x07a\tb\n".iter().map(|&byte| u32::from(byte) + 3).collect();
    assert_eq!(decode(&tokenizer, &tokens), "[2Ja\tb\n");
    assert_eq!(decode(&tokenizer, &[9999]), "", "a token beyond the vocabulary is nothing");
}

#[test]
fn a_vocabulary_without_byte_tokens_says_unknown() {
    let tokenizer =
        Tokenizer::new([(&b"<unk>"[..], 0.0), (b"<s>", 0.0), (b"</s>", 0.0), (b"a", 0.0)]);
    assert_eq!(tokenizer.encode("ab", true, true), [1, 0, 3, 0, 2]);
}

#[test]
fn a_file_is_read_back_as_it_was_written() {
    let bytes = letters().write();
    let tokenizer = Tokenizer::from_bytes(&bytes).unwrap();
    assert_eq!(tokenizer.write(), bytes);
    assert_eq!(tokenizer.len(), 259 + 15);
    assert!(Tokenizer::from_bytes_for(&bytes, 274).is_ok());
    let expected = FileError::VocabularySize { found: 274, expected: 32_000 };
    assert_eq!(Tokenizer::from_bytes_for(&bytes, 32_000).err(), Some(expected));
}

#[test]
fn a_damaged_file_gives_an_error() {
    let bytes = letters().write();
    let size = bytes.len();
    let with = |offset: usize, new: [u8; 4]| {
        let mut bytes = bytes.clone();
        bytes[offset..offset + 4].copy_from_slice(&new);
        Tokenizer::from_bytes(&bytes).err()
    };
    assert_eq!(Tokenizer::from_bytes(&[]).err(), Some(FileError::Empty));
    for found in [-1, 0, i32::MAX] {
        assert_eq!(with(0, found.to_le_bytes()), Some(FileError::LongestPiece { found, size }));
    }
    assert_eq!(with(4, f32::NAN.to_le_bytes()), Some(FileError::Score { token: 0 }));
    for length in [-5, 0, i32::MAX] {
        let expected = FileError::PieceLength { token: 0, length };
        assert_eq!(with(8, length.to_le_bytes()), Some(expected));
    }
    assert_eq!(with(8, 60_000i32.to_le_bytes()), Some(FileError::CutShort { token: 0 }));
    let long = |length: i32| {
        let header = [length.to_le_bytes(), [0; 4], length.to_le_bytes()].concat();
        Tokenizer::from_bytes(&[header, vec![b'a'; length as usize]].concat())
    };
    assert!(long(1 << 16).is_ok());
    let expected = FileError::PieceLength { token: 0, length: (1 << 16) + 1 };
    assert_eq!(long((1 << 16) + 1).err(), Some(expected));
    for cut in [bytes.len() - 1, bytes.len() - 10, 9, 11] {
        assert!(
            matches!(Tokenizer::from_bytes(&bytes[..cut]), Err(FileError::CutShort { .. })),
            "{cut}"
        );
    }
    assert!(matches!(Tokenizer::from_bytes(&bytes[..3]), Err(FileError::LongestPiece { .. })));
}

#[test]
fn a_tokenizer_is_looked_for_beside_its_model() {
    for (model, own, common) in [
        ("stories15M.bin", "stories15M.tokenizer.bin", "tokenizer.bin"),
        ("models/a.b.bin", "models/a.b.tokenizer.bin", "models/tokenizer.bin"),
        ("/x.y/model", "/x.y/model.tokenizer.bin", "/x.y/tokenizer.bin"),
    ] {
        assert_eq!(names_beside(model), [own, common]);
    }
}
