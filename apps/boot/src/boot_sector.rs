//! Which file system a volume has, by its first 4 KiB.

/// Returns the name of the file system, or `None` if it is not one of those known here.
///
/// Marks: FAT (Microsoft's "FAT: General Overview of On-Disk Format" 1.03), NTFS, exFAT and
/// BitLocker (the name of the OEM in the boot sector), the superblocks of ext2 to ext4 and HFS+
/// (1024 bytes from the start), XFS, LUKS and APFS.
pub fn file_system(first_bytes: &[u8]) -> Option<&'static str> {
    const MARKS: [(usize, &[u8], &str); 12] = [
        (82, b"FAT32   ", "FAT32"),
        (54, b"FAT16   ", "FAT16"),
        (54, b"FAT12   ", "FAT12"),
        (54, b"FAT     ", "FAT"),
        (3, b"NTFS    ", "NTFS"),
        (3, b"EXFAT   ", "exFAT"),
        (3, b"-FVE-FS-", "BitLocker"),
        (1024 + 56, &[0x53, 0xEF], "ext"),
        (1024, b"H+", "HFS+"),
        (0, b"XFSB", "XFS"),
        (0, b"LUKS\xba\xbe", "LUKS"),
        (32, b"NXSB", "APFS"),
    ];
    MARKS
        .iter()
        .find(|(offset, mark, _)| {
            first_bytes.get(*offset..).is_some_and(|rest| rest.starts_with(mark))
        })
        .map(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let with = |offset: usize, mark: &[u8]| {
            let mut sector = vec![0; 2048];
            sector[offset..offset + mark.len()].copy_from_slice(mark);
            sector
        };
        assert_eq!(file_system(&with(82, b"FAT32   ")), Some("FAT32"));
        assert_eq!(file_system(&with(54, b"FAT12   ")), Some("FAT12"));
        assert_eq!(file_system(&with(3, b"EXFAT   ")), Some("exFAT"));
        assert_eq!(file_system(&with(3, b"NTFS    ")), Some("NTFS"));
        assert_eq!(file_system(&with(3, b"-FVE-FS-")), Some("BitLocker"));
        assert_eq!(file_system(&with(1080, &[0x53, 0xEF])), Some("ext"));
        assert_eq!(file_system(&with(83, b"FAT32   ")), None);
        for length in [0, 3, 89, 512] {
            assert_eq!(file_system(&vec![0; length]), None);
        }
    }
}
