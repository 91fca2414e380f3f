//! The bootable disk: a GPT with one EFI system partition, FAT32, filled with files.
//!
//! Written to anything that can be read, written and sought, an image file as well as a stick.
//! The same files give the same bytes: times are fixed, and what must be unique to a disk (its
//! GUIDs and the volume's serial number) is derived from the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use fatfs::{FileSystem, FsOptions};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::{GptConfig, partition_types};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::fat32::{self, Geometry};
use crate::legacy_boot;

/// Bytes in a sector.
pub const SECTOR: u64 = 512;
/// Where the partition begins, in sectors: 1 MiB, as every tool aligns it.
pub const FIRST_SECTOR: u64 = 2048;
/// Sectors after the partition: the second table with its header, kept to a whole MiB.
const LAST_SECTORS: u64 = 2048;
/// A file's size is a 32-bit number on FAT32.
pub const FILE_AT_MOST: u64 = u32::MAX as u64;
/// A FAT32 volume counts its sectors in 32 bits.
const LARGEST: u64 = u32::MAX as u64 * SECTOR;
/// Bytes copied at once.
const CHUNK: usize = 1 << 20;

/// A file to be put on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path on the disk, its folders parted by `/`.
    pub name: String,
    /// The file it is copied from.
    pub source: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

impl Entry {
    /// A file of this machine under a name of the disk's.
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

/// Checks that FAT32 can hold these files: their names, that no two are the same, their sizes.
pub fn check(entries: &[Entry]) -> Result<()> {
    let mut seen = BTreeMap::new();
    let folders: BTreeSet<_> = entries
        .iter()
        .flat_map(|entry| entry.name.match_indices('/').map(|(at, _)| &entry.name[..at]))
        .map(str::to_uppercase)
        .collect();
    for entry in entries {
        for part in entry.name.split('/') {
            check_name(part)
                .with_context(|| format!("{} cannot be put on the disk", entry.source.display()))?;
        }
        if entry.size > FILE_AT_MOST {
            bail!(
                "{} has {} bytes; a file on FAT32 has {FILE_AT_MOST} at most (4 GiB - 1)",
                entry.source.display(),
                entry.size
            );
        }
        if folders.contains(&entry.name.to_uppercase()) {
            bail!(
                "{} would have the name of a folder on the disk; rename it",
                entry.source.display()
            );
        }
        // FAT does not tell upper from lower case.
        if let Some(other) = seen.insert(entry.name.to_uppercase(), &entry.source) {
            bail!(
                "two files would be {} on the disk: {} and {}",
                entry.name,
                other.display(),
                entry.source.display()
            );
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.chars().count() > 255 {
        bail!("the name {name:?} has {} characters, FAT takes 1 to 255", name.chars().count());
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || r#""*/:<>?\|"#.contains(*c)) {
        bail!("the name {name:?} has {bad:?} in it, which FAT does not take; rename it");
    }
    if let Some(bad) = name.chars().find(|c| c.len_utf16() > 1) {
        bail!("the name {name:?} has {bad:?} in it, which firmware cannot read; rename it");
    }
    if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        bail!("the name {name:?} begins or ends with a space or a dot, which FAT drops; rename it");
    }
    Ok(())
}

/// Bytes of the smallest disk that holds these files.
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

/// What makes a disk different from others, derived from its files.
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

    /// 16 bytes as a GUID of the kind that is anyone's own to make (version 8, RFC 9562).
    fn guid(&self, at: usize) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0[at..at + 16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// Writes a bootable disk of `size` bytes with these files on it.
///
/// `device` reads as zeros or as anything else; what is not written to is left as it is.
/// `progress` is told of bytes done, of twice the files' sizes in all: once read, once written.
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
    // Whatever was before and after the partition: an old table or file system would be found.
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

/// Copies a file, telling of every chunk.
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

/// Reads a disk back and compares it with what was put on it.
///
/// `progress` is told of bytes compared.
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

/// Where the EFI system partition begins, and its length, both in bytes.
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

/// A part of a device, as a device of its own.
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

    /// Seeks the device to our position, and gives how many of `wanted` bytes lie inside.
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
        self.position = position.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "sought before the start")
        })?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Cursor;

    /// A folder of files that goes when the test ends.
    struct Files(PathBuf);

    impl Files {
        fn new(test: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("bootllm-{test}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        /// A file of `size` bytes that no two files share.
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
        assert!(error.to_string().contains("a.bin reads back different"));
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
    fn what_fat_cannot_hold_is_said() {
        let entry = |name: &str, size| Entry {
            name: name.to_owned(),
            source: PathBuf::from("from").join(name),
            size,
        };
        let cases = [
            (vec![entry("what?.bin", 1)], "'?'"),
            (vec![entry("tab\t.bin", 1)], "'\\t'"),
            (vec![entry("\u{1F600}.bin", 1)], "firmware cannot read"),
            (vec![entry("dot.", 1)], "ends with a space or a dot"),
            (vec![entry("", 1)], "0 characters"),
            (vec![entry(&"n".repeat(256), 1)], "256 characters"),
            (vec![entry("a.bin", 1 << 32)], "4294967295"),
            (vec![entry("EFI/a", 1), entry("efi", 1)], "name of a folder"),
            (vec![entry("a.bin", 1), entry("A.BIN", 1)], "two files would be A.BIN"),
        ];
        for (entries, expected) in cases {
            let error = format!("{:#}", check(&entries).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        check(&[entry("\u{e9}\u{4e2d}.bin", FILE_AT_MOST), entry("b.bin", 0)]).unwrap();
    }

    #[test]
    fn a_disk_too_small_is_refused_before_anything_is_written() {
        let files = Files::new("disk-small");
        let entries = [files.entry("a.bin", 1000)];
        let size = size_for(&entries) - SECTOR;
        let mut disk = Cursor::new(vec![0; size as usize]);
        let error = write(&mut disk, size, &entries, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("need a disk of"));
        assert!(disk.into_inner().iter().all(|&byte| byte == 0));
    }
}
