//! Corpora that are fetched by name.

use super::Source;
use anyhow::{Context, Result, bail};
use bootllm_host::remark;
use bootllm_units as units;
use std::env;
use std::path::Path;
use std::process::Command;

/// Another address for all of them, which has the same paths.
const BASE: &str = "BOOTLLM_FETCH_BASE";

/// A corpus with a public home.
pub struct Known {
    /// What it is called.
    pub name: &'static str,
    /// The server it lies on.
    home: &'static str,
    /// Where it lies there.
    path: &'static str,
    /// About how many bytes it has.
    bytes: u64,
    licence: &'static str,
}

/// Every corpus that can be fetched.
pub const KNOWN: [Known; 2] = [
    Known {
        name: "tinyshakespeare",
        home: "https://raw.githubusercontent.com",
        path: "karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        bytes: 1_115_394,
        licence: "Shakespeare's text is in the public domain; put together by Andrej Karpathy",
    },
    Known {
        name: "TinyStories",
        home: "https://huggingface.co",
        path: "datasets/roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-train.txt",
        bytes: 2_230_000_000,
        licence: "CDLA-Sharing-1.0; by Ronen Eldan and Yuanzhi Li, written by GPT-4",
    },
];

/// The corpus of this name, in capitals or not.
pub fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

impl Known {
    /// Fetches the corpus into a folder, unless it is there already, and reads it: all of it, or
    /// the beginning.
    pub fn fetch(&self, folder: &Path, megabytes: Option<u64>) -> Result<Source> {
        let first = megabytes.map(|n| n.saturating_mul(1_000_000)).filter(|&n| n < self.bytes);
        let name = match first {
            Some(first) => format!("{}-first-{}MB.txt", self.name, first / 1_000_000),
            None => format!("{}.txt", self.name),
        };
        let file = folder.join(name);
        if !file.is_file() {
            let hint = "; --megabytes N takes only the first N of them";
            let hint = if first.is_none() && self.bytes > 1_000_000_000 { hint } else { "" };
            let size = units::bytes(first.unwrap_or(self.bytes));
            remark(&format!("fetching {}: about {size}{hint}", self.name));
            self.download(&file, first)?;
        }
        let source =
            if first.is_some() { Source::read_beginning(&file) } else { Source::read(&file) };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Source { name, licence: Some(self.licence), ..source? })
    }

    /// Downloads with the package that can: TLS takes longer to compile than all the rest, and
    /// who has texts needs none.
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
            // It says what came; ours is for the corpus.
            .stdout(std::io::stderr());
        if let Some(first) = first {
            command.arg(first.to_string());
        }
        let status = command.status().with_context(|| {
            format!(
                "the downloader needs cargo and this project's source; {url} can also be put at \
                 {} by hand",
                file.display()
            )
        })?;
        if !status.success() {
            // It has said why.
            bail!("{} was not fetched", self.name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn names_may_be_written_in_small_letters() {
        assert_eq!(known("tinystories").map(|known| known.name), Some("TinyStories"));
        assert_eq!(known("TinyShakespeare").map(|known| known.name), Some("tinyshakespeare"));
        assert!(known("tinystories.txt").is_none());
    }
}
