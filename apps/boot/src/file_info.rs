//! Parser of `EFI_FILE_INFO` (UEFI specification 2.10, 13.5), the firmware's description of a file.

use crate::words;
use alloc::vec::Vec;
use bootllm_platform::FileInfo;

/// Bytes before the name.
const HEADER: usize = 80;

/// Reads the structure, or returns `None` if it is cut short. Units of the name that are not valid
/// UTF-16 become U+FFFD.
pub fn parse(bytes: &[u8]) -> Option<FileInfo> {
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
    Some(FileInfo {
        name: words::utf16(&name),
        size,
        is_folder: attributes & FOLDER != 0,
        is_hidden: attributes & (HIDDEN | SYSTEM) != 0,
    })
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
        assert_eq!(parse(&bytes), Some(info.clone()));
        bytes[72] = 0x24;
        let hidden = FileInfo { is_folder: false, is_hidden: true, ..info };
        assert_eq!(parse(&bytes), Some(hidden));
        for length in 0..HEADER {
            assert_eq!(parse(&bytes[..length]), None);
        }
        // Firmware that forgets the zero at the end, or sends half a unit.
        assert_eq!(parse(&bytes[..HEADER + 3]).unwrap().name, "a");
    }
}
