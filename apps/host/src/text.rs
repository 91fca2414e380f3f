//! Texts that people name.

use crate::FileReader;
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;

/// Parts the documents of a text, as in TinyStories. It is never part of a document.
pub const SEPARATOR: &str = "<|endoftext|>";

/// The documents of a text, without the line ends around them; empty ones are passed over.
pub fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split(SEPARATOR)
        .map(|document| document.trim_matches(['\n', '\r']))
        .filter(|document| !document.trim().is_empty())
}

/// Reads a file that must be text: UTF-8 without the zeros that only binary files have.
pub fn read_text(path: &Path) -> Result<String> {
    let read = || {
        let bytes = FileReader::open(path)?.read_all()?;
        text(bytes)
    };
    read().with_context(|| path.display().to_string())
}

fn text(bytes: Vec<u8>) -> Result<String> {
    if let Some(position) = bytes.iter().position(|&byte| byte == 0) {
        bail!("it is not a text: byte {position} is 0");
    }
    String::from_utf8(bytes).map_err(|error| {
        let position = error.utf8_error().valid_up_to();
        anyhow!("it is not a text in UTF-8: at byte {position} it is something else")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_utf_8_without_zeros() {
        assert_eq!(text("ä\r\n".into()).unwrap(), "ä\r\n");
        assert_eq!(text(b"a\0b".into()).unwrap_err().to_string(), "it is not a text: byte 1 is 0");
        let error = text(b"ab\xffc".into()).unwrap_err().to_string();
        assert_eq!(error, "it is not a text in UTF-8: at byte 2 it is something else");
    }

    #[test]
    fn documents_are_what_lies_between_separators() {
        let text = "One\n\ntwo. \n<|endoftext|>\r\n\n<|endoftext|> \n<|endoftext|>\nThree";
        assert!(documents(text).eq(["One\n\ntwo. ", "Three"]));
        assert_eq!(documents("\n<|endoftext|>\n").count(), 0);
    }
}
