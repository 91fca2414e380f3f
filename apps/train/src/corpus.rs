//! Documents to train on, and those held out.
//!
//! A prepared corpus is a folder: `train.txt`, `held-out.txt`, and a `corpus.md` that says what is
//! in them. Both are UTF-8, each document followed by a line [`SEPARATOR`], as TinyStories has it.
//! [`prepare`] makes one from texts.

mod duplicates;
mod known;
mod markdown;
mod prepare;
mod source;
mod text;

pub use known::{KNOWN, Known, known};
pub use prepare::{Counts, Settings, prepare};
pub use source::{Source, text_files};

use anyhow::{Context, Result, bail, ensure};
use bootllm_host::{FileSink, write_whole};
use std::fs;
use std::io::Write;
use std::path::Path;

pub use bootllm_host::{SEPARATOR, documents};

/// The file of the documents to train on.
pub const TRAIN: &str = "train.txt";
/// The file of the documents never trained on.
pub const HELD_OUT: &str = "held-out.txt";
/// What the corpus is, for a person.
pub const ABOUT: &str = "corpus.md";

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

    /// Writes the corpus into a folder, with what `about` says of it.
    ///
    /// An older corpus there is replaced when all of this one is on the disk. Other files of the
    /// same names are not.
    pub fn write(&self, folder: &Path, about: &str) -> Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let strange = [TRAIN, HELD_OUT].map(|name| folder.join(name)).into_iter();
        if let Some(file) = strange.filter(|_| !folder.join(ABOUT).is_file()).find(|f| f.exists()) {
            bail!(
                "{} is not part of a corpus made by this program and would be lost; \
                 choose another folder",
                file.display()
            );
        }
        let write = |file: &mut FileSink, part: &[String]| -> Result<()> {
            for document in part {
                writeln!(file, "{document}\n{SEPARATOR}")?;
            }
            Ok(())
        };
        // One in the other: none gets its name before all are written, so that what is held out
        // does not meet an older part to train on.
        write_whole(&folder.join(TRAIN), |train| {
            write(train, &self.train)?;
            write_whole(&folder.join(HELD_OUT), |held_out| {
                write(held_out, &self.held_out)?;
                write_whole(&folder.join(ABOUT), |file| Ok(file.write_all(about.as_bytes())?))?;
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(())
    }
}
