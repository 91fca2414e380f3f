//! Public corpora that are downloaded by name.

use super::Source;
use crate::error::TrainError;
use anyhow::{Context, Result, bail};
use bootllm_host::eprint_line;
use bootllm_units as units;
use std::env;
use std::path::Path;
use std::process::Command;

/// Environment variable with the address of a mirror that has the same paths.
const BASE: &str = "BOOTLLM_FETCH_BASE";

/// A public corpus.
pub struct KnownCorpus {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its server.
    home: &'static str,
    /// Its path on the server.
    path: &'static str,
    /// Its approximate size.
    bytes: u64,
    licence: &'static str,
}

/// All corpora that can be downloaded.
pub const KNOWN_CORPORA: [KnownCorpus; 2] = [
    KnownCorpus {
        name: "tinyshakespeare",
        home: "https://raw.githubusercontent.com",
        path: "karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        bytes: 1_115_394,
        licence: "Shakespeare's text is in the public domain; put together by Andrej Karpathy",
    },
    KnownCorpus {
        name: "TinyStories",
        home: "https://huggingface.co",
        path: "datasets/roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-train.txt",
        bytes: 2_230_000_000,
        licence: "CDLA-Sharing-1.0; by Ronen Eldan and Yuanzhi Li, written by GPT-4",
    },
];

/// The corpus of this name, in upper or lower case.
pub fn known(name: &str) -> Option<&'static KnownCorpus> {
    KNOWN_CORPORA.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

impl KnownCorpus {
    /// Downloads the corpus, or its first megabytes, into a folder unless it is there already, and
    /// reads it.
    pub fn fetch(&self, folder: &Path, megabytes: Option<u64>) -> Result<Source> {
        let first = megabytes.map(|n| n.saturating_mul(1_000_000)).filter(|&n| n < self.bytes);
        let name = match first {
            Some(first) => format!("{}-first-{}MB.txt", self.name, first / 1_000_000),
            None => format!("{}.txt", self.name),
        };
        let file = folder.join(name);
        if !file.is_file() {
            let hint = "; --megabytes N downloads only the first N MB";
            let hint = if first.is_none() && self.bytes > 1_000_000_000 { hint } else { "" };
            let size = units::bytes(first.unwrap_or(self.bytes));
            eprint_line(&format!("downloading {}: about {size}{hint}", self.name));
            self.download(&file, first)?;
        }
        let source =
            if first.is_some() { Source::read_beginning(&file) } else { Source::read(&file) };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Source { name, licence: Some(self.licence), ..source? })
    }

    /// Downloads with the package `xtask-fetch`. TLS takes longer to compile than the rest of the
    /// trainer, and most users bring their own texts.
    fn download(&self, file: &Path, first: Option<u64>) -> Result<()> {
        let home = env::var(BASE).unwrap_or_else(|_| self.home.to_owned());
        let url = format!("{}/{}", home.trim_end_matches('/'), self.path);
        let file = std::path::absolute(file)?;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["run", "--quiet", "--package", "xtask-fetch", "--"])
            .arg(&url)
            .arg(&file)
            // Our standard output describes the corpus.
            .stdout(std::io::stderr());
        if let Some(first) = first {
            command.arg(first.to_string());
        }
        let status = command
            .status()
            .with_context(|| TrainError::NoDownloader { url: url.clone(), path: file.clone() })?;
        if !status.success() {
            // The downloader has printed why.
            bail!(TrainError::NotDownloaded(self.name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn names_ignore_case() {
        assert_eq!(known("tinystories").map(|known| known.name), Some("TinyStories"));
        assert_eq!(known("TinyShakespeare").map(|known| known.name), Some("tinyshakespeare"));
        assert!(known("tinystories.txt").is_none());
    }
}
