//! The tokenizer of the models that the tests make.

use bootllm_tokenizer::Tokenizer;

/// Pieces beyond the bytes, from what merges first: parts of words, letters of several scripts.
const PIECES: [&str; 66] = [
    " th", "he", "in", " a", "on", " the", "er", "an", "re", "ed", "nd", " and", " w", " s", "ou",
    "ing", " on", " to", " it", "ce", " once", "up", " upon", " time", " Once", "ay", " d", "og",
    " dog", "\n", " ", "a", "b", "c", "d", "e", "f", "g", "h", "i", "l", "m", "n", "o", "p", "r",
    "s", "t", "u", "w", "y", "T", "O", ".", ",", "!", "é", "ü", "ber", " ü", " über", "日", "本",
    "日本", "語", "😀",
];

/// A vocabulary of special and byte tokens, and some pieces that merge in several steps.
pub fn vocabulary() -> Tokenizer {
    vocabulary_of(259 + PIECES.len())
}

/// The same with another number of tokens: cut short, or filled up with pieces that never merge.
pub fn vocabulary_of(size: usize) -> Tokenizer {
    let special = ["<unk>", "\n<s>\n", "\n</s>\n"].map(String::from);
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let scored = (1..).zip(PIECES).map(|(rank, piece)| (piece.to_string(), -(rank as f32)));
    let fill = (0..).map(|number| (format!("\u{1}{number}"), -1e9));
    let all: Vec<(String, f32)> = special
        .into_iter()
        .chain(bytes)
        .map(|piece| (piece, 0.0))
        .chain(scored)
        .chain(fill)
        .take(size)
        .collect();
    Tokenizer::new(all.iter().map(|(piece, score)| (piece.as_bytes(), *score)))
}
