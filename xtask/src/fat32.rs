//! Writes a new FAT32 volume: directories first, then each file unfragmented.
//!
//! Names and numbers are those of Microsoft's "FAT32 File System Specification" (version 1.03). The
//! crate `fatfs`, which reads volumes back here, could write them too, but it gives the entries `.`
//! and `..` long names, which file system checkers report as damage.

use std::collections::BTreeSet;
use std::io::{self, Seek, SeekFrom, Write};

use anyhow::{Result, ensure};

use crate::disk::{Entry, SECTOR, copy};
use crate::legacy_boot;

/// With fewer clusters the volume would be FAT16. The specification says 65525; this is a few more,
/// because programs count differently.
const CLUSTERS_AT_LEAST: u64 = 65_525 + 16;
/// The largest cluster that every driver can read.
const CLUSTER_AT_MOST: u64 = 32 << 10;
/// Boot sector, information sector and their copies; more are added to align the clusters.
const RESERVED: u64 = 32;
/// Clusters begin at a multiple of 4 KiB, the page of most flash memory.
const ALIGNMENT: u64 = 8;
const INFORMATION_SECTOR: u64 = 1;
const BACKUP_SECTOR: u64 = 6;
const ROOT_CLUSTER: u32 = 2;
/// Space left free for what users save.
const SPARE: u64 = 1 << 20;

const SLOT: usize = 32;
const ATTRIBUTE_VOLUME: u8 = 0x08;
const ATTRIBUTE_FOLDER: u8 = 0x10;
const ATTRIBUTE_FILE: u8 = 0x20;
const ATTRIBUTE_LONG_NAME: u8 = 0x0f;
const LABEL: &[u8; 11] = b"BOOTLLM    ";
/// 1 January 1980, the first day of FAT: real times would make two images differ.
const DATE: u16 = (1 << 5) | 1;

/// How a volume is divided, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The whole volume.
    pub sectors: u64,
    cluster: u64,
    reserved: u64,
    /// Sectors in each of the two tables.
    table: u64,
    /// The number of clusters.
    clusters: u64,
}

impl Geometry {
    /// The largest clusters with which a volume of so many sectors is still FAT32.
    pub fn filling(sectors: u64) -> Self {
        let mut cluster = CLUSTER_AT_MOST / SECTOR;
        loop {
            let geometry = Self::divide(sectors, cluster);
            if geometry.clusters >= CLUSTERS_AT_LEAST || cluster == 1 {
                return geometry;
            }
            cluster /= 2;
        }
    }

    fn divide(sectors: u64, cluster: u64) -> Self {
        // Computed as if nothing were reserved, so never too small. An entry has 4 bytes.
        let table = (sectors / cluster + 2).div_ceil(SECTOR / 4);
        let reserved = (RESERVED + 2 * table).next_multiple_of(cluster.max(ALIGNMENT)) - 2 * table;
        Self {
            sectors,
            cluster,
            reserved,
            table,
            clusters: sectors.saturating_sub(reserved + 2 * table) / cluster,
        }
    }

    /// The smallest volume, of whole MiB, for these files and some free space.
    pub fn for_files(entries: &[Entry]) -> Self {
        let mib = (1 << 20) / SECTOR;
        let content: u64 = entries.iter().map(|entry| entry.size).sum();
        let mut sectors = (content / SECTOR).next_multiple_of(mib);
        loop {
            let geometry = Self::filling(sectors);
            if geometry.holds(entries) {
                return geometry;
            }
            sectors += mib;
        }
    }

    /// Whether these files fit, with some space left.
    pub fn holds(&self, entries: &[Entry]) -> bool {
        let needed = self.used_clusters(entries) + SPARE / (self.cluster * SECTOR);
        self.clusters >= CLUSTERS_AT_LEAST && self.clusters >= needed
    }

    /// Bytes that stay free with these files.
    pub fn free_bytes(&self, entries: &[Entry]) -> u64 {
        self.clusters.saturating_sub(self.used_clusters(entries)) * self.cluster * SECTOR
    }

    fn used_clusters(&self, entries: &[Entry]) -> u64 {
        let bytes = self.cluster * SECTOR;
        let files: u64 = entries.iter().map(|entry| entry.size.div_ceil(bytes)).sum();
        let folders: u64 = plan(entries).iter().map(|folder| folder.bytes().div_ceil(bytes)).sum();
        files + folders
    }
}

/// A directory and its content.
#[derive(Debug, PartialEq, Eq)]
struct Folder {
    path: String,
    parent: usize,
    children: Vec<Child>,
}

/// A name in a directory.
#[derive(Debug, PartialEq, Eq)]
struct Child {
    name: String,
    short: [u8; 11],
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A directory, by its index.
    Folder(usize),
    /// A file, by its index.
    File(usize),
}

impl Folder {
    fn bytes(&self) -> u64 {
        let slots: usize = self.children.iter().map(Child::slots).sum();
        // A directory begins with `.` and `..`, the root with the volume's label.
        ((2 + slots) * SLOT) as u64
    }

    fn add(&mut self, name: &str, what: What) {
        let taken: BTreeSet<_> = self.children.iter().map(|child| child.short).collect();
        self.children.push(Child { name: name.to_owned(), short: short_name(name, &taken), what });
    }
}

impl Child {
    fn slots(&self) -> usize {
        1 + self.long_name_slots()
    }

    /// A name that is a short name needs no long one.
    fn long_name_slots(&self) -> usize {
        if exact_short_name(&self.name) == Some(self.short) {
            0
        } else {
            self.name.encode_utf16().count().div_ceil(13)
        }
    }
}

/// The directories that contain the files, the root first.
fn plan(entries: &[Entry]) -> Vec<Folder> {
    let folder =
        |path: &str, parent| Folder { path: path.to_owned(), parent, children: Vec::new() };
    let mut folders = vec![folder("", 0)];
    for (file, entry) in entries.iter().enumerate() {
        let mut at = 0;
        let mut rest = entry.name.as_str();
        while let Some((name, below)) = rest.split_once('/') {
            let path = format!("{}{name}/", folders[at].path);
            at = match folders.iter().position(|folder| folder.path == path) {
                Some(known) => known,
                None => {
                    folders.push(folder(&path, at));
                    let new = folders.len() - 1;
                    folders[at].add(name, What::Folder(new));
                    new
                }
            };
            rest = below;
        }
        folders[at].add(rest, What::File(file));
    }
    folders
}

/// Consecutive clusters. An empty file has none, and its first cluster is written as 0.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    first: u32,
    length: u32,
}

/// Writes a volume at `start` (in bytes) of a device.
///
/// The files must fit, and FAT must allow their names. `progress` gets the bytes of each step.
pub fn write<D: Write + Seek>(
    device: &mut D,
    start: u64,
    geometry: &Geometry,
    serial: u32,
    entries: &[Entry],
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    ensure!(geometry.holds(entries), "the files do not fit on the volume");
    let folders = plan(entries);
    let bytes_per_cluster = geometry.cluster * SECTOR;
    let mut next = ROOT_CLUSTER;
    let mut allocate = |bytes: u64| -> Result<Run> {
        let length = u32::try_from(bytes.div_ceil(bytes_per_cluster))?;
        if length == 0 {
            return Ok(Run::default());
        }
        let first = next;
        next += length;
        Ok(Run { first, length })
    };
    let folder_runs =
        folders.iter().map(|folder| allocate(folder.bytes())).collect::<Result<Vec<_>>>()?;
    let file_runs = entries.iter().map(|entry| allocate(entry.size)).collect::<Result<Vec<_>>>()?;
    let free = u32::try_from(geometry.clusters)? - (next - ROOT_CLUSTER);

    let boot = boot_sector(geometry, serial)?;
    let information = information_sector(free, next);
    for copy in [0, BACKUP_SECTOR] {
        put(device, start + copy * SECTOR, &boot)?;
        put(device, start + (copy + INFORMATION_SECTOR) * SECTOR, &information)?;
    }
    let table = table(folder_runs.iter().chain(&file_runs));
    for copy in 0..2 {
        let at = geometry.reserved + copy * geometry.table;
        put(device, start + at * SECTOR, &table)?;
        put_zeros(device, geometry.table * SECTOR - table.len() as u64)?;
    }

    let data = start + (geometry.reserved + 2 * geometry.table) * SECTOR;
    let place = |run: Run| data + u64::from(run.first - ROOT_CLUSTER) * bytes_per_cluster;
    for (at, folder) in folders.iter().enumerate() {
        let bytes = folder_bytes(folder, at, &folder_runs, &file_runs, entries)?;
        put(device, place(folder_runs[at]), &bytes)?;
        let room = u64::from(folder_runs[at].length) * bytes_per_cluster;
        put_zeros(device, room - bytes.len() as u64)?;
    }
    for (entry, run) in entries.iter().zip(&file_runs) {
        if run.length > 0 {
            device.seek(SeekFrom::Start(place(*run)))?;
            copy(entry, device, &mut |bytes| progress(bytes.len() as u64))?;
        }
    }
    Ok(())
}

fn boot_sector(geometry: &Geometry, serial: u32) -> Result<[u8; SECTOR as usize]> {
    let mut sector = [0; SECTOR as usize];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xeb, 0x58, 0x90]); // a jump to the code
    put(3, b"MSWIN4.1"); // the OEM name that every driver accepts
    put(11, &(SECTOR as u16).to_le_bytes());
    put(13, &[u8::try_from(geometry.cluster)?]);
    put(14, &u16::try_from(geometry.reserved)?.to_le_bytes());
    put(16, &[2]); // tables
    put(21, &[0xf8]); // a fixed disk
    put(24, &63u16.to_le_bytes()); // sectors per track, unused today
    put(26, &255u16.to_le_bytes()); // heads
    put(28, &u32::try_from(crate::disk::FIRST_SECTOR)?.to_le_bytes());
    put(32, &u32::try_from(geometry.sectors)?.to_le_bytes());
    put(36, &u32::try_from(geometry.table)?.to_le_bytes());
    put(44, &ROOT_CLUSTER.to_le_bytes());
    put(48, &(INFORMATION_SECTOR as u16).to_le_bytes());
    put(50, &(BACKUP_SECTOR as u16).to_le_bytes());
    put(64, &[0x80]); // the drive's number
    put(66, &[0x29]); // the next three fields are valid
    put(67, &serial.to_le_bytes());
    put(71, LABEL);
    put(82, b"FAT32   ");
    put(90, &legacy_boot::code());
    put(510, &[0x55, 0xaa]);
    Ok(sector)
}

fn information_sector(free: u32, next: u32) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    let mut put = |at: usize, value: u32| sector[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(0, 0x4161_5252);
    put(484, 0x6141_7272);
    put(488, free);
    put(492, next);
    put(508, 0xaa55_0000);
    sector
}

/// The used part of the table: the entry of a cluster is the number of the next one.
fn table<'a>(runs: impl Iterator<Item = &'a Run>) -> Vec<u8> {
    const LAST: u32 = 0x0fff_ffff;
    let mut entries = vec![0x0fff_fff8, LAST]; // the medium, and "cleanly unmounted"
    for run in runs {
        for cluster in run.first..run.first + run.length {
            let last = cluster + 1 == run.first + run.length;
            entries.push(if last { LAST } else { cluster + 1 });
        }
    }
    entries.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// The entries of a directory.
fn folder_bytes(
    folder: &Folder,
    at: usize,
    folder_runs: &[Run],
    file_runs: &[Run],
    entries: &[Entry],
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if at == 0 {
        bytes.extend(slot(LABEL, ATTRIBUTE_VOLUME, 0, 0));
    } else {
        // Here the root's cluster is written as 0.
        let parent = match folder.parent {
            0 => 0,
            parent => folder_runs[parent].first,
        };
        bytes.extend(slot(b".          ", ATTRIBUTE_FOLDER, folder_runs[at].first, 0));
        bytes.extend(slot(b"..         ", ATTRIBUTE_FOLDER, parent, 0));
    }
    for child in &folder.children {
        bytes.extend(long_name(child));
        bytes.extend(match child.what {
            What::Folder(at) => slot(&child.short, ATTRIBUTE_FOLDER, folder_runs[at].first, 0),
            What::File(at) => {
                let size = u32::try_from(entries[at].size)?;
                slot(&child.short, ATTRIBUTE_FILE, file_runs[at].first, size)
            }
        });
    }
    Ok(bytes)
}

fn slot(short: &[u8; 11], attributes: u8, cluster: u32, size: u32) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..11].copy_from_slice(short);
    slot[11] = attributes;
    for date in [16, 18, 24] {
        slot[date..date + 2].copy_from_slice(&DATE.to_le_bytes());
    }
    let [low, below, above, high] = cluster.to_le_bytes();
    slot[20..22].copy_from_slice(&[above, high]);
    slot[26..28].copy_from_slice(&[low, below]);
    slot[28..32].copy_from_slice(&size.to_le_bytes());
    slot
}

/// The slots of a long name, which come before the short one, in reverse order.
fn long_name(child: &Child) -> Vec<u8> {
    const LETTERS_AT: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
    let letters: Vec<u16> = child.name.encode_utf16().collect();
    let checksum =
        child.short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let count = child.long_name_slots();
    let mut bytes = Vec::new();
    for part in (0..count).rev() {
        let mut slot = [0; SLOT];
        let last = if part + 1 == count { 0x40 } else { 0 };
        slot[0] = last | (part as u8 + 1);
        slot[11] = ATTRIBUTE_LONG_NAME;
        slot[13] = checksum;
        for (place, at) in LETTERS_AT.iter().zip(part * 13..) {
            // One zero after the name, then ones.
            let letter = match at.cmp(&letters.len()) {
                std::cmp::Ordering::Less => letters[at],
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Greater => 0xffff,
            };
            slot[*place..*place + 2].copy_from_slice(&letter.to_le_bytes());
        }
        bytes.extend(slot);
    }
    bytes
}

/// The short name of a name that is one: capitals, at most 8, and at most 3 after a dot.
fn exact_short_name(name: &str) -> Option<[u8; 11]> {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = |part: &str, most| {
        part.len() <= most
            && part
                .bytes()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || b"_-".contains(&c))
    };
    let dot = name.contains('.');
    (!stem.is_empty() && fits(stem, 8) && fits(extension, 3) && dot != extension.is_empty())
        .then(|| padded(stem.as_bytes(), extension.as_bytes()))
}

/// The short name of a file: its name if possible, else its beginning and a number.
fn short_name(name: &str, taken: &BTreeSet<[u8; 11]>) -> [u8; 11] {
    if let Some(exact) = exact_short_name(name).filter(|exact| !taken.contains(exact)) {
        return exact;
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let letters = |part: &str, most: usize| -> Vec<u8> {
        part.bytes()
            .filter(|c| c.is_ascii_alphanumeric() || b"_-".contains(c))
            .map(|c| c.to_ascii_uppercase())
            .take(most)
            .collect()
    };
    let (stem, extension) = (letters(stem, 8), letters(extension, 3));
    let mut number = 1u32;
    loop {
        let end = format!("~{number}");
        let mut numbered = stem[..stem.len().min(8 - end.len())].to_vec();
        numbered.extend(end.bytes());
        let short = padded(&numbered, &extension);
        if !taken.contains(&short) {
            return short;
        }
        number += 1;
    }
}

fn padded(stem: &[u8], extension: &[u8]) -> [u8; 11] {
    let mut short = [b' '; 11];
    short[..stem.len()].copy_from_slice(stem);
    short[8..8 + extension.len()].copy_from_slice(extension);
    short
}

/// Writes bytes at an offset.
pub fn put<D: Write + Seek>(device: &mut D, at: u64, bytes: &[u8]) -> io::Result<()> {
    device.seek(SeekFrom::Start(at))?;
    device.write_all(bytes)
}

fn put_zeros<D: Write>(device: &mut D, mut bytes: u64) -> io::Result<()> {
    let zeros = [0; 64 << 10];
    while bytes > 0 {
        let length = bytes.min(zeros.len() as u64);
        device.write_all(&zeros[..length as usize])?;
        bytes -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn entry(name: &str, size: u64) -> Entry {
        Entry { name: name.to_owned(), source: PathBuf::new(), size }
    }

    #[test]
    fn a_volume_for_files_is_fat32_and_little_larger_than_they_are() {
        for size in [0, 1, 33_000_000, 34_000_000, 66_000_000, 130_000_000, 440_000_000, 1 << 32] {
            let entries = [entry("model.bin", size)];
            let geometry = Geometry::for_files(&entries);
            assert!(geometry.clusters >= 65_525, "{size}: {geometry:?}");
            let end = geometry.reserved + 2 * geometry.table + geometry.clusters * geometry.cluster;
            assert!(end <= geometry.sectors, "{size}: {geometry:?}");
            let entries_of_table = geometry.table * SECTOR / 4;
            assert!(entries_of_table >= geometry.clusters + 2, "{size}: {geometry:?}");
            let bytes = geometry.sectors * SECTOR;
            assert!(bytes < size + size / 20 + (35 << 20), "{size}: {geometry:?}");
        }
    }

    #[test]
    fn clusters_are_as_large_as_the_volume_allows() {
        let cases = [(35 << 20, 512), (200 << 20, 2048), (1 << 30, 8 << 10), (64 << 30, 32 << 10)];
        for (bytes, cluster) in cases {
            let geometry = Geometry::filling(bytes / SECTOR);
            assert_eq!(geometry.cluster * SECTOR, cluster, "{bytes}");
        }
    }

    #[test]
    fn short_names() {
        let cases = [
            ("BOOTX64.EFI", "BOOTX64 EFI"),
            ("EFI", "EFI        "),
            ("stories260K.bin", "STORIE~1BIN"),
            ("stories260K.tokenizer.bin", "STORIE~2BIN"),
            ("stories260L.bin", "STORIE~3BIN"),
            ("\u{4e2d}.bin", "~1      BIN"),
            (".hidden", "~1      HID"),
            ("A.B.C", "AB~1    C  "),
            ("readme", "README~1   "),
        ];
        let mut taken = BTreeSet::new();
        for (name, expected) in cases {
            let short = short_name(name, &taken);
            assert_eq!(std::str::from_utf8(&short).unwrap(), expected);
            taken.insert(short);
        }
    }

    #[test]
    fn many_like_names_get_different_short_names() {
        let names: Vec<_> = (0..1200).map(|n| entry(&format!("a long name {n}.bin"), 1)).collect();
        let folders = plan(&names);
        let short: BTreeSet<_> = folders[0].children.iter().map(|child| child.short).collect();
        assert_eq!(short.len(), names.len());
    }
}
