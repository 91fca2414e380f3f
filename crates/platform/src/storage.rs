//! Storage: the files that models lie in.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// The files that a machine can read: those of its volumes, or of one folder.
pub trait Storage {
    /// Starts to look for files.
    fn walk(&mut self) -> Box<dyn Walk>;

    /// Opens the file of this name, as [`Walk::step`] returned it.
    fn open(&mut self, name: &str) -> Result<Box<dyn ReadAt>, StorageError>;

    /// Walks to the end and returns all files in the order of their names.
    ///
    /// # Errors
    /// The first error of the walk, if it found no file.
    fn list(&mut self) -> Result<Vec<Entry>, StorageError> {
        let (mut entries, mut first_error) = (Vec::new(), None);
        let mut walk = self.walk();
        while let Some(step) = walk.step() {
            match step {
                Ok(found) => entries.extend(found),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            Some(error) if entries.is_empty() => Err(error),
            _ => {
                entries.sort();
                Ok(entries)
            }
        }
    }
}

/// A look through all folders, one step at a time, so that its caller can show where it is and stop
/// between two steps.
pub trait Walk {
    /// The folder that the next step reads, "" for the root.
    fn folder(&self) -> &str;

    /// Reads one folder, or a part of it (at most some hundred entries), and returns the files in
    /// it; `None` at the end.
    ///
    /// # Errors
    /// A volume that cannot be read. The next step goes on with the next one.
    fn step(&mut self) -> Option<Result<Vec<Entry>, StorageError>>;

    /// Folders and volumes that were not looked at so far, with the reasons.
    fn skipped(&self) -> &[Skipped];
}

/// A folder or volume that a [`Walk`] did not look at, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The folder, or a description of the volume.
    pub name: String,
    /// Why.
    pub reason: SkipReason,
}

/// Why a [`Walk`] did not look at a folder or volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// It lies deeper than a walk goes.
    #[error("more than {levels} folders deep")]
    TooDeep {
        /// The deepest level that a walk reads.
        levels: usize,
    },
    /// It holds more than a walk reads; the first entries were looked at.
    #[error("more than {entries} files")]
    TooMany {
        /// The number of entries that a walk reads.
        entries: usize,
    },
    /// The machine has no driver for its file system.
    #[error("{file_system} cannot be read here; copy the model to a FAT32 volume")]
    FileSystem {
        /// The name of the file system.
        file_system: &'static str,
    },
    /// Reading it failed.
    #[error("{0}")]
    Failed(StorageError),
}

/// A file as a [`Walk`] finds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name that [`Storage::open`] takes; folders in it are separated by `/`.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// A file that is read at any offset.
pub trait ReadAt {
    /// Bytes in the file.
    fn size(&self) -> u64;

    /// Fills the whole of `buffer` from `offset` on. It makes as many attempts as make sense, which
    /// can take a minute on a device that fails.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError>;

    /// Makes one attempt at [`read_at`](ReadAt::read_at), so that the caller can show what happens
    /// and look for keys between two of them.
    ///
    /// # Errors
    /// [`StorageError::Retry`] if the same call is worth repeating; it asks the device in another
    /// way then. After some attempts it returns the final error.
    fn try_read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.read_at(offset, buffer)
    }
}

/// A file whose caller is asked between two attempts to read: `again` is called with the error of
/// the last one and returns whether to go on.
pub struct Retrying<'a, F> {
    /// The file.
    pub file: &'a mut dyn ReadAt,
    /// Asked before a read is tried again.
    pub again: F,
}

impl<F: FnMut(&StorageError) -> bool> ReadAt for Retrying<'_, F> {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        loop {
            match self.file.try_read_at(offset, buffer) {
                Err(error @ StorageError::Retry { .. }) => {
                    if !(self.again)(&error) {
                        return Err(error.into_final());
                    }
                }
                outcome => return outcome,
            }
        }
    }
}

/// Why a file or a volume could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound {
        /// The file that was asked for.
        name: String,
    },
    /// The file ends before the bytes that were asked for.
    #[error("the file ends at byte {size}, but bytes up to {end} were asked for")]
    PastEnd {
        /// One past the last byte that was asked for.
        end: u64,
        /// Bytes in the file.
        size: u64,
    },
    /// The device or its driver failed.
    #[error("reading failed at byte {offset}: {reason}")]
    Device {
        /// Where in the file.
        offset: u64,
        /// What the device or its driver said.
        reason: String,
    },
    /// An attempt of [`ReadAt::try_read_at`] failed; the same call may succeed.
    #[error("reading failed at byte {offset}: {reason}; it is tried again")]
    Retry {
        /// Where in the file.
        offset: u64,
        /// What the device or its driver said.
        reason: String,
    },
    /// The volume itself cannot be read.
    #[error("the volume cannot be read: {reason}")]
    Volume {
        /// What its driver said.
        reason: String,
    },
}

impl StorageError {
    /// The error to report where nothing is tried again: [`Device`](StorageError::Device) in place of
    /// [`Retry`](StorageError::Retry).
    pub fn into_final(self) -> Self {
        match self {
            Self::Retry { offset, reason } => Self::Device { offset, reason },
            other => other,
        }
    }
}

/// Bytes in memory read like a file: for tests and for models inside the program.
impl ReadAt for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let size = self.len() as u64;
        let end = offset.saturating_add(buffer.len() as u64);
        if end > size {
            return Err(StorageError::PastEnd { end, size });
        }
        // Both ends are within the slice, so they fit a usize.
        buffer.copy_from_slice(&self[offset as usize..end as usize]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// Fails twice before it reads.
    struct Shaky(u32);

    impl ReadAt for Shaky {
        fn size(&self) -> u64 {
            4
        }

        fn read_at(&mut self, _: u64, _: &mut [u8]) -> Result<(), StorageError> {
            unreachable!("one attempt at a time")
        }

        fn try_read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
            self.0 += 1;
            if self.0 < 3 {
                return Err(StorageError::Retry { offset, reason: "shaky".into() });
            }
            buffer.fill(7);
            Ok(())
        }
    }

    #[test]
    fn the_caller_is_asked_between_two_attempts() {
        let (mut buffer, mut asked) = ([0; 4], 0);
        let mut shaky = Shaky(0);
        let again = |_: &StorageError| {
            asked += 1;
            true
        };
        assert_eq!(Retrying { file: &mut shaky, again }.read_at(0, &mut buffer), Ok(()));
        assert_eq!((buffer, asked), ([7; 4], 2));
        let mut shaky = Shaky(0);
        let stopped =
            Retrying { file: &mut shaky, again: |_: &StorageError| false }.read_at(0, &mut buffer);
        assert_eq!(stopped, Err(StorageError::Device { offset: 0, reason: "shaky".into() }));
        assert_eq!(shaky.0, 1);
    }

    /// A walk of given steps.
    struct Steps(Vec<Result<Vec<Entry>, StorageError>>);

    impl Walk for Steps {
        fn folder(&self) -> &str {
            ""
        }

        fn step(&mut self) -> Option<Result<Vec<Entry>, StorageError>> {
            self.0.pop()
        }

        fn skipped(&self) -> &[Skipped] {
            &[]
        }
    }

    impl Storage for Steps {
        fn walk(&mut self) -> Box<dyn Walk> {
            Box::new(Steps(self.0.clone()))
        }

        fn open(&mut self, name: &str) -> Result<Box<dyn ReadAt>, StorageError> {
            Err(StorageError::NotFound { name: name.into() })
        }
    }

    #[test]
    fn a_list_is_all_that_a_walk_finds() {
        let entry = |name: &str| Entry { name: name.into(), size: 1 };
        let error = || StorageError::Volume { reason: "gone".into() };
        let mut steps = Steps(vec![Ok(vec![entry("a")]), Err(error()), Ok(vec![entry("b")])]);
        assert_eq!(steps.list(), Ok(vec![entry("a"), entry("b")]));
        assert_eq!(Steps(vec![Ok(vec![]), Err(error())]).list(), Err(error()));
        assert_eq!(Steps(vec![]).list(), Ok(vec![]));
    }
}
