//! gdb and the UEFI program: symbols that gdb reads, and the address that firmware loads it to.
//!
//! The program's own debug information is in Microsoft's format, which gdb does not read. The
//! linker's map has the address of every function, so an ELF file with nothing but these symbols is
//! written from it. Firmware chooses the load address, but it is the same at each start of the same
//! machine: the machine is booted once without gdb, and its memory is searched for the program.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::efi;
use crate::guest::Guest;
use crate::machine::{Machine, Serial};
use crate::program::Program;
use crate::project::Project;
use crate::setup::Emulator;

/// What OVMF prints when it has loaded a program from a disk and starts it.
const LOADED: &str = "BdsDxe: starting";
/// Memory below 4 GB that q35 has at most; OVMF loads programs there.
const LOW_MEMORY: u64 = 2 << 30;
/// Firmware loads a program to whole pages.
const PAGE: usize = 4096;

/// Boots the machine and returns where the program is in its memory.
pub fn find_base(
    project: &Project,
    emulator: &Emulator,
    machine: &Machine,
    program: &Program,
) -> Result<u64> {
    let mut machine = machine.clone();
    machine.serial = Serial::Pipe;
    machine.monitor = true;
    let mut guest = Guest::start(&machine, project, emulator, Box::new(|_| ()))?;
    guest.timeout = Duration::from_secs(120);
    guest.wait_for(LOADED, 0)?;
    let monitor = guest.monitor.as_mut().context("the machine has no monitor")?;
    let dump = project.boot().join("memory.dump");
    let memory = monitor.memory(0, machine.memory.min(LOW_MEMORY), &dump)?;
    fs::remove_file(&dump)?;
    let file = fs::read(&program.file)
        .with_context(|| format!("cannot read {}", program.file.display()))?;
    let base = search(&memory, &file)?;
    base.context("the program is not in the machine's memory")
}

/// Where a program was loaded to: the page that begins with a DOS header and has the program's first
/// instructions at its entry point. (In the buffer that firmware read the file into, they are
/// elsewhere.)
fn search(memory: &[u8], file: &[u8]) -> Result<Option<u64>> {
    let entry = efi::entry_point(file)?;
    let code = file.get(entry.offset..entry.offset + 64).context("the program has no code")?;
    let at = (0..memory.len()).step_by(PAGE).find(|&page| {
        let loaded = memory.get(page + entry.address..);
        memory[page..].starts_with(b"MZ") && loaded.is_some_and(|loaded| loaded.starts_with(code))
    });
    Ok(at.map(|at| at as u64))
}

/// Writes the symbols and a gdb script that reads them and connects to the machine. Returns the
/// script.
pub fn write_script(program: &Program, base: u64) -> Result<PathBuf> {
    let text = fs::read_to_string(&program.map)
        .with_context(|| format!("cannot read {}", program.map.display()))?;
    let symbols = symbols(&text);
    ensure!(!symbols.is_empty(), "{} names no function", program.map.display());
    let file = program.file.with_extension("sym");
    write(&file, &elf(&symbols)?)?;
    let script = program.file.with_extension("gdb");
    let commands = format!(
        "set confirm off\nset pagination off\nset architecture i386:x86-64\n\
         add-symbol-file {} -o {base:#x}\ntarget remote :1234\n",
        file.display()
    );
    write(&script, commands.as_bytes())?;
    Ok(script)
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

/// A name, and its address from the beginning of the program.
type Symbol<'a> = (Cow<'a, str>, u64);

/// The symbols of a linker map. Its lines are `SECTION:OFFSET NAME ADDRESS OBJECT`.
fn symbols(map: &str) -> Vec<Symbol<'_>> {
    map.lines().filter_map(symbol).collect()
}

fn symbol(line: &str) -> Option<Symbol<'_>> {
    let mut words = line.split_ascii_whitespace();
    let (section, offset) = words.next()?.split_once(':')?;
    let is_hex = |text: &str| text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let name = words.next().filter(|_| is_hex(section) && is_hex(offset))?;
    let address = words.next().filter(|address| address.len() == 16)?;
    Some((without_hash(name), u64::from_str_radix(address, 16).ok()?))
}

/// A mangled name without the hash at its end (`17h`, 16 digits, `E`), so that a breakpoint can be
/// set at `bootllm_repl::run`.
fn without_hash(name: &str) -> Cow<'_, str> {
    let hashed =
        name.strip_suffix('E').and_then(|rest| rest.split_at_checked(rest.len().checked_sub(19)?));
    match hashed {
        Some((path, hash)) if name.starts_with("_ZN") && hash.starts_with("17h") => {
            Cow::Owned(format!("{path}E"))
        }
        _ => Cow::Borrowed(name),
    }
}

// ELF (System V ABI, "Object Files"): numbers of sections, and sizes of headers.
const TEXT: u16 = 1;
const STRINGS: u32 = 3;
const SECTION_NAMES: u16 = 4;
const HEADER: usize = 64;
const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;

/// An ELF file of symbols in one section, which has no bytes.
fn elf(symbols: &[Symbol<'_>]) -> Result<Vec<u8>> {
    const NAMES: &[u8] = b"\0.text\0.symtab\0.strtab\0.shstrtab\0";
    let mut strings = vec![0];
    // The first symbol is empty.
    let mut table = vec![0; SYMBOL];
    for (name, address) in symbols {
        table.extend(u32::try_from(strings.len())?.to_le_bytes());
        table.extend([0x12, 0]); // global, a function
        table.extend(TEXT.to_le_bytes());
        table.extend(address.to_le_bytes());
        table.extend(0_u64.to_le_bytes());
        strings.extend(name.bytes());
        strings.push(0);
    }
    let Some(end) = symbols.iter().map(|(_, address)| address + 1).max() else {
        bail!("there is no symbol");
    };
    let table_at = HEADER;
    let strings_at = table_at + table.len();
    let names_at = strings_at + strings.len();
    let sections_at = (names_at + NAMES.len()).next_multiple_of(8);

    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    file.resize(16, 0);
    // An executable for x86-64, version 1.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [0, 0, sections_at as u64] {
        file.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    file.extend([0; 4]);
    for half in [HEADER as u16, 0, 0, SECTION_HEADER as u16, 5, SECTION_NAMES] {
        file.extend(half.to_le_bytes());
    }
    file.extend(table.iter().chain(&strings).chain(NAMES));
    file.resize(sections_at + SECTION_HEADER, 0);
    // Name, kind, flags, address, offset, size, link, first global symbol, size of an entry.
    let mut section = |header: [u64; 9]| {
        let [name, kind, flags, address, offset, size, link, info, entry] = header;
        for half in [name as u32, kind as u32] {
            file.extend(half.to_le_bytes());
        }
        for word in [flags, address, offset, size] {
            file.extend(word.to_le_bytes());
        }
        for half in [link as u32, info as u32] {
            file.extend(half.to_le_bytes());
        }
        for word in [1, entry] {
            file.extend(word.to_le_bytes());
        }
    };
    let (symtab, strtab, nobits) = (2, 3, 8);
    section([1, nobits, 6, 0, 0, end, 0, 0, 0]);
    let size = table.len() as u64;
    section([7, symtab, 0, 0, table_at as u64, size, STRINGS.into(), 1, SYMBOL as u64]);
    section([15, strtab, 0, 0, strings_at as u64, strings.len() as u64, 0, 0, 0]);
    section([23, strtab, 0, 0, names_at as u64, NAMES.len() as u64, 0, 0, 0]);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = " bootllm_boot\n\n Preferred load address is 0000000000000000\n\n \
        Start         Length     Name                   Class\n \
        0001:00000000 00169b4dH .text                   CODE\n\n  \
        Address         Publics by Value              Rva+Base               Lib:Object\n\n \
        0001:00000000       __chkstk                   0000000000001000     a.o\n \
        0001:00019e70       efi_main                   000000000001ae70     a.o\n\n \
        Static symbols\n\n \
        0001:00000010       _RNvCs_4core4trim          0000000000001010     a.o\n";

    #[test]
    fn a_map_names_symbols() {
        let expected = [("__chkstk", 0x1000), ("efi_main", 0x1ae70), ("_RNvCs_4core4trim", 0x1010)];
        assert_eq!(symbols(MAP), expected.map(|(name, address)| (Cow::Borrowed(name), address)));
    }

    #[test]
    fn hashes_are_left_out_of_names() {
        for (name, expected) in [
            ("_ZN12bootllm_repl3run17h5ab2446938ccb128E", "_ZN12bootllm_repl3runE"),
            ("_ZN12bootllm_repl3runE", "_ZN12bootllm_repl3runE"),
            ("_ZNE", "_ZNE"),
            ("E", "E"),
            ("efi_main", "efi_main"),
        ] {
            assert_eq!(without_hash(name), expected);
        }
    }

    #[test]
    fn the_symbols_are_where_elf_has_them() {
        let file = elf(&[("one".into(), 0x1000), ("three".into(), 0x3000)]).unwrap();
        let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
        let half = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let sections = word(40);
        assert_eq!(file.len(), sections + 5 * SECTION_HEADER);
        let section = |number: usize| sections + number * SECTION_HEADER;
        let (symbols, strings) = (word(section(2) + 24), word(section(3) + 24));
        assert_eq!(word(section(2) + 32), 3 * SYMBOL);
        for (number, (name, address)) in [("one\0", 0x1000), ("three\0", 0x3000)].iter().enumerate()
        {
            let symbol = symbols + (number + 1) * SYMBOL;
            assert!(file[strings + half(symbol)..].starts_with(name.as_bytes()));
            assert_eq!(word(symbol + 8), *address);
        }
        // The section that they are in ends after the last.
        assert_eq!(word(section(1) + 32), 0x3001);
    }
}
