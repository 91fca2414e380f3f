//! `cargo xtask fetch`: downloads models from where they are published.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use bootllm_tokenizer::Tokenizer;

use crate::models::Model;
use crate::project::Project;
use crate::{process, toolchain};

/// Andrej Karpathy's small models.
const TINYLLAMAS: &str = "https://huggingface.co/karpathy/tinyllamas/resolve/main";
/// llama2.c, whose repository contains Llama 2's tokenizer.
const LLAMA2_C: &str = "https://raw.githubusercontent.com/karpathy/llama2.c/master";
/// The variable that names another server for both, with the same paths.
const BASE: &str = "BOOTLLM_FETCH_BASE";

/// The vocabulary of Llama 2's tokenizer.
const LLAMA2_TOKENS: usize = 32_000;

/// Something that can be downloaded.
pub struct Download {
    /// Its name on the command line.
    pub name: &'static str,
    /// The path of its model on the hub, if it is a model.
    model: Option<&'static str>,
    /// The server and path of its tokenizer.
    tokenizer: (&'static str, &'static str),
}

/// Everything that can be downloaded.
pub const DOWNLOADS: [Download; 5] = [
    Download {
        name: "stories260K",
        model: Some("stories260K/stories260K.bin"),
        tokenizer: (TINYLLAMAS, "stories260K/tok512.bin"),
    },
    Download {
        name: "stories15M",
        model: Some("stories15M.bin"),
        tokenizer: (LLAMA2_C, "tokenizer.bin"),
    },
    Download {
        name: "stories42M",
        model: Some("stories42M.bin"),
        tokenizer: (LLAMA2_C, "tokenizer.bin"),
    },
    Download {
        name: "stories110M",
        model: Some("stories110M.bin"),
        tokenizer: (LLAMA2_C, "tokenizer.bin"),
    },
    Download { name: "tokenizer", model: None, tokenizer: (LLAMA2_C, "tokenizer.bin") },
];

/// Finds what can be downloaded by its name.
pub fn find(name: &str) -> Result<&'static Download> {
    DOWNLOADS.iter().find(|known| known.name == name).with_context(|| {
        let names: Vec<_> = DOWNLOADS.iter().map(|known| known.name).collect();
        format!("there is no {name} to download; there are {}", names.join(", "))
    })
}

impl Download {
    /// The file of its model.
    pub fn model_file(&self, project: &Project) -> Option<PathBuf> {
        self.model.map(|_| project.fetched().join(format!("{}.bin", self.name)))
    }

    /// The file of its tokenizer.
    pub fn tokenizer_file(&self, project: &Project) -> PathBuf {
        let name = match self.model {
            Some(_) => format!("{}.tokenizer.bin", self.name),
            None => "tokenizer.bin".to_owned(),
        };
        project.fetched().join(name)
    }
}

/// `cargo xtask fetch NAME`.
pub fn task(project: &Project, name: &str) -> Result<()> {
    let known = find(name)?;
    let (home, path) = known.tokenizer;
    let tokenizer = known.tokenizer_file(project);
    download(project, home, path, &tokenizer)?;
    match (known.model, known.model_file(project)) {
        (Some(path), Some(model)) => {
            download(project, TINYLLAMAS, path, &model)?;
            Model::open(&model, Some(&tokenizer))
                .context("the downloaded files do not fit together")?;
        }
        _ => {
            let bytes = fs::read(&tokenizer)?;
            Tokenizer::from_bytes_for(&bytes, LLAMA2_TOKENS)
                .with_context(|| tokenizer.display().to_string())?;
        }
    }
    Ok(())
}

/// Downloads a file, unless it is there, with the package `xtask-fetch`, which is built first.
fn download(project: &Project, home: &str, path: &str, file: &Path) -> Result<()> {
    if file.is_file() {
        eprintln!("{} is there already", project.shown(file));
        return Ok(());
    }
    let home = env::var(BASE).unwrap_or_else(|_| home.to_owned());
    let url = format!("{}/{path}", home.trim_end_matches('/'));
    eprintln!("downloading {url}");
    let mut build = toolchain::cargo();
    build
        .current_dir(&project.root)
        .args(["build", "--package", "xtask-fetch", "--target-dir"])
        .arg(&project.target);
    process::run(&mut build).with_context(|| {
        format!(
            "the downloader cannot be built, so {url} was not downloaded; you can also put the file \
             at {} yourself",
            file.display()
        )
    })?;
    let program = format!("debug/xtask-fetch{}", env::consts::EXE_SUFFIX);
    let mut command = Command::new(project.target.join(program));
    // It has printed what went wrong.
    if process::run(command.arg(&url).arg(file)).is_err() {
        bail!("{} was not downloaded", project.shown(file));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        let project = Project { root: PathBuf::from("root"), target: PathBuf::from("target") };
        let stories = find("stories260K").unwrap();
        assert_eq!(
            stories.model_file(&project).unwrap(),
            PathBuf::from("target/models/stories260K.bin")
        );
        assert_eq!(
            stories.tokenizer_file(&project),
            PathBuf::from("target/models/stories260K.tokenizer.bin")
        );
        let tokenizer = find("tokenizer").unwrap();
        assert_eq!(tokenizer.model_file(&project), None);
        assert!(find("stories1B").is_err());
    }
}
