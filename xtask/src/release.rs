//! `cargo xtask release`: the files of a release page.
//!
//! ```text
//! bootllm-VERSION-x86_64.img   the disk image with the built-in models, to be written to a stick
//! bootllm-VERSION-x86_64.efi   the program alone, for a stick that is filled by hand
//! NOTES.md                     what changed, from CHANGELOG.md
//! SHA256SUMS                   checksums, as `sha256sum -c` reads them
//! ```
//!
//! The same sources give the same bytes, so anyone can check a release by building it.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::DecimalBytes;
use sha2::{Digest, Sha256};

use crate::image;
use crate::models::ModelArgs;
use crate::project::Project;
use crate::target::Target;

/// The version of the workspace, which all packages share.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The directory under `target` that the files go to.
const FOLDER: &str = "release-files";
const NOTES: &str = "NOTES.md";
const CHECKSUMS: &str = "SHA256SUMS";

/// `cargo xtask release`.
pub fn task(project: &Project, target: &Target) -> Result<()> {
    let folder = project.target.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let contents = image::contents(project, target, &ModelArgs::default())?;
    let name = |extension: &str| format!("bootllm-{VERSION}-{}.{extension}", target.arch.name);
    let [image, program] = ["img", "efi"].map(name);
    image::write(&folder.join(&image), &contents.entries, None)?;
    fs::copy(&contents.program, folder.join(&program))
        .with_context(|| format!("cannot copy {}", contents.program.display()))?;
    let changelog = project.root.join("CHANGELOG.md");
    let text = fs::read_to_string(&changelog)
        .with_context(|| format!("cannot read {}", changelog.display()))?;
    let section = section(&text, VERSION)
        .with_context(|| format!("{} has no section to take notes from", changelog.display()))?;
    if section.title == UNRELEASED {
        eprintln!("CHANGELOG.md has no section {VERSION}; the notes are those of \"{UNRELEASED}\"");
    }
    fs::write(folder.join(NOTES), notes(&section))?;
    fs::write(folder.join(CHECKSUMS), checksums(&folder, &[&image, &program])?)?;

    for name in [image.as_str(), program.as_str(), NOTES, CHECKSUMS] {
        let size = folder.join(name).metadata()?.len();
        println!("{:>10}  {}", DecimalBytes(size).to_string(), project.shown(&folder.join(name)));
    }
    Ok(())
}

/// The title of the section for what no release has yet.
const UNRELEASED: &str = "Unreleased";

/// A second-level section of a changelog.
#[derive(Debug, PartialEq, Eq)]
struct Section<'a> {
    title: &'a str,
    text: &'a str,
}

/// The section of a version, in Keep a Changelog's form (`## [1.2.3] - DATE`, brackets optional),
/// else the one of what is unreleased.
fn section<'a>(changelog: &'a str, version: &str) -> Option<Section<'a>> {
    let sections = || {
        changelog.split("\n## ").skip(1).map(|section| {
            let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
            let title = heading.split_whitespace().next().unwrap_or("");
            Section { title: title.trim_matches(['[', ']']), text: text.trim() }
        })
    };
    let titled = |title: &str| sections().find(|section| section.title == title);
    titled(version).or_else(|| titled(UNRELEASED))
}

fn notes(section: &Section<'_>) -> String {
    format!("# bootllm {VERSION}\n\n{}\n", section.text)
}

/// A line per file: its SHA-256 in hexadecimal, two spaces, its name.
fn checksums(folder: &Path, names: &[&String]) -> Result<String> {
    let line = |name: &&String| -> Result<String> {
        Ok(format!("{}  {name}\n", sha256(&folder.join(name.as_str()))?))
    };
    names.iter().map(line).collect()
}

/// The SHA-256 of a file, in hexadecimal.
pub fn sha256(file: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let copied =
        fs::File::open(file).and_then(|mut bytes| io::copy(&mut bytes, &mut Hash(&mut hash)));
    copied.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Hash<'a>(&'a mut Sha256);

impl io::Write for Hash<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\nForm.\n\n## Unreleased\n\n### Added\n\n- new\n\n\
        ## [1.2.3] - 2026-11-01\n\n- old\n\n## 1.2.2\n- older\n";

    #[test]
    fn the_notes_are_those_of_the_version() {
        let of = |version: &str| section(CHANGELOG, version).map(|found| (found.title, found.text));
        assert_eq!(of("1.2.3"), Some(("1.2.3", "- old")));
        assert_eq!(of("1.2.2"), Some(("1.2.2", "- older")));
        assert_eq!(of("9.9.9"), Some((UNRELEASED, "### Added\n\n- new")));
        assert_eq!(section("# Changelog\n", "1.2.3"), None);
    }

    #[test]
    fn checksums_are_in_the_form_of_sha256sum() {
        let folder = std::env::temp_dir().join(format!("bootllm-release-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.img"), b"abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.img\n";
        assert_eq!(checksums(&folder, &[&"a.img".to_owned()]).unwrap(), expected);
        fs::remove_dir_all(&folder).unwrap();
    }
}
