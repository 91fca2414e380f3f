//! Texts from files and from standard input.

use crate::FileReader;
use anyhow::{Context, Result, anyhow, bail};
use std::io::Read;
use std::path::Path;

/// Separates the documents of a text, as in TinyStories. It is never part of a document.
pub const SEPARATOR: &str = "<|endoftext|>";

/// The documents of a text, without the line ends around them; empty ones are skipped.
pub fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split(SEPARATOR)
        .map(|document| document.trim_matches(['\n', '\r']))
        .filter(|document| !document.trim().is_empty())
}

/// Reads a text file: UTF-8 without zeros, which only binary files have.
pub fn read_text(path: &Path) -> Result<String> {
    let read = || {
        let bytes = FileReader::open(path)?.read_all()?;
        text(bytes)
    };
    read().with_context(|| path.display().to_string())
}

/// The most bytes read from standard input: more than any context has room for.
const LONGEST_INPUT: u64 = 16 << 20;

/// Reads a text from standard input to its end, without the line end there.
pub fn read_input() -> Result<String> {
    let read = || {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(LONGEST_INPUT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST_INPUT {
            bail!("it has more than {} MiB", LONGEST_INPUT >> 20);
        }
        let mut text = text(bytes)?;
        let end = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
        text.truncate(end.unwrap_or(&text).len());
        Ok(text)
    };
    read().context("standard input")
}

fn text(bytes: Vec<u8>) -> Result<String> {
    if let Some(position) = bytes.iter().position(|&byte| byte == 0) {
        bail!("not a text: byte {position} is 0");
    }
    String::from_utf8(bytes).map_err(|error| {
        let position = error.utf8_error().valid_up_to();
        anyhow!("not a text in UTF-8: byte {position} is invalid")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_utf_8_without_zeros() {
        assert_eq!(text("ä\r\n".into()).unwrap(), "ä\r\n");
        assert_eq!(text(b"a\0b".into()).unwrap_err().to_string(), "not a text: byte 1 is 0");
        let error = text(b"ab\xffc".into()).unwrap_err().to_string();
        assert_eq!(error, "not a text in UTF-8: byte 2 is invalid");
    }

    #[test]
    fn separators_separate_documents() {
        let text = "One\n\ntwo. \n<|endoftext|>\r\n\n<|endoftext|> \n<|endoftext|>\nThree";
        assert!(documents(text).eq(["One\n\ntwo. ", "Three"]));
        assert_eq!(documents("\n<|endoftext|>\n").count(), 0);
    }
}
