//! Documents to train on, and held-out documents.
//!
//! A prepared corpus is a folder with `train.txt`, `held-out.txt`, and `corpus.md`, which describes
//! them. Both texts are UTF-8; each document is followed by a line [`SEPARATOR`], as in TinyStories.
//! [`prepare`] makes a corpus from texts.

mod duplicates;
mod known;
mod markdown;
mod prepare;
mod source;
mod text;

pub use known::{KNOWN_CORPORA, KnownCorpus, known};
pub use prepare::{CorpusSettings, CorpusStats, prepare};
pub use source::{Source, text_files};

use crate::error::TrainError;
use anyhow::{Context, Result, bail, ensure};
use bootllm_host::{FileSink, write_whole};
use std::fs;
use std::io::Write;
use std::path::Path;

pub use bootllm_host::{SEPARATOR, documents};

/// The file of the documents to train on.
pub const TRAIN: &str = "train.txt";
/// The file of the held-out documents.
pub const HELD_OUT: &str = "held-out.txt";
/// The description of the corpus, with the licences of its sources.
pub const ABOUT: &str = "corpus.md";

/// Documents, in the order of their source files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    /// To train on.
    pub train: Vec<String>,
    /// Held out: never trained on.
    pub held_out: Vec<String>,
}

impl Corpus {
    /// Reads a prepared corpus.
    pub fn read(folder: &Path) -> Result<Self> {
        let read = |name: &str| -> Result<Vec<String>> {
            let text = source::read_text(&folder.join(name))
                .with_context(|| TrainError::NoCorpus(folder.to_owned()))?;
            Ok(documents(&text).map(str::to_owned).collect())
        };
        let corpus = Corpus { train: read(TRAIN)?, held_out: read(HELD_OUT)? };
        ensure!(!corpus.train.is_empty(), TrainError::NoText(folder.join(TRAIN)));
        Ok(corpus)
    }

    /// Writes the corpus into a folder, with `about` as its description.
    ///
    /// An earlier corpus in the folder is replaced once all of this one is on the disk. Files of
    /// the same names that are no corpus are never overwritten.
    pub fn write(&self, folder: &Path, about: &str) -> Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| TrainError::CannotCreateFolder(folder.to_owned()))?;
        let mut files = [TRAIN, HELD_OUT].map(|name| folder.join(name)).into_iter();
        if !folder.join(ABOUT).is_file()
            && let Some(file) = files.find(|file| file.exists())
        {
            bail!(TrainError::ForeignFile(file));
        }
        let write = |file: &mut FileSink, documents: &[String]| -> Result<()> {
            for document in documents {
                writeln!(file, "{document}\n{SEPARATOR}")?;
            }
            Ok(())
        };
        // Nested, because a file gets its name when its closure returns: none is replaced before all
        // are written, so held-out documents never meet the training documents of another corpus.
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
