//! Tokenizers: reading, writing, encoding, decoding.

use bootllm_model_file::{TokenKind, TokenRules};
use bootllm_tokenizer::{Decoder, Tokenizer};

/// Bytes of text that are also encoded in the slow way.
const TEXT: usize = 60;

/// Feeds a tokenizer. The input is the file; its end is also the text that is encoded.
pub fn tokenizer(bytes: &[u8]) {
    let tokenizer = match Tokenizer::from_bytes(bytes) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(Tokenizer::from_bytes_for(bytes, tokenizer.len()).is_ok());
    assert!(Tokenizer::from_bytes_for(bytes, tokenizer.len() + 1).is_err());
    if !tokenizer.is_empty() {
        let written = tokenizer.write();
        let again = Tokenizer::from_bytes(&written).unwrap();
        assert!(again.write() == written && again.len() == tokenizer.len());
    }
    check(&tokenizer, bytes, &|byte| {
        let token = u32::from(byte) + 3;
        Some(if (token as usize) < tokenizer.len() { token } else { 0 })
    });
}

/// Encodes and decodes, among others the end of `bytes` as a text. `byte_token` returns the
/// token of a byte.
pub(super) fn check(tokenizer: &Tokenizer, bytes: &[u8], byte_token: &dyn Fn(u8) -> Option<u32>) {
    let TokenRules { bos, eos, add_bos, .. } = tokenizer.rules();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TEXT / 2)..]);
    let has_user_defined =
        (0..tokenizer.len() as u32).any(|token| tokenizer.kind(token) == TokenKind::UserDefined);
    for text in [&*text, "Once upon a time é 日本\n😀", ""] {
        let tokens = tokenizer.encode(text, false, false);
        assert!(!tokens.iter().any(|&token| controls(tokenizer, token)), "{text:?} controls");
        // What is matched as a whole is left to the tokenizer's own tests.
        assert!(
            has_user_defined || tokens == encode_slowly(tokenizer, text, byte_token),
            "{text:?}"
        );
        let framed = tokenizer.encode(text, true, true);
        let before = usize::from(add_bos || text.is_empty());
        assert!(framed.len() == before + tokens.len() + 1);
        assert!(before == 0 || framed[0] == bos);
        assert_eq!(framed.last(), Some(&eos));
        decode(tokenizer, &framed);
    }
    let some: Vec<u32> = (0..tokenizer.len() as u32 + 2).take(1000).collect();
    decode(tokenizer, &some);
}

/// Whether a token is a control token. (The unknown token may be one.)
pub(super) fn controls(tokenizer: &Tokenizer, token: u32) -> bool {
    let TokenRules { unknown, bos, eos, eot, eom, .. } = tokenizer.rules();
    let ends = [Some(bos), Some(eos), eot, eom].contains(&Some(token));
    ends || (token != unknown && tokenizer.kind(token) == TokenKind::Control)
}

fn decode(tokenizer: &Tokenizer, tokens: &[u32]) {
    let mut decoder = Decoder::new(tokenizer);
    for &token in tokens {
        let text = decoder.push(tokenizer, token);
        assert!(text.len() <= 3 * (tokenizer.longest() + 4), "beyond the room that was made");
        assert!(!text.contains(['\u{1b}', '\0', '\u{7f}', '\u{9b}']), "{text:?}");
    }
    assert!(["", "\u{fffd}"].contains(&decoder.finish()));
}

/// llama2.c's encoder in its own way: look at all pairs, merge the best, start again.
fn encode_slowly(
    tokenizer: &Tokenizer,
    text: &str,
    byte_token: &dyn Fn(u8) -> Option<u32>,
) -> Vec<u32> {
    let mut tokens = Vec::new();
    let TokenRules { add_space, .. } = tokenizer.rules();
    let space = if text.is_empty() || !add_space { "" } else { " " };
    for character in space.chars().chain(text.chars()) {
        let bytes = character.to_string().into_bytes();
        match tokenizer.find(&bytes) {
            Some(token) => tokens.push(token),
            None => tokens.extend(bytes.iter().filter_map(|&byte| byte_token(byte))),
        }
    }
    loop {
        let mut best = (-1e10, None);
        for index in 1..tokens.len() {
            let pair =
                [tokenizer.piece(tokens[index - 1]), tokenizer.piece(tokens[index])].concat();
            if let Some(token) = tokenizer.find(&pair)
                && let Some(score) = tokenizer.score(token)
                && score > best.0
            {
                best = (score, Some((index, token)));
            }
        }
        let (_, Some((index, token))) = best else {
            return tokens;
        };
        tokens[index - 1] = token;
        tokens.remove(index);
    }
}
