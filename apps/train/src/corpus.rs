//! Documents to train on, and those held out.
//!
//! A prepared corpus is a folder: `train.txt`, `held-out.txt`, and a `README.md` that says what is
//! in them. Both are UTF-8, each document followed by a line [`SEPARATOR`], as TinyStories has it.
//! [`prepare`] makes one from texts.

mod duplicates;
mod prepare;
mod source;
mod text;

pub use prepare::{Counts, Settings, prepare};
pub use source::{Source, read_sources};

use anyhow::{Context, Result, ensure};
use bootllm_host::write_whole;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Ends a document. It is never part of a text, so no model sees it.
pub const SEPARATOR: &str = "<|endoftext|>";

/// The file of the documents to train on.
pub const TRAIN: &str = "train.txt";
/// The file of the documents never trained on.
pub const HELD_OUT: &str = "held-out.txt";
/// What the corpus is, for a person.
pub const README: &str = "README.md";

/// The documents of a text, without the line ends around them; empty ones are passed over.
pub fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split(SEPARATOR)
        .map(|document| document.trim_matches(['\n', '\r']))
        .filter(|document| !document.trim().is_empty())
}

/// Documents, in the order of the files they came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    /// To train on.
    pub train: Vec<String>,
    /// Never trained on.
    pub held_out: Vec<String>,
}

impl Corpus {
    /// Reads a prepared corpus.
    pub fn read(folder: &Path) -> Result<Self> {
        let part = |name: &str| -> Result<Vec<String>> {
            let text = source::read_text(&folder.join(name)).with_context(|| {
                format!("no corpus; `bootllm-train data {} TEXT…` makes one", folder.display())
            })?;
            Ok(documents(&text).map(str::to_owned).collect())
        };
        let corpus = Corpus { train: part(TRAIN)?, held_out: part(HELD_OUT)? };
        let file = folder.join(TRAIN);
        ensure!(!corpus.train.is_empty(), "{}: there is no text in it", file.display());
        Ok(corpus)
    }

    /// Writes the corpus into a folder, beside `readme`, which says what it is.
    ///
    /// Each file replaces an older one only when it is whole.
    pub fn write(&self, folder: &Path, readme: &str) -> Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        for (name, part) in [(TRAIN, &self.train), (HELD_OUT, &self.held_out)] {
            write_whole(&folder.join(name), |file| {
                for document in part {
                    writeln!(file, "{document}\n{SEPARATOR}")?;
                }
                Ok(())
            })?;
        }
        write_whole(&folder.join(README), |file| Ok(file.write_all(readme.as_bytes())?))?;
        Ok(())
    }
}
