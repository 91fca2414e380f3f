//! Texts to make a corpus from.

use super::SEPARATOR;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// A text, and where it came from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// What it is called in what people read.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Whether the text is Markdown.
    pub markdown: bool,
    /// Under which licence it may be used, where that is known.
    pub licence: Option<&'static str>,
}

impl Source {
    /// Reads a file: Markdown if its name ends in `.md`.
    pub fn read(file: &Path) -> Result<Self> {
        let text = without_licence(&read_text(file)?).to_owned();
        ensure!(!text.trim().is_empty(), "{}: there is no text in it", file.display());
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        let markdown = extension(file).as_deref() == Some("md");
        Ok(Source { name, text, markdown, licence: None })
    }

    /// Reads the beginning of a text, up to the last document's or else paragraph's end.
    pub fn read_beginning(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        let end = text.rfind(SEPARATOR).map(|at| at + SEPARATOR.len());
        let end = end.or_else(|| text.rfind("\n\n")).context("there is no whole document in it");
        text.truncate(end.with_context(|| file.display().to_string())?);
        Ok(Source { text, ..Source::default() })
    }
}

/// The files that are meant: a file itself, of a folder all `.txt` and `.md` files in it and in
/// its folders, in the order of their names.
pub fn text_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    collect(path, &mut files)?;
    if files.is_empty() {
        bail!("{}: there is no .txt or .md file in this folder", path.display());
    }
    Ok(files)
}

/// Reads a text, without a byte order mark and with plain line ends.
pub fn read_text(file: &Path) -> Result<String> {
    let text = bootllm_host::read_text(file)?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

/// A text of Project Gutenberg without the licence around it.
fn without_licence(text: &str) -> &str {
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
            // A link to a folder might lead back here.
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
    use super::without_licence;

    #[test]
    fn the_licence_around_a_book_is_no_part_of_it() {
        let book = "The Project Gutenberg eBook\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\
                    Once.\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\nLicence";
        assert_eq!(without_licence(book), "\nOnce.\n");
        assert_eq!(without_licence("*** START OF THE SHOW\nOnce."), "*** START OF THE SHOW\nOnce.");
        assert_eq!(without_licence("Once."), "Once.");
    }
}
