//! Checks of a linked UEFI program.

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;

// Names and offsets: Microsoft's "PE Format".
const PE32_PLUS: u16 = 0x20b;
const SUBSYSTEM_EFI_APPLICATION: u16 = 10;
const DATA_DIRECTORY_BASE_RELOCATION: usize = 5;
const DLL_CHARACTERISTICS_NX_COMPAT: u16 = 0x100;
const SECTION_HEADER: usize = 40;
const SECTION_EXECUTE: u32 = 0x2000_0000;
const SECTION_WRITE: u32 = 0x8000_0000;
/// Bytes in a page. Firmware protects whole pages, so each section begins at one.
const PAGE: u32 = 4096;

/// Library routines that replace a float instruction on targets without hardware floating point.
///
/// `fmaf` and `fma` are among them: no formula of bootllm is fused.
const SOFT_FLOAT: [&str; 22] = [
    "__addsf3",
    "__subsf3",
    "__mulsf3",
    "__divsf3",
    "__negsf2",
    "__eqsf2",
    "__ltsf2",
    "__gtsf2",
    "__adddf3",
    "__subdf3",
    "__muldf3",
    "__divdf3",
    "__ltdf2",
    "__gtdf2",
    "__floatsisf",
    "__floatunsisf",
    "__fixsfsi",
    "__extendsfdf2",
    "__truncdfsf2",
    "sqrtf",
    "fmaf",
    "fma",
];

/// Why firmware would not start a program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// A header ends after the end of the file.
    CutShort,
    /// It does not begin with `MZ`.
    NoDosHeader,
    /// There is no `PE` header where the DOS header points.
    NoPeHeader,
    /// It is for another kind of processor.
    Machine { found: u16, expected: u16 },
    /// Its optional header is not PE32+.
    Magic(u16),
    /// It has no entry point.
    NoEntryPoint,
    /// It has an image base. Base 0 keeps high memory in one piece.
    Base(u64),
    /// It is no EFI application.
    Subsystem(u16),
    /// It has no relocations, so it could only be loaded at its base, which is 0.
    NoRelocations,
    /// It does not say that it runs without executable data (NX_COMPAT).
    NotNxCompatible,
    /// Its sections do not begin at pages, so firmware cannot protect them.
    Alignment(u32),
    /// A section is writable and executable. New firmware refuses such a program.
    WritableCode { section: String },
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::CutShort => write!(f, "its headers are cut short"),
            Fault::NoDosHeader => write!(f, "it does not begin with MZ"),
            Fault::NoPeHeader => write!(f, "it has no PE header"),
            Fault::Machine { found, expected } => {
                write!(f, "its machine is {found:#x}, not {expected:#x}")
            }
            Fault::Magic(magic) => {
                write!(f, "its optional header is {magic:#x}, not {PE32_PLUS:#x} (PE32+)")
            }
            Fault::NoEntryPoint => write!(f, "it has no entry point"),
            Fault::Base(base) => {
                write!(f, "its base is {base:#x}, not 0, which would split high memory")
            }
            Fault::Subsystem(subsystem) => write!(
                f,
                "its subsystem is {subsystem}, not {SUBSYSTEM_EFI_APPLICATION} (EFI application)"
            ),
            Fault::NoRelocations => write!(f, "it has no relocations"),
            Fault::NotNxCompatible => write!(f, "its header does not say NX_COMPAT"),
            Fault::Alignment(alignment) => {
                write!(f, "its sections are aligned to {alignment} bytes, not to {PAGE}")
            }
            Fault::WritableCode { section } => {
                write!(f, "its section {section} is writable and executable")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// Checks that a file is an EFI application of this architecture that firmware can load anywhere
/// and protect: no section is both writable and executable, and sections are whole pages.
pub fn check_application(file: &Path, arch: &Arch) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    check_headers(&bytes, arch)
        .with_context(|| format!("firmware would not start {}", file.display()))
}

fn check_headers(bytes: &[u8], arch: &Arch) -> Result<(), Fault> {
    if u16_at(bytes, 0)?.to_le_bytes() != *b"MZ" {
        return Err(Fault::NoDosHeader);
    }
    let pe = u32_at(bytes, 0x3c)? as usize;
    if u32_at(bytes, pe)?.to_le_bytes() != *b"PE\0\0" {
        return Err(Fault::NoPeHeader);
    }
    let machine = u16_at(bytes, pe + 4)?;
    if machine != arch.pe_machine {
        return Err(Fault::Machine { found: machine, expected: arch.pe_machine });
    }
    let optional = pe + 24;
    let magic = u16_at(bytes, optional)?;
    if magic != PE32_PLUS {
        return Err(Fault::Magic(magic));
    }
    if u32_at(bytes, optional + 16)? == 0 {
        return Err(Fault::NoEntryPoint);
    }
    let (low, high) = (u32_at(bytes, optional + 24)?, u32_at(bytes, optional + 28)?);
    let base = u64::from(high) << 32 | u64::from(low);
    if base != 0 {
        return Err(Fault::Base(base));
    }
    let alignment = u32_at(bytes, optional + 32)?;
    if alignment != PAGE {
        return Err(Fault::Alignment(alignment));
    }
    let subsystem = u16_at(bytes, optional + 68)?;
    if subsystem != SUBSYSTEM_EFI_APPLICATION {
        return Err(Fault::Subsystem(subsystem));
    }
    if u16_at(bytes, optional + 70)? & DLL_CHARACTERISTICS_NX_COMPAT == 0 {
        return Err(Fault::NotNxCompatible);
    }
    let relocations = optional + 112 + 8 * DATA_DIRECTORY_BASE_RELOCATION;
    if u32_at(bytes, relocations + 4)? == 0 {
        return Err(Fault::NoRelocations);
    }
    check_sections(bytes, pe)
}

/// The section headers follow the optional header.
fn check_sections(bytes: &[u8], pe: usize) -> Result<(), Fault> {
    let count = usize::from(u16_at(bytes, pe + 6)?);
    let first = pe + 24 + usize::from(u16_at(bytes, pe + 20)?);
    for section in 0..count {
        let header = first + section * SECTION_HEADER;
        let characteristics = u32_at(bytes, header + 36)?;
        if characteristics & SECTION_WRITE != 0 && characteristics & SECTION_EXECUTE != 0 {
            let name = &bytes[header..header + 8];
            let section = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
            return Err(Fault::WritableCode { section });
        }
    }
    Ok(())
}

/// Where the first instruction of a program is.
pub struct EntryPoint {
    /// From the beginning of the file.
    pub offset: usize,
    /// From the beginning of the loaded program.
    pub address: usize,
}

/// The entry point of a program, by its headers.
pub fn entry_point(bytes: &[u8]) -> Result<EntryPoint> {
    let pe = u32_at(bytes, 0x3c)? as usize;
    let address = u32_at(bytes, pe + 24 + 16)?;
    let count = usize::from(u16_at(bytes, pe + 6)?);
    let first = pe + 24 + usize::from(u16_at(bytes, pe + 20)?);
    for header in (0..count).map(|section| first + section * SECTION_HEADER) {
        let (length, start) = (u32_at(bytes, header + 8)?, u32_at(bytes, header + 12)?);
        let file_offset = u32_at(bytes, header + 20)?;
        if let Some(inside) = address.checked_sub(start).filter(|inside| *inside < length) {
            let offset = file_offset as usize + inside as usize;
            return Ok(EntryPoint { offset, address: address as usize });
        }
    }
    bail!("the entry point is in no section")
}

/// Checks that a program has the vector instructions that its kernels are written for, and prints
/// how many of each. (The compiler may use any instructions that compute the same.)
pub fn check_vectors(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let counts = VECTORS.map(|(name, pattern)| (name, count(&bytes, pattern)));
    for (name, count) in counts {
        eprintln!("{count:6}  {name}");
    }
    match counts.iter().find(|(_, count)| *count == 0) {
        None => Ok(()),
        Some((name, _)) => bail!("{} has no {name}", program.display()),
    }
}

/// The first bytes of an instruction: a mask for each, and the value under the mask.
type Pattern = &'static [(u8, u8)];

/// Encodings: Intel's "Software Developer's Manual", volume 2, 2.1, 2.3 and 2.7, and the pages of
/// the instructions. Any registers will do, so the masks leave out the bits that name them.
const VECTORS: [(&str, Pattern); 9] = [
    ("pmaddwd xmm (SSE2)", &[(0xff, 0x66), (0xff, 0x0f), (0xff, 0xf5)]),
    ("pmaddubsw xmm (SSSE3)", &[(0xff, 0x66), (0xff, 0x0f), (0xff, 0x38), (0xff, 0x04)]),
    ("vpmaddwd ymm (AVX2)", &[(0xff, 0xc5), (0x07, 0x05), (0xff, 0xf5)]),
    ("vmulps ymm (AVX)", &[(0xff, 0xc5), (0x07, 0x04), (0xff, 0x59)]),
    ("vcvtph2ps ymm (F16C)", &[(0xff, 0xc4), (0x1f, 0x02), (0x87, 0x05), (0xff, 0x13)]),
    ("vpdpbusd ymm (AVX-VNNI)", &[(0xff, 0xc4), (0x1f, 0x02), (0x87, 0x05), (0xff, 0x50)]),
    (
        "vmulps zmm (AVX-512)",
        &[(0xff, 0x62), (0x07, 0x01), (0x87, 0x04), (0x60, 0x40), (0xff, 0x59)],
    ),
    (
        "vpmaddwd zmm (AVX-512)",
        &[(0xff, 0x62), (0x07, 0x01), (0x07, 0x05), (0x60, 0x40), (0xff, 0xf5)],
    ),
    (
        "vpdpbusd zmm (AVX-512 VNNI)",
        &[(0xff, 0x62), (0x07, 0x02), (0x87, 0x05), (0x60, 0x40), (0xff, 0x50)],
    ),
];

/// How often a pattern occurs in a program.
fn count(bytes: &[u8], pattern: Pattern) -> usize {
    let fits = |window: &&[u8]| {
        window.iter().zip(pattern).all(|(byte, &(mask, expected))| byte & mask == expected)
    };
    bytes.windows(pattern.len()).filter(fits).count()
}

/// Checks that the processor does the float arithmetic, not library routines.
///
/// `map` is the linker's map of the program. A build for a target without hardware floating point
/// succeeds silently, and the program is an order of magnitude slower.
pub fn check_floats(program: &Path, map: &Path) -> Result<()> {
    let text = fs::read_to_string(map).with_context(|| format!("cannot read {}", map.display()))?;
    let soft = soft_floats(&text);
    if !soft.is_empty() {
        bail!(
            "{} calls library routines for float arithmetic: {}",
            program.display(),
            soft.join(", ")
        );
    }
    let bytes = fs::read(program)?;
    let multiplications = hardware_multiplications(&bytes);
    if multiplications == 0 {
        bail!("{} has no float multiplication", program.display());
    }
    Ok(())
}

/// The soft-float routines in a linker map.
fn soft_floats(map: &str) -> Vec<&'static str> {
    SOFT_FLOAT
        .into_iter()
        .filter(|routine| map.split_ascii_whitespace().any(|word| word == *routine))
        .collect()
}

/// How often the opcode of `mulss` occurs in a program, with or without a REX prefix.
fn hardware_multiplications(bytes: &[u8]) -> usize {
    bytes
        .windows(4)
        .filter(|window| {
            let [first, second, third, fourth] = **window else {
                return false;
            };
            let rex = second & 0xf0 == 0x40;
            first == 0xf3
                && ((second, third) == (0x0f, 0x59) || (rex && (third, fourth) == (0x0f, 0x59)))
        })
        .count()
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    Ok(u16::from_le_bytes(field(bytes, at)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    Ok(u32::from_le_bytes(field(bytes, at)?))
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Fault> {
    let rest = bytes.get(at..).ok_or(Fault::CutShort)?;
    rest.first_chunk().copied().ok_or(Fault::CutShort)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{AARCH64, X86_64};

    const PE: usize = 0x40;
    const OPTIONAL: usize = PE + 24;
    /// PE32+ has 112 bytes before 16 data directories of 8.
    const SECTIONS: usize = OPTIONAL + 112 + 16 * 8;
    const CODE: u32 = SECTION_EXECUTE | 0x4000_0020;
    const DATA: u32 = SECTION_WRITE | 0x4000_0040;

    /// The headers of an application with two sections.
    fn application() -> Vec<u8> {
        let mut bytes = vec![0; SECTIONS + 2 * SECTION_HEADER];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, b"MZ");
        put(0x3c, &[PE as u8]);
        put(PE, b"PE\0\0");
        put(PE + 4, &X86_64.pe_machine.to_le_bytes());
        put(PE + 6, &2_u16.to_le_bytes());
        put(PE + 20, &((SECTIONS - OPTIONAL) as u16).to_le_bytes());
        put(OPTIONAL, &PE32_PLUS.to_le_bytes());
        put(OPTIONAL + 16, &[0x10]);
        put(OPTIONAL + 32, &PAGE.to_le_bytes());
        put(OPTIONAL + 68, &SUBSYSTEM_EFI_APPLICATION.to_le_bytes());
        put(OPTIONAL + 70, &DLL_CHARACTERISTICS_NX_COMPAT.to_le_bytes());
        put(OPTIONAL + 112 + 44, &[12]);
        for (section, (name, characteristics)) in
            [(b".text\0\0\0", CODE), (b".data\0\0\0", DATA)].into_iter().enumerate()
        {
            let header = SECTIONS + section * SECTION_HEADER;
            put(header, name);
            put(header + 36, &characteristics.to_le_bytes());
        }
        bytes
    }

    /// An application with other bytes at one place.
    fn changed(at: usize, value: &[u8]) -> Vec<u8> {
        let mut bytes = application();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    }

    #[test]
    fn an_application_passes() {
        assert_eq!(check_headers(&application(), &X86_64), Ok(()));
    }

    #[test]
    fn every_fault_is_found() {
        let second = SECTIONS + SECTION_HEADER;
        let cases: [(Vec<u8>, Fault); 12] = [
            (changed(0, b"X"), Fault::NoDosHeader),
            (changed(PE, b"X"), Fault::NoPeHeader),
            (changed(PE + 4, &[0x4c, 0x01]), Fault::Machine { found: 0x14c, expected: 0x8664 }),
            (changed(OPTIONAL, &[0x0b, 0x01]), Fault::Magic(0x10b)),
            (changed(OPTIONAL + 16, &[0]), Fault::NoEntryPoint),
            (changed(OPTIONAL + 28, &[1]), Fault::Base(1 << 32)),
            (changed(OPTIONAL + 32, &512_u32.to_le_bytes()), Fault::Alignment(512)),
            (changed(OPTIONAL + 68, &[3]), Fault::Subsystem(3)),
            (changed(OPTIONAL + 70, &[0x60, 0]), Fault::NotNxCompatible),
            (changed(OPTIONAL + 112 + 44, &[0]), Fault::NoRelocations),
            (
                changed(SECTIONS + 36, &(CODE | SECTION_WRITE).to_le_bytes()),
                Fault::WritableCode { section: ".text".to_owned() },
            ),
            (
                changed(second + 36, &(DATA | SECTION_EXECUTE).to_le_bytes()),
                Fault::WritableCode { section: ".data".to_owned() },
            ),
        ];
        for (bytes, fault) in cases {
            assert_eq!(check_headers(&bytes, &X86_64), Err(fault));
        }
        let other = Fault::Machine { found: 0x8664, expected: 0xaa64 };
        assert_eq!(check_headers(&application(), &AARCH64), Err(other));
    }

    #[test]
    fn a_file_cut_short_is_an_error() {
        let bytes = application();
        for length in 0..bytes.len() {
            assert!(check_headers(&bytes[..length], &X86_64).is_err(), "{length}");
        }
        // Offsets that point out of the file, or wrap.
        let far = changed(0x3c, &u32::MAX.to_le_bytes());
        assert_eq!(check_headers(&far, &X86_64), Err(Fault::CutShort));
        let many = changed(PE + 6, &u16::MAX.to_le_bytes());
        assert_eq!(check_headers(&many, &X86_64), Err(Fault::CutShort));
    }

    #[test]
    fn a_map_with_a_soft_float_routine_is_found_out() {
        assert_eq!(soft_floats(" 0001:00000010       __mulsf3   140001010  f.obj"), ["__mulsf3"]);
        assert!(soft_floats(" 0001:0000 my_fma_like 1400 f.obj").is_empty());
    }

    #[test]
    fn multiplications_are_counted() {
        // mulss xmm0, xmm1; mulss xmm8, xmm9; addss xmm0, xmm1
        let code = [0xf3, 0x0f, 0x59, 0xc1, 0xf3, 0x45, 0x0f, 0x59, 0xc1, 0xf3, 0x0f, 0x58, 0xc1];
        assert_eq!(hardware_multiplications(&code), 2);
    }

    #[test]
    fn vector_instructions_are_found() {
        let found = |name: &str, code: &[u8]| {
            let (_, pattern) = VECTORS.iter().find(|(known, _)| known.starts_with(name)).unwrap();
            count(code, pattern)
        };
        // vpdpbusd zmm13, zmm14, zmm16; vpdpbusd ymm1, ymm2, ymm3 in both encodings.
        let wide = [0x62, 0x32, 0x0d, 0x48, 0x50, 0xe8];
        let (vex, evex) = ([0xc4, 0xe2, 0x6d, 0x50, 0xcb], [0x62, 0xf2, 0x6d, 0x28, 0x50, 0xcb]);
        assert_eq!(found("vpdpbusd zmm", &wide), 1);
        assert_eq!(found("vpdpbusd zmm", &vex) + found("vpdpbusd zmm", &evex), 0);
        assert_eq!(found("vpdpbusd ymm", &vex), 1);
        assert_eq!(found("vpdpbusd ymm", &wide) + found("vpdpbusd ymm", &evex), 0);
        // vmulps zmm9, zmm3, zmm6; vmulps ymm0, ymm1, ymm2; vmulps xmm0, xmm1, xmm2.
        assert_eq!(found("vmulps zmm", &[0x62, 0x71, 0x64, 0x48, 0x59, 0xce]), 1);
        assert_eq!(found("vmulps ymm", &[0xc5, 0xf4, 0x59, 0xc2]), 1);
        assert_eq!(found("vmulps ymm", &[0xc5, 0xf0, 0x59, 0xc2]), 0);
    }
}
