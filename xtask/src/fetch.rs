//! `cargo xtask fetch`: models from their public home.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bootllm_tokenizer::Tokenizer;

use crate::models::Model;
use crate::project::Project;
use crate::{process, toolchain};

/// Andrej Karpathy's small models.
const TINYLLAMAS: &str = "https://huggingface.co/karpathy/tinyllamas/resolve/main";
/// llama2.c, which has Llama 2's tokenizer.
const LLAMA2_C: &str = "https://raw.githubusercontent.com/karpathy/llama2.c/master";
/// Another address for both, which has the same paths.
const BASE: &str = "BOOTLLM_FETCH_BASE";

/// Tokens of Llama 2's tokenizer.
const LLAMA2_TOKENS: usize = 32_000;

/// Something that can be fetched.
pub struct Known {
    /// What it is called here.
    pub name: &'static str,
    /// Where its model lies on the hub, if it is one.
    model: Option<&'static str>,
    /// Where its tokenizer lies.
    tokenizer: (&'static str, &'static str),
}

/// Everything that can be fetched.
pub const KNOWN: [Known; 5] = [
    Known {
        name: "stories260K",
        model: Some("stories260K/stories260K.bin"),
        tokenizer: (TINYLLAMAS, "stories260K/tok512.bin"),
    },
    Known {
        name: "stories15M",
        model: Some("stories15M.bin"),
        tokenizer: (LLAMA2_C, "tokenizer.bin"),
    },
    Known {
        name: "stories42M",
        model: Some("stories42M.bin"),
        tokenizer: (LLAMA2_C, "tokenizer.bin"),
    },
    Known {
        name: "stories110M",
        model: Some("stories110M.bin"),
        tokenizer: (LLAMA2_C, "tokenizer.bin"),
    },
    Known { name: "tokenizer", model: None, tokenizer: (LLAMA2_C, "tokenizer.bin") },
];

/// Finds what can be fetched by its name.
pub fn known(name: &str) -> Result<&'static Known> {
    KNOWN.iter().find(|known| known.name == name).with_context(|| {
        let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        format!("there is no {name} to fetch; there are {}", names.join(", "))
    })
}

impl Known {
    /// Where its model goes.
    pub fn model_file(&self, project: &Project) -> Option<PathBuf> {
        self.model.map(|_| project.fetched().join(format!("{}.bin", self.name)))
    }

    /// Where its tokenizer goes.
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
    let known = known(name)?;
    let (home, path) = known.tokenizer;
    let tokenizer = known.tokenizer_file(project);
    download(project, home, path, &tokenizer)?;
    match (known.model, known.model_file(project)) {
        (Some(path), Some(model)) => {
            download(project, TINYLLAMAS, path, &model)?;
            Model::open(&model, Some(&tokenizer))
                .context("what was fetched does not fit together")?;
        }
        _ => {
            let bytes = fs::read(&tokenizer)?;
            Tokenizer::read_for(&bytes, LLAMA2_TOKENS)
                .with_context(|| tokenizer.display().to_string())?;
        }
    }
    Ok(())
}

/// Downloads a file with the package that can, unless it is there.
fn download(project: &Project, home: &str, path: &str, file: &PathBuf) -> Result<()> {
    if file.is_file() {
        eprintln!("{} is there already", project.shown(file));
        return Ok(());
    }
    let home = env::var(BASE).unwrap_or_else(|_| home.to_owned());
    let url = format!("{}/{path}", home.trim_end_matches('/'));
    eprintln!("fetching {url}");
    let mut command = toolchain::cargo();
    command
        .current_dir(&project.root)
        .args(["run", "--quiet", "--package", "xtask-fetch", "--target-dir"])
        .arg(&project.target)
        .arg("--")
        .arg(&url)
        .arg(file);
    // It has said what went wrong.
    if process::run(&mut command).is_err() {
        bail!("{} was not fetched", project.shown(file));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_others_answered_with_the_names() {
        let project = Project { root: PathBuf::from("root"), target: PathBuf::from("target") };
        let stories = known("stories260K").unwrap();
        assert_eq!(
            stories.model_file(&project).unwrap(),
            PathBuf::from("target/models/stories260K.bin")
        );
        assert_eq!(
            stories.tokenizer_file(&project),
            PathBuf::from("target/models/stories260K.tokenizer.bin")
        );
        let tokenizer = known("tokenizer").unwrap();
        assert_eq!(tokenizer.model_file(&project), None);
        let error = known("stories1B").err().unwrap().to_string();
        assert!(error.contains("stories15M, stories42M"), "{error}");
    }
}
