//! Files: read at an offset, and written completely or not at all.

use crate::signals::Unfinished;
use anyhow::{Context, Result, bail};
use bootllm_model_file::Sink;
use bootllm_platform::{ReadAt, StorageError};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

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

    /// Reads all of it.
    pub(crate) fn read_all(mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
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

/// Writes a file with the bytes that `fill` gives, and returns how many these are. If `fill` fails,
/// the disk is full or the program is killed, a file that was there before is unchanged.
///
/// Until the file is complete and on the disk, its name is `NAME.PID.part`. After
/// [`clean_up_on_signals`](crate::clean_up_on_signals) a signal removes it.
pub fn write_whole(path: &Path, fill: impl FnOnce(&mut FileSink) -> Result<()>) -> Result<u64> {
    check_replaceable(path)?;
    let mut part = path.to_owned().into_os_string();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    // An earlier process with the same number left this one.
    let _ = std::fs::remove_file(&part);
    let _unfinished = Unfinished::new(&part);
    let result = FileSink::create(&part, path).and_then(|mut sink| {
        fill(&mut sink)?;
        let size = sink.finish()?;
        std::fs::rename(&part, path).with_context(|| path.display().to_string())?;
        Ok(size)
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    result
}

/// Refuses to replace a device: it would be gone.
fn check_replaceable(path: &Path) -> Result<()> {
    let name = path.display();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => bail!("{name}: it is a folder"),
        Ok(metadata) if !metadata.is_file() => {
            bail!("{name}: it is a device or a pipe, not a file")
        }
        _ => Ok(()),
    }
}

/// A file that is being written. Errors name it.
pub struct FileSink {
    file: BufWriter<File>,
    name: String,
    size: u64,
}

impl FileSink {
    /// Creates `part`, which will be `path`.
    fn create(part: &Path, path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::create_new(part).with_context(|| name.clone())?;
        Ok(FileSink { file: BufWriter::new(file), name, size: 0 })
    }

    /// Waits until everything is on the disk.
    fn finish(self) -> Result<u64> {
        let file = self.file.into_inner().map_err(|error| error.into_error());
        let synced = file.and_then(|file| file.sync_all());
        synced.with_context(|| self.name)?;
        Ok(self.size)
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let named = |error: std::io::Error| {
            std::io::Error::new(error.kind(), format!("{}: {error}", self.name))
        };
        let written = self.file.write(bytes).map_err(named)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.write_all(bytes).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("bootllm-host.{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("file");
        let fill = |text: &'static [u8]| move |sink: &mut FileSink| Ok(sink.write_all(text)?);
        assert_eq!(write_whole(&path, fill(b"first")).unwrap(), 5);

        let failed = write_whole(&path, |sink| {
            sink.write_all(b"second")?;
            bail!("no more")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);

        // What a process of the same number left when it was killed is no hindrance.
        std::fs::write(folder.join(format!("file.{}.part", std::process::id())), "half").unwrap();
        assert_eq!(write_whole(&path, fill(b"the third")).unwrap(), 9);
        assert_eq!(std::fs::read(&path).unwrap(), b"the third");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);

        let refused = write_whole(&folder, fill(b"")).unwrap_err();
        assert!(refused.to_string().ends_with("it is a folder"), "{refused}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
