//! Texts to make a corpus from.

use super::SEPARATOR;
use crate::error::TrainError;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// A text and its origin.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Its name in `corpus.md`.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Whether the text is Markdown.
    pub markdown: bool,
    /// Its licence, if known.
    pub licence: Option<&'static str>,
}

impl Source {
    /// Reads a file: Markdown if its name ends in `.md`.
    pub fn read(file: &Path) -> Result<Self> {
        let text = strip_gutenberg_licence(&read_text(file)?).to_owned();
        ensure!(!text.trim().is_empty(), TrainError::NoText(file.to_owned()));
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        let markdown = extension(file).as_deref() == Some("md");
        Ok(Source { name, text, markdown, licence: None })
    }

    /// Reads the beginning of a text, up to its last complete document, or paragraph if documents are
    /// not separated.
    pub fn read_beginning(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        let end = text.rfind(SEPARATOR).map(|at| at + SEPARATOR.len());
        let end = end.or_else(|| text.rfind("\n\n"));
        text.truncate(end.with_context(|| TrainError::NoWholeDocument(file.to_owned()))?);
        Ok(Source { text, ..Source::default() })
    }
}

/// The file itself, or all `.txt` and `.md` files of a folder and its subfolders, sorted by name.
pub fn text_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    collect(path, &mut files)?;
    if files.is_empty() {
        bail!(TrainError::NoTextFiles(path.to_owned()));
    }
    Ok(files)
}

/// Reads a text, without a byte order mark and with `\n` as line end.
pub fn read_text(file: &Path) -> Result<String> {
    let text = bootllm_host::read_text(file)?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

/// Removes Project Gutenberg's licence before and after a book.
fn strip_gutenberg_licence(text: &str) -> &str {
    let mark = |begin: &str| {
        let at = text.find(&format!("*** {begin} OF TH"))?;
        let line = text[at..].lines().next()?;
        line.contains("PROJECT GUTENBERG").then_some(at..at + line.len())
    };
    let begin = mark("START").map_or(0, |line| line.end);
    let end = mark("END").map_or(text.len(), |line| line.start);
    text.get(begin..end).unwrap_or(text)
}

fn extension(file: &Path) -> Option<String> {
    Some(file.extension()?.to_str()?.to_ascii_lowercase())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.with_context(|| folder.display().to_string())?;
    let mut paths: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            // Symbolic links to folders may form a cycle.
            if !path.is_symlink() {
                collect(&path, files)?;
            }
        } else if matches!(extension(&path).as_deref(), Some("txt" | "md")) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::strip_gutenberg_licence;

    #[test]
    fn the_licence_around_a_book_is_removed() {
        let book = "The Project Gutenberg eBook\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\
                    Once.\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\nLicence";
        assert_eq!(strip_gutenberg_licence(book), "\nOnce.\n");
        assert_eq!(
            strip_gutenberg_licence("*** START OF THE SHOW\nOnce."),
            "*** START OF THE SHOW\nOnce."
        );
        assert_eq!(strip_gutenberg_licence("Once."), "Once.");
    }
}
