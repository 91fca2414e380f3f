//! Texts to make a corpus from.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// A text, and where it came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called in what people read.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Reads files, and all `.txt` and `.md` files in folders, in the order of their names.
pub fn read_sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            collect(path, &mut files)?;
            if files.len() == before {
                bail!("{}: there is no .txt or .md file in this folder", path.display());
            }
        } else {
            files.push(path.clone());
        }
    }
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Result<Source> {
    let text = read_text(file)?;
    ensure!(!text.trim().is_empty(), "{}: there is no text in it", file.display());
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    Ok(Source { name, text })
}

/// Reads a text, without a byte order mark.
pub fn read_text(file: &Path) -> Result<String> {
    let text = bootllm_host::read_text(file)?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut entries: Vec<_> =
        entries.with_context(|| folder.display().to_string())?.iter().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if hidden {
            continue;
        } else if path.is_dir() {
            collect(&path, files)?;
        } else if matches!(extension.as_deref(), Some("txt" | "md")) {
            files.push(path);
        }
    }
    Ok(())
}
