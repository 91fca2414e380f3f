//! What firmware says of a file: `EFI_FILE_INFO` (UEFI specification 2.10, 13.5) as bytes.

use crate::words;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes before the name.
const HEADER: usize = 80;

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name; units that are not valid UTF-16 become U+FFFD.
    pub name: String,
    /// Bytes in the file.
    pub size: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether the file system marks it as hidden, or as one of the operating system's.
    pub is_hidden: bool,
}

impl FileInfo {
    /// Reads the structure, or returns `None` if it is cut short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        const HIDDEN: u64 = 0x02;
        const SYSTEM: u64 = 0x04;
        const FOLDER: u64 = 0x10;
        let number = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let (size, attributes) = (number(8)?, number(72)?);
        let name: Vec<u16> = bytes
            .get(HEADER..)?
            .as_chunks()
            .0
            .iter()
            .map(|unit| u16::from_le_bytes(*unit))
            .take_while(|&unit| unit != 0)
            .collect();
        Some(Self {
            name: words::utf16(&name),
            size,
            is_folder: attributes & FOLDER != 0,
            is_hidden: attributes & (HIDDEN | SYSTEM) != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_specification_says() {
        let mut bytes = [0_u64; 10].map(u64::to_le_bytes).concat();
        bytes[8..16].copy_from_slice(&0x1_0000_0002_u64.to_le_bytes());
        bytes[72] = 0x10;
        bytes.extend("a🦙.bin\0rest".encode_utf16().flat_map(u16::to_le_bytes));
        let info = FileInfo {
            name: "a🦙.bin".into(),
            size: 0x1_0000_0002,
            is_folder: true,
            is_hidden: false,
        };
        assert_eq!(FileInfo::parse(&bytes), Some(info.clone()));
        bytes[72] = 0x24;
        let hidden = FileInfo { is_folder: false, is_hidden: true, ..info };
        assert_eq!(FileInfo::parse(&bytes), Some(hidden));
        for length in 0..HEADER {
            assert_eq!(FileInfo::parse(&bytes[..length]), None);
        }
        // Firmware that forgets the zero at the end, or sends half a unit.
        assert_eq!(FileInfo::parse(&bytes[..HEADER + 3]).unwrap().name, "a");
    }
}
