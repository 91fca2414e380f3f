//! A walk through the folders of one volume: which are read, in which order, and where it ends.
//!
//! Every platform walks with this code, so that the same files are found everywhere.

use crate::{Entry, SkipReason, Skipped, StorageError};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// Folders within folders that are read.
pub const DEPTH: usize = 12;
/// Entries of one folder that are read. A folder of a damaged file system may have no end.
pub const ENTRIES_IN_FOLDER: usize = 10_000;
/// Entries of a volume that are read.
pub const ENTRIES: usize = 100_000;
/// Entries that one step reads.
const ENTRIES_IN_STEP: usize = 256;
/// Skipped folders that are remembered.
const SKIPPED: usize = 100;

/// A file or folder, as its file system describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name within its folder.
    pub name: String,
    /// Bytes in the file.
    pub size: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether the file system marks it as hidden, or as one of the operating system's.
    pub is_hidden: bool,
}

/// The folders of a volume.
pub trait Tree {
    /// An open folder.
    type Folder;

    /// Opens a folder; "" is the root.
    fn open(&mut self, path: &str) -> Result<Self::Folder, StorageError>;

    /// Reads the next entry of a folder.
    fn next(&mut self, folder: &mut Self::Folder) -> Result<Option<FileInfo>, StorageError>;
}

/// The walk. Folders near the root come first, because people put models there.
pub struct TreeWalk<T: Tree> {
    tree: T,
    /// The folders that are known and not read, by path.
    waiting: VecDeque<String>,
    /// The folder that is being read, its path, and the number of entries read of it.
    open: Option<(T::Folder, String, usize)>,
    entries: usize,
    skipped: Vec<Skipped>,
}

impl<T: Tree> TreeWalk<T> {
    /// Starts at the root.
    pub fn new(tree: T) -> Self {
        Self {
            tree,
            waiting: VecDeque::from([String::new()]),
            open: None,
            entries: 0,
            skipped: Vec::new(),
        }
    }

    /// The folder that the next step reads.
    pub fn folder(&self) -> &str {
        match &self.open {
            Some((_, path, _)) => path,
            None => self.waiting.front().map_or("", String::as_str),
        }
    }

    /// The folders that were not read, or not to their end.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Reads a folder, or a part of it. An error is that of the root; `None` is the end.
    pub fn step(&mut self) -> Option<Result<Vec<Entry>, StorageError>> {
        let (mut folder, path, mut read) = match self.open.take() {
            Some(open) => open,
            None => {
                let path = self.waiting.pop_front()?;
                match self.tree.open(&path) {
                    Ok(folder) => (folder, path, 0),
                    Err(error) => return Some(self.failed(path, error)),
                }
            }
        };
        let mut found = Vec::new();
        for _ in 0..ENTRIES_IN_STEP {
            let info = match self.tree.next(&mut folder) {
                Ok(Some(info)) => info,
                Ok(None) => return Some(Ok(found)),
                Err(error) if read == 0 => return Some(self.failed(path, error)),
                // What was found before the damage still counts.
                Err(error) => {
                    self.skip(path, SkipReason::Failed(error));
                    return Some(Ok(found));
                }
            };
            if read == ENTRIES_IN_FOLDER {
                self.skip(path, SkipReason::TooMany { entries: ENTRIES_IN_FOLDER });
                return Some(Ok(found));
            }
            if self.entries == ENTRIES {
                self.waiting.clear();
                self.skip(path, SkipReason::TooMany { entries: ENTRIES });
                return Some(Ok(found));
            }
            (read, self.entries) = (read + 1, self.entries + 1);
            if is_own(&info) {
                continue;
            }
            let name = if path.is_empty() { info.name } else { path.clone() + "/" + &info.name };
            if !info.is_folder {
                found.push(Entry { name, size: info.size });
            } else if name.matches('/').count() < DEPTH {
                self.waiting.push_back(name);
            } else {
                self.skip(name, SkipReason::TooDeep { levels: DEPTH });
            }
        }
        self.open = Some((folder, path, read));
        Some(Ok(found))
    }

    /// A folder that cannot be read does not hide the others; a root that cannot is an error.
    fn failed(&mut self, path: String, error: StorageError) -> Result<Vec<Entry>, StorageError> {
        if path.is_empty() {
            self.waiting.clear();
            return Err(error);
        }
        self.skip(path, SkipReason::Failed(error));
        Ok(Vec::new())
    }

    fn skip(&mut self, name: String, reason: SkipReason) {
        let name = if name.is_empty() { "/".into() } else { name };
        if self.skipped.len() < SKIPPED {
            self.skipped.push(Skipped { name, reason });
        }
    }
}

/// Whether an entry is the file system's, the operating system's or the firmware's own.
fn is_own(info: &FileInfo) -> bool {
    info.is_hidden
        || info.name.starts_with('.')
        || (info.is_folder && info.name.eq_ignore_ascii_case("EFI"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::{format, vec};

    /// A folder's entries are made from its path.
    struct Made(fn(&str) -> Vec<FileInfo>);

    impl Tree for Made {
        type Folder = VecDeque<FileInfo>;

        fn open(&mut self, path: &str) -> Result<Self::Folder, StorageError> {
            match path.rsplit('/').next() {
                Some("locked") => Err(error()),
                _ => Ok(self.0(path).into()),
            }
        }

        fn next(&mut self, folder: &mut Self::Folder) -> Result<Option<FileInfo>, StorageError> {
            match folder.pop_front() {
                Some(info) if info.name == "damage" => Err(error()),
                entry => Ok(entry),
            }
        }
    }

    fn error() -> StorageError {
        StorageError::Volume { reason: "damaged".into() }
    }

    fn file(name: &str) -> FileInfo {
        FileInfo { name: name.into(), size: 3, is_folder: false, is_hidden: false }
    }

    fn folder(name: &str) -> FileInfo {
        FileInfo { is_folder: true, ..file(name) }
    }

    /// The names found, and what was skipped.
    fn walk(tree: fn(&str) -> Vec<FileInfo>) -> (Vec<String>, Vec<Skipped>) {
        let mut walk = TreeWalk::new(Made(tree));
        let mut names = Vec::new();
        while let Some(step) = walk.step() {
            names.extend(step.unwrap().into_iter().map(|entry| entry.name));
        }
        (names, walk.skipped)
    }

    #[test]
    fn folders_near_the_root_come_first_and_their_own_names_are_known() {
        let tree = |path: &str| match path {
            "" => vec![folder("a"), file("1"), folder("EFI"), folder("b"), file(".x")],
            "a" => vec![file("2"), folder("c"), FileInfo { is_hidden: true, ..file("h") }],
            "b" => vec![file("3"), file("EFI")],
            "a/c" => vec![file("4")],
            _ => panic!("{path}"),
        };
        let (names, skipped) = walk(tree);
        assert_eq!(names, ["1", "a/2", "b/3", "b/EFI", "a/c/4"]);
        assert_eq!(skipped, []);
        let mut walk = TreeWalk::new(Made(tree));
        let mut folders = Vec::new();
        loop {
            folders.push(walk.folder().to_owned());
            if walk.step().is_none() {
                break;
            }
        }
        assert_eq!(folders, ["", "a", "b", "a/c", ""]);
    }

    #[test]
    fn a_tree_without_end_ends() {
        let (names, skipped) = walk(|_| vec![file("f"), folder("x")]);
        assert_eq!(names.len(), DEPTH + 1);
        let deepest = vec!["x"; DEPTH + 1].join("/");
        assert_eq!(
            skipped,
            [Skipped { name: deepest, reason: SkipReason::TooDeep { levels: DEPTH } }]
        );
    }

    #[test]
    fn a_folder_without_end_does_not_hide_the_others() {
        let (names, skipped) = walk(|path| match path {
            "" => vec![folder("long"), folder("short")],
            "short" => vec![file("found")],
            _ => vec![file("f"); ENTRIES_IN_FOLDER + 1],
        });
        assert_eq!(names.len(), ENTRIES_IN_FOLDER + 1);
        assert_eq!(names.last().unwrap(), "short/found");
        let reason = SkipReason::TooMany { entries: ENTRIES_IN_FOLDER };
        assert_eq!(skipped, [Skipped { name: "long".into(), reason }]);
    }

    #[test]
    fn as_many_entries_as_are_read_are_not_too_many() {
        let (names, skipped) = walk(|_| vec![file("f"); ENTRIES_IN_FOLDER]);
        assert_eq!((names.len(), skipped.len()), (ENTRIES_IN_FOLDER, 0));
    }

    #[test]
    fn a_volume_without_end_ends() {
        let (names, skipped) = walk(|path| match path {
            "" => (0..20).map(|n| folder(&format!("{n}"))).collect(),
            _ => vec![file("f"); 9000],
        });
        assert_eq!(names.len(), ENTRIES - 20);
        let reason = SkipReason::TooMany { entries: ENTRIES };
        assert_eq!(skipped, [Skipped { name: "11".into(), reason }]);
    }

    #[test]
    fn a_step_is_short() {
        let mut walk = TreeWalk::new(Made(|_| vec![file("f"); 2 * ENTRIES_IN_STEP + 1]));
        let lengths = core::iter::from_fn(|| walk.step()).map(|step| step.unwrap().len());
        assert_eq!(lengths.collect::<Vec<_>>(), [ENTRIES_IN_STEP, ENTRIES_IN_STEP, 1]);
    }

    #[test]
    fn damage_is_told_and_hides_nothing_else() {
        let (names, skipped) = walk(|path| match path {
            "" => vec![folder("a"), folder("locked"), folder("b")],
            "a" => vec![file("1"), file("damage"), file("2")],
            _ => vec![file("3")],
        });
        assert_eq!(names, ["a/1", "b/3"]);
        let failed =
            |name: &str| Skipped { name: name.into(), reason: SkipReason::Failed(error()) };
        assert_eq!(skipped, [failed("a"), failed("locked")]);

        let (names, skipped) = walk(|path| match path {
            "" => vec![file("1"), folder("a"), file("damage")],
            _ => vec![file("2")],
        });
        assert_eq!((names, skipped), (vec!["1".into(), "a/2".into()], vec![failed("/")]));
        let mut root = TreeWalk::new(Made(|_| vec![file("damage")]));
        assert_eq!(root.step(), Some(Err(error())));
        assert_eq!(root.step(), None);
    }

    #[test]
    fn no_more_is_remembered_of_what_is_skipped_than_anybody_reads() {
        let (_, skipped) = walk(|path| match path {
            "" => (0..3 * SKIPPED).map(|n| folder(&format!("{n}"))).collect(),
            _ => vec![folder("locked")],
        });
        assert_eq!(skipped.len(), SKIPPED);
    }
}
