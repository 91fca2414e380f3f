//! A folder as storage, instead of a machine's volumes.

use crate::FileReader;
use bootllm_platform::{
    Entry, FileInfo, ReadAt, Skipped, Storage, StorageError, Tree, TreeWalk, Walk,
};
use std::fs::{DirEntry, ReadDir};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// The files of a folder, and of the folders in it, found by the rules of
/// [`TreeWalk`](bootllm_platform::TreeWalk) as on the stick.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder with this path.
    pub fn new(path: &Path) -> Self {
        Folder(path.to_owned())
    }
}

impl Storage for Folder {
    fn walk(&mut self) -> Box<dyn Walk> {
        Box::new(FolderWalk(TreeWalk::new(Folder(self.0.clone()))))
    }

    fn open(&mut self, name: &str) -> Result<Box<dyn ReadAt>, StorageError> {
        match FileReader::open(&self.0.join(name)) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(StorageError::NotFound { name: name.into() })
            }
            Err(error) => Err(StorageError::Device { offset: 0, reason: error.to_string() }),
        }
    }
}

impl Tree for Folder {
    type Folder = ReadDir;

    fn open(&mut self, path: &str) -> Result<ReadDir, StorageError> {
        std::fs::read_dir(self.0.join(path)).map_err(|error| unreadable(&error))
    }

    fn next(&mut self, folder: &mut ReadDir) -> Result<Option<FileInfo>, StorageError> {
        loop {
            match folder.next() {
                None => return Ok(None),
                Some(Err(error)) => return Err(unreadable(&error)),
                Some(Ok(entry)) => {
                    if let Some(info) = info(&entry) {
                        return Ok(Some(info));
                    }
                }
            }
        }
    }
}

fn unreadable(error: &Error) -> StorageError {
    StorageError::Volume { reason: error.to_string() }
}

/// Describes an entry; `None` if it is neither a file nor a folder, or cannot be named.
fn info(entry: &DirEntry) -> Option<FileInfo> {
    let name = entry.file_name().into_string().ok()?;
    // Of a link, what it leads to; that may be gone.
    let metadata = std::fs::metadata(entry.path()).ok()?;
    let is_folder = metadata.is_dir();
    if !is_folder && !metadata.is_file() {
        return None;
    }
    Some(FileInfo { name, size: metadata.len(), is_folder, is_hidden: false })
}

struct FolderWalk(TreeWalk<Folder>);

impl Walk for FolderWalk {
    fn folder(&self) -> &str {
        self.0.folder()
    }

    fn step(&mut self) -> Option<Result<Vec<Entry>, StorageError>> {
        self.0.step()
    }

    fn skipped(&self) -> &[Skipped] {
        self.0.skipped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_as_on_the_stick() {
        let root = std::env::temp_dir().join(format!("bootllm-folder-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a/b/c/d/e/f")).unwrap();
        std::fs::create_dir_all(root.join("EFI/BOOT")).unwrap();
        for name in ["one.bin", ".hidden.bin", "a/b/c/d/e/f/deep.gguf", "EFI/BOOT/x.bin"] {
            std::fs::write(root.join(name), name).unwrap();
        }
        let mut folder = Folder::new(&root);
        let found = folder.list().unwrap();
        let entry = |name: &str| Entry { name: name.into(), size: name.len() as u64 };
        assert_eq!(found, [entry("a/b/c/d/e/f/deep.gguf"), entry("one.bin")]);
        assert_eq!(Storage::open(&mut folder, "one.bin").unwrap().size(), 7);
        let missing = Storage::open(&mut folder, "none").err();
        assert_eq!(missing, Some(StorageError::NotFound { name: "none".into() }));
        std::fs::remove_dir_all(&root).unwrap();
        assert!(matches!(folder.list(), Err(StorageError::Volume { .. })));
    }
}
