//! The first root file system of a Linux kernel: an archive in cpio's format `newc` (Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use anyhow::{Context, Result};

/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// Kinds and permissions of files, as in `stat`.
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
/// The console's device numbers (Linux, Documentation/admin-guide/devices.txt).
const CONSOLE: (u32, u32) = (5, 1);

/// An archive of a console and these files, all executable: paths without a leading `/`, and
/// contents.
pub fn archive(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    entry(&mut archive, "dev", FOLDER, (0, 0), &[])?;
    entry(&mut archive, "dev/console", CHARACTER_DEVICE, CONSOLE, &[])?;
    for (path, contents) in files {
        entry(&mut archive, path, PROGRAM, (0, 0), contents)
            .with_context(|| format!("{path} does not fit into an archive"))?;
    }
    entry(&mut archive, TRAILER, 0, (0, 0), &[])?;
    Ok(archive)
}

/// Adds a file: header, path and contents, padded to multiples of four bytes.
fn entry(
    archive: &mut Vec<u8>,
    path: &str,
    mode: u32,
    (major, minor): (u32, u32),
    contents: &[u8],
) -> Result<()> {
    let (inode, owner, group, links, time) = (0, 0, 0, 1, 0);
    let size = u32::try_from(contents.len())?;
    // With its final zero.
    let path_size = u32::try_from(path.len() + 1)?;
    let (device, sum) = ([0, 0], 0);
    let fields = [inode, mode, owner, group, links, time, size]
        .into_iter()
        .chain(device)
        .chain([major, minor, path_size, sum]);
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").into_bytes());
    }
    archive.extend(path.as_bytes());
    archive.push(0);
    fill_up(archive);
    archive.extend(contents);
    fill_up(archive);
    Ok(())
}

fn fill_up(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of the header, by its index.
    fn field(entry: &[u8], number: usize) -> usize {
        let digits = &entry[6 + 8 * number..][..8];
        usize::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap()
    }

    /// A file's mode, device numbers, path and contents.
    type File = (usize, (usize, usize), String, Vec<u8>);

    /// The files of an archive.
    fn read(archive: &[u8]) -> Vec<File> {
        let (mut files, mut at) = (Vec::new(), 0);
        while at < archive.len() {
            let entry = &archive[at..];
            assert!(at.is_multiple_of(4) && entry.starts_with(b"070701"), "at {at}");
            let (size, path_size) = (field(entry, 6), field(entry, 11));
            let path = &entry[110..][..path_size];
            let (path, zero) = path.split_at(path_size - 1);
            assert_eq!(zero, [0]);
            let contents = (110 + path_size).next_multiple_of(4);
            files.push((
                field(entry, 1),
                (field(entry, 9), field(entry, 10)),
                String::from_utf8(path.to_vec()).unwrap(),
                entry[contents..][..size].to_vec(),
            ));
            at += (contents + size).next_multiple_of(4);
        }
        files
    }

    #[test]
    fn what_is_put_in_is_there() {
        let archive = archive(&[("init", b"program"), ("a/b", b""), ("even", b"1234")]).unwrap();
        let file =
            |path: &str, contents: &[u8]| (0o100_755, (0, 0), path.to_owned(), contents.to_vec());
        assert_eq!(
            read(&archive),
            [
                (0o040_755, (0, 0), "dev".to_owned(), vec![]),
                (0o020_600, (5, 1), "dev/console".to_owned(), vec![]),
                file("init", b"program"),
                file("a/b", b""),
                file("even", b"1234"),
                (0, (0, 0), "TRAILER!!!".to_owned(), vec![]),
            ]
        );
    }

    #[test]
    fn a_header_is_hexadecimal_numbers() {
        let mut archive = Vec::new();
        entry(&mut archive, "a", PROGRAM, (0, 0), b"xyz").unwrap();
        let fields = [0, 0o100_755, 0, 0, 1, 0, 3, 0, 0, 0, 0, 2, 0].map(|f| format!("{f:08x}"));
        let expected = format!("070701{}a\0xyz\0", fields.concat());
        assert_eq!(String::from_utf8(archive).unwrap(), expected);
    }
}
