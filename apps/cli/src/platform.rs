//! The platform's traits on std.

use bootllm_platform::{Clock, ReadAt, StorageError};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

/// A file on disk.
pub struct FileReader {
    file: File,
    size: u64,
}

impl FileReader {
    /// Opens a file.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        // Opening a pipe would wait for its other end.
        let metadata = std::fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(std::io::Error::other("it is a folder"));
        }
        if !metadata.is_file() {
            return Err(std::io::Error::other("it is a device or a pipe, not a file"));
        }
        Ok(FileReader { file: File::open(path)?, size: metadata.len() })
    }
}

impl ReadAt for FileReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let result = self.file.seek(SeekFrom::Start(offset));
        result
            .and_then(|_| self.file.read_exact(buffer))
            .map_err(|error| StorageError::Device { offset, reason: error.to_string() })
    }
}

/// Time since the program began.
pub struct StdClock {
    start: Instant,
}

impl StdClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        StdClock { start: Instant::now() }
    }
}

impl Clock for StdClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A number that nobody can foresee, never 0: the keys of std's hash maps come from the system's
/// random numbers.
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // As small as a person can read and type again.
    RandomState::new().hash_one(Instant::now()) % 1_000_000_000 + 1
}

/// Bytes of memory that can still be had, if the system says so.
pub fn memory_available() -> Option<u64> {
    memory_info("MemAvailable:")
}

/// A figure of Linux's `/proc/meminfo`, in bytes.
pub fn memory_info(label: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
