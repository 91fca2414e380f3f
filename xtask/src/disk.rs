//! The bootable disk: a GPT with one EFI system partition, FAT32, filled with files.
//!
//! The disk can be anything that reads, writes and seeks: an image file or a stick. The same files
//! give the same bytes: times are fixed, and what must be unique to a disk (its GUIDs and the
//! volume's serial number) is derived from the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fatfs::{FileSystem, FsOptions};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::{GptConfig, partition_types};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::fat32::{self, Geometry};
use crate::legacy_boot;

/// Bytes per sector.
pub const SECTOR: u64 = 512;
/// First sector of the partition: at 1 MiB, as every tool aligns it.
pub const FIRST_SECTOR: u64 = 2048;
/// Sectors after the partition, a whole MiB: the backup of the partition table and its header.
const LAST_SECTORS: u64 = 2048;
/// The largest file on FAT32, whose sizes are 32-bit numbers.
pub const LARGEST_FILE: u64 = u32::MAX as u64;
/// A FAT32 volume counts its sectors in 32 bits.
const LARGEST: u64 = u32::MAX as u64 * SECTOR;
/// Bytes to copy at a time.
const CHUNK: usize = 1 << 20;

/// A file for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path on the disk, separated by `/`.
    pub name: String,
    /// The file that it is copied from.
    pub source: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

impl Entry {
    /// A file of the host, under its path on the disk.
    pub fn new(name: impl Into<String>, source: impl Into<PathBuf>) -> Result<Self> {
        let (name, source) = (name.into(), source.into());
        let size =
            source.metadata().with_context(|| format!("cannot read {}", source.display()))?.len();
        Ok(Self { name, source, size })
    }

    fn open(&self) -> Result<File> {
        File::open(&self.source).with_context(|| format!("cannot read {}", self.source.display()))
    }
}

/// Why FAT32 cannot hold a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The name has so many characters.
    NameLength(usize),
    /// The name contains a character that FAT does not allow.
    Character(char),
    /// The name contains a character that takes two UTF-16 units, which firmware cannot read.
    WideCharacter(char),
    /// The name begins or ends with a space or ends with a dot, which FAT drops.
    NameEnd,
    /// The file has so many bytes.
    Size(u64),
    /// A directory of the disk has the same name.
    IsFolder,
    /// This other file has the same name; FAT does not distinguish upper and lower case.
    SameName(PathBuf),
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NameLength(length) => {
                write!(f, "its name has {length} characters, FAT allows 1 to 255; rename it")
            }
            Fault::Character(bad) => {
                write!(f, "its name contains {bad:?}, which FAT does not allow; rename it")
            }
            Fault::WideCharacter(bad) => {
                write!(f, "its name contains {bad:?}, which firmware cannot read; rename it")
            }
            Fault::NameEnd => {
                write!(
                    f,
                    "its name begins or ends with a space or a dot, which FAT drops; rename it"
                )
            }
            Fault::Size(size) => {
                write!(f, "it has {size} bytes, FAT32 allows {LARGEST_FILE} (4 GiB - 1)")
            }
            Fault::IsFolder => write!(f, "a directory on the disk has the same name; rename it"),
            Fault::SameName(other) => write!(
                f,
                "{} would have the same name, because FAT ignores case; rename one",
                other.display()
            ),
        }
    }
}

impl std::error::Error for Fault {}

/// Checks that FAT32 can hold these files: their names, that all are different, their sizes.
pub fn check(entries: &[Entry]) -> Result<()> {
    let mut seen = BTreeMap::new();
    let folders: BTreeSet<_> = entries
        .iter()
        .flat_map(|entry| entry.name.match_indices('/').map(|(at, _)| &entry.name[..at]))
        .map(str::to_uppercase)
        .collect();
    for entry in entries {
        check_entry(entry, &folders, &mut seen)
            .with_context(|| format!("{} cannot be put on the disk", entry.source.display()))?;
    }
    Ok(())
}

/// Checks one file against the directories and the files before it, by their names in upper case.
fn check_entry<'a>(
    entry: &'a Entry,
    folders: &BTreeSet<String>,
    seen: &mut BTreeMap<String, &'a Path>,
) -> Result<(), Fault> {
    entry.name.split('/').try_for_each(check_name)?;
    if entry.size > LARGEST_FILE {
        return Err(Fault::Size(entry.size));
    }
    let name = entry.name.to_uppercase();
    if folders.contains(&name) {
        return Err(Fault::IsFolder);
    }
    match seen.insert(name, &entry.source) {
        Some(other) => Err(Fault::SameName(other.to_owned())),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let length = name.chars().count();
    if !(1..=255).contains(&length) {
        return Err(Fault::NameLength(length));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || r#""*/:<>?\|"#.contains(*c)) {
        return Err(Fault::Character(bad));
    }
    if let Some(bad) = name.chars().find(|c| c.len_utf16() > 1) {
        return Err(Fault::WideCharacter(bad));
    }
    if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        return Err(Fault::NameEnd);
    }
    Ok(())
}

/// Bytes of the smallest disk for these files.
pub fn size_for(entries: &[Entry]) -> u64 {
    (FIRST_SECTOR + Geometry::for_files(entries).sectors + LAST_SECTORS) * SECTOR
}

/// Bytes that stay free on a disk of `size` bytes with these files.
pub fn free_space(size: u64, entries: &[Entry]) -> u64 {
    partition_geometry(size).free_bytes(entries)
}

/// The volume that fills a disk of `size` bytes between the two partition tables.
fn partition_geometry(size: u64) -> Geometry {
    Geometry::filling((size / SECTOR).saturating_sub(FIRST_SECTOR + LAST_SECTORS))
}

/// A hash of the files, from which everything is derived that must be unique to a disk.
struct Identity([u8; 32]);

impl Identity {
    fn of(entries: &[Entry], progress: &mut dyn FnMut(u64)) -> Result<Self> {
        let mut hash = Sha256::new();
        for entry in entries {
            hash.update(entry.name.as_bytes());
            hash.update([0]);
            hash.update(entry.size.to_le_bytes());
            copy(entry, &mut io::sink(), &mut |bytes| {
                hash.update(bytes);
                progress(bytes.len() as u64);
            })?;
        }
        Ok(Self(hash.finalize().into()))
    }

    fn disk(&self) -> Uuid {
        self.guid(0)
    }

    fn partition(&self) -> Uuid {
        self.guid(16)
    }

    fn volume(&self) -> u32 {
        u32::from_le_bytes([self.0[3], self.0[9], self.0[19], self.0[29]])
    }

    /// 16 bytes of the hash as a GUID of version 8, whose content is free (RFC 9562).
    fn guid(&self, at: usize) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0[at..at + 16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// Writes a bootable disk of `size` bytes with these files on it.
///
/// The rest of `device` stays as it is. `progress` gets the bytes of each step; they add up to twice
/// the files' sizes, because files are read once for the hash and once to be copied.
pub fn write<D>(
    mut device: D,
    size: u64,
    entries: &[Entry],
    progress: &mut dyn FnMut(u64),
) -> Result<()>
where
    D: Read + Write + Seek + Debug,
{
    check(entries)?;
    let needed = size_for(entries);
    ensure!(size >= needed, "the files need a disk of {needed} bytes, this one has {size}");
    ensure!(size <= LARGEST, "a FAT32 volume has {LARGEST} bytes at most (2 TiB), not {size}");
    let identity = Identity::of(entries, progress)?;
    let sectors = size / SECTOR;
    let geometry = partition_geometry(size);
    // Around the partition: programs would find an old partition table or file system there.
    for sector in [0, sectors - LAST_SECTORS] {
        fat32::put(&mut device, sector * SECTOR, &vec![0; (FIRST_SECTOR * SECTOR) as usize])?;
    }
    write_table(&mut device, sectors, geometry.sectors, &identity)
        .context("cannot write the GPT")?;
    let start = FIRST_SECTOR * SECTOR;
    fat32::write(&mut device, start, &geometry, identity.volume(), entries, progress)
        .context("cannot write the FAT32 volume")?;
    device.flush()?;
    Ok(())
}

fn write_table<D>(device: &mut D, sectors: u64, partition: u64, identity: &Identity) -> Result<()>
where
    D: Read + Write + Seek + Debug,
{
    let last = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    let mut mbr = ProtectiveMBR::with_lb_size(last);
    let mut boot_code = [0; 440];
    let code = legacy_boot::code();
    boot_code[..code.len()].copy_from_slice(&code);
    mbr.set_bootcode(boot_code);
    mbr.overwrite_lba0(device)?;
    let mut table = GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(device, Some(identity.disk()))?;
    let partition = Partition {
        part_type_guid: partition_types::EFI,
        part_guid: identity.partition(),
        first_lba: FIRST_SECTOR,
        last_lba: FIRST_SECTOR + partition - 1,
        flags: 0,
        name: "bootllm".to_owned(),
    };
    table.update_partitions(BTreeMap::from([(1, partition)]))?;
    table.write()?;
    Ok(())
}

/// Copies a file, and passes every chunk to `chunk`.
pub fn copy(entry: &Entry, to: &mut dyn Write, chunk: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut file = entry.open()?;
    let mut buffer = vec![0; CHUNK];
    let mut copied = 0;
    loop {
        let length = file
            .read(&mut buffer)
            .with_context(|| format!("cannot read {}", entry.source.display()))?;
        if length == 0 {
            break;
        }
        to.write_all(&buffer[..length]).with_context(|| format!("cannot write {}", entry.name))?;
        chunk(&buffer[..length]);
        copied += length as u64;
    }
    ensure!(
        copied == entry.size,
        "{} changed while it was read: {} bytes became {copied}",
        entry.source.display(),
        entry.size
    );
    Ok(())
}

/// Reads a disk back and compares its files with their sources. `progress` gets the bytes of each
/// step.
pub fn verify<D>(mut device: D, entries: &[Entry], progress: &mut dyn FnMut(u64)) -> Result<()>
where
    D: Read + Write + Seek + Debug,
{
    let (start, length) = partition(&mut device)?;
    let system = FileSystem::new(Window::new(device, start, length), FsOptions::new())
        .context("the file system cannot be read back")?;
    let (mut expected, mut found) = (vec![0; CHUNK], vec![0; CHUNK]);
    for entry in entries {
        let mut source = entry.open()?;
        let mut file = system
            .root_dir()
            .open_file(&entry.name)
            .with_context(|| format!("{} is not on the disk", entry.name))?;
        let mut left = entry.size;
        while left > 0 {
            let length = left.min(CHUNK as u64) as usize;
            source.read_exact(&mut expected[..length])?;
            file.read_exact(&mut found[..length])
                .with_context(|| format!("{} cannot be read back", entry.name))?;
            ensure!(
                expected[..length] == found[..length],
                "{} reads back different from what was written",
                entry.name
            );
            left -= length as u64;
            progress(length as u64);
        }
        ensure!(file.read(&mut found)? == 0, "{} is longer than it should be", entry.name);
    }
    Ok(())
}

/// Offset and length of the EFI system partition, in bytes.
fn partition<D: Read + Write + Seek + Debug>(device: &mut D) -> Result<(u64, u64)> {
    let table = GptConfig::new()
        .writable(false)
        .only_valid_headers(true)
        .open_from_device(device)
        .context("the GPT cannot be read back")?;
    let partition = table
        .partitions()
        .values()
        .find(|partition| partition.part_type_guid == partition_types::EFI)
        .context("the GPT has no EFI system partition")?;
    let block = LogicalBlockSize::Lb512;
    Ok((partition.bytes_start(block)?, partition.bytes_len(block)?))
}

/// A range of a device, as a device.
struct Window<D> {
    device: D,
    start: u64,
    length: u64,
    position: u64,
}

impl<D: Seek> Window<D> {
    fn new(device: D, start: u64, length: u64) -> Self {
        Self { device, start, length, position: 0 }
    }

    /// Seeks the device to the position, and returns how many of `wanted` bytes are in the range.
    fn prepare(&mut self, wanted: usize) -> io::Result<usize> {
        self.device.seek(SeekFrom::Start(self.start + self.position))?;
        let left = self.length.saturating_sub(self.position);
        Ok(usize::try_from(left).map_or(wanted, |left| left.min(wanted)))
    }
}

impl<D: Read + Seek> Read for Window<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.prepare(buffer.len())?;
        let read = self.device.read(&mut buffer[..length])?;
        self.position += read as u64;
        Ok(read)
    }
}

impl<D: Write + Seek> Write for Window<D> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.prepare(buffer.len())?;
        let written = self.device.write(&buffer[..length])?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.device.flush()
    }
}

impl<D> Seek for Window<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.position = position
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start"))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Cursor;

    /// A directory of files, removed when the test ends.
    struct Files(PathBuf);

    impl Files {
        fn new(test: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("bootllm-{test}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        /// A file of `size` bytes, different for each name.
        fn entry(&self, name: &str, size: usize) -> Entry {
            let seed = name.bytes().fold(size as u32, |seed, byte| {
                seed.wrapping_mul(31).wrapping_add(u32::from(byte))
            });
            let mut state = seed;
            let bytes: Vec<u8> = (0..size)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let path = self.0.join(name.replace('/', "-"));
            fs::write(&path, bytes).unwrap();
            Entry::new(name, path).unwrap()
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn made(entries: &[Entry], size: u64) -> Vec<u8> {
        let mut disk = Cursor::new(vec![0; size as usize]);
        write(&mut disk, size, entries, &mut |_| ()).unwrap();
        disk.into_inner()
    }

    #[test]
    fn what_was_written_reads_back() {
        let files = Files::new("disk-reads-back");
        let entries = [
            files.entry("EFI/BOOT/BOOTX64.EFI", 70_001),
            files.entry("EFI/BOOT/other.bin", 1),
            files.entry("a model with a rather long name.bin", 3_000_000),
            files.entry("empty.bin", 0),
        ];
        let disk = made(&entries, size_for(&entries));
        let mut compared = 0;
        verify(Cursor::new(disk), &entries, &mut |bytes| compared += bytes).unwrap();
        assert_eq!(compared, 3_070_002);
    }

    #[test]
    fn the_same_files_give_the_same_bytes_and_other_files_other_names() {
        let files = Files::new("disk-same");
        let entries = [files.entry("a.bin", 5000), files.entry("b.bin", 10)];
        let size = size_for(&entries);
        let first = made(&entries, size);
        assert!(first == made(&entries, size));

        // The disk's GUID in the header of the table.
        let guid = |disk: &[u8]| disk[512 + 56..512 + 72].to_vec();
        let other = made(&entries[..1], size);
        assert_ne!(guid(&first), guid(&other));
    }

    /// The first sector of the disk, the first of the volume, and the copy of that.
    #[test]
    fn every_boot_sector_has_the_code_for_a_bios() {
        let files = Files::new("disk-bios");
        let entries = [files.entry("a.bin", 1000)];
        let disk = made(&entries, size_for(&entries));
        let code = legacy_boot::code();
        let volume = (FIRST_SECTOR * SECTOR) as usize;
        assert_eq!(disk[..code.len()], code);
        for sector in [volume, volume + 6 * SECTOR as usize] {
            let jump = &disk[sector..sector + 3];
            assert_eq!((jump[0], jump[2]), (0xeb, 0x90));
            let target = sector + 2 + usize::from(jump[1]);
            assert_eq!(disk[target..target + code.len()], code);
        }
        for sector in [0, volume] {
            assert_eq!(disk[sector + 510..sector + 512], [0x55, 0xaa]);
        }
    }

    #[test]
    fn a_difference_is_found() {
        let files = Files::new("disk-difference");
        let entries = [files.entry("a.bin", 100_000)];
        let mut disk = made(&entries, size_for(&entries));
        let content = fs::read(&entries[0].source).unwrap();
        let at = disk.windows(16).position(|window| window == &content[..16]).unwrap();
        disk[at + 5] ^= 1;
        let error = verify(Cursor::new(disk), &entries, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("a.bin"));
    }

    #[test]
    fn the_partition_fills_a_larger_disk() {
        let files = Files::new("disk-larger");
        let entries = [files.entry("a.bin", 1000)];
        let size = 200 << 20;
        let mut disk = Cursor::new(made(&entries, size));
        let (start, length) = partition(&mut disk).unwrap();
        assert_eq!((start, length), (1 << 20, size - (2 << 20)));
        let system = FileSystem::new(Window::new(disk, start, length), FsOptions::new()).unwrap();
        assert_eq!(system.fat_type(), fatfs::FatType::Fat32);
        assert_eq!(system.cluster_size(), 2048);
        let stats = system.stats().unwrap();
        assert!(u64::from(stats.free_clusters()) * 2048 > 190 << 20);
    }

    #[test]
    fn files_that_fat_cannot_hold_are_refused() {
        let entry = |name: &str, size| Entry {
            name: name.to_owned(),
            source: PathBuf::from("from").join(name),
            size,
        };
        let cases = [
            (vec![entry("what?.bin", 1)], Fault::Character('?')),
            (vec![entry("tab\t.bin", 1)], Fault::Character('\t')),
            (vec![entry("\u{1F600}.bin", 1)], Fault::WideCharacter('\u{1F600}')),
            (vec![entry("dot.", 1)], Fault::NameEnd),
            (vec![entry("", 1)], Fault::NameLength(0)),
            (vec![entry(&"n".repeat(256), 1)], Fault::NameLength(256)),
            (vec![entry("a.bin", 1 << 32)], Fault::Size(1 << 32)),
            (vec![entry("EFI/a", 1), entry("efi", 1)], Fault::IsFolder),
            (vec![entry("a.bin", 1), entry("A.BIN", 1)], Fault::SameName("from/a.bin".into())),
        ];
        for (entries, fault) in cases {
            assert_eq!(check(&entries).unwrap_err().downcast_ref(), Some(&fault));
        }
        check(&[entry("\u{e9}\u{4e2d}.bin", LARGEST_FILE), entry("b.bin", 0)]).unwrap();
    }

    #[test]
    fn a_disk_too_small_is_refused_before_anything_is_written() {
        let files = Files::new("disk-small");
        let entries = [files.entry("a.bin", 1000)];
        let size = size_for(&entries) - SECTOR;
        let mut disk = Cursor::new(vec![0; size as usize]);
        write(&mut disk, size, &entries, &mut |_| ()).unwrap_err();
        assert!(disk.into_inner().iter().all(|&byte| byte == 0));
    }
}
