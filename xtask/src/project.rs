//! Where things are in the repository.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directories that the tasks work with.
pub struct Project {
    /// The repository.
    pub root: PathBuf,
    /// Cargo's target directory, which contains everything that a task makes.
    pub target: PathBuf,
}

impl Project {
    /// The repository that this program was built from.
    pub fn find() -> Result<Self> {
        // `cargo run` says where the package is now, which may not be where it was compiled.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().context("the package xtask is in no repository")?;
        Self::at(root)
    }

    /// The repository in this directory, with cargo's target directory.
    pub fn at(root: &Path) -> Result<Self> {
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => env::current_dir()?.join(folder),
            None => root.join("target"),
        };
        Ok(Self { root: root.to_owned(), target })
    }

    /// The directory of the built program, the disk image and QEMU's files.
    pub fn boot(&self) -> PathBuf {
        self.target.join("boot")
    }

    /// The directory of what `setup` makes: the library source and the sysroot.
    pub fn setup(&self) -> PathBuf {
        self.target.join("setup")
    }

    /// The directory of downloaded models.
    pub fn fetched(&self) -> PathBuf {
        self.target.join("models")
    }

    /// A path as it is printed: relative to the current directory or the repository, if possible.
    pub fn shown(&self, path: &Path) -> String {
        let here = env::current_dir().unwrap_or_default();
        path.strip_prefix(&here)
            .or_else(|_| path.strip_prefix(&self.root))
            .unwrap_or(path)
            .display()
            .to_string()
    }
}
