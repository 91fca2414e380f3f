//! `cargo xtask clean`.

use std::fs;

use anyhow::{Context, Result};

use crate::project::Project;

/// Directories whose content was downloaded.
const KEPT: [&str; 2] = ["models", "setup"];

/// Removes what was built, and with `all` also the downloaded models and the built `core`.
pub fn task(project: &Project, all: bool) -> Result<()> {
    if !project.target.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&project.target)? {
        let path = entry?.path();
        let kept = path.file_name().is_some_and(|name| KEPT.iter().any(|kept| name == *kept));
        if kept && !all {
            eprintln!("kept {} (--all removes it too)", project.shown(&path));
            continue;
        }
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
        eprintln!("removed {}", project.shown(&path));
    }
    Ok(())
}
