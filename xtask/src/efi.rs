//! What a linked UEFI program must be, checked on the file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

// Names and offsets: Microsoft's "PE Format".
const MACHINE_AMD64: u16 = 0x8664;
const PE32_PLUS: u16 = 0x20b;
const SUBSYSTEM_EFI_APPLICATION: u16 = 10;
const DATA_DIRECTORY_BASE_RELOCATION: usize = 5;

/// Routines that stand for a float instruction where the hardware's are not used.
///
/// `fmaf` and `fma` are among them: no formula of ours is fused.
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

/// Checks that a file is a 64-bit x86 EFI application that firmware can load anywhere.
pub fn check_application(file: &Path) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    check_headers(&bytes).with_context(|| format!("{} is not what firmware starts", file.display()))
}

fn check_headers(bytes: &[u8]) -> Result<()> {
    if bytes.get(..2) != Some(b"MZ") {
        bail!("it does not begin with MZ");
    }
    let pe = u32_at(bytes, 0x3c)? as usize;
    if bytes.get(pe..pe.saturating_add(4)) != Some(b"PE\0\0") {
        bail!("it has no PE header");
    }
    let machine = u16_at(bytes, pe + 4)?;
    if machine != MACHINE_AMD64 {
        bail!("its machine is {machine:#x}, not {MACHINE_AMD64:#x} (x86-64)");
    }
    let optional = pe + 24;
    let magic = u16_at(bytes, optional)?;
    if magic != PE32_PLUS {
        bail!("its optional header is {magic:#x}, not {PE32_PLUS:#x} (PE32+)");
    }
    if u32_at(bytes, optional + 16)? == 0 {
        bail!("it has no entry point");
    }
    let (base_low, base_high) = (u32_at(bytes, optional + 24)?, u32_at(bytes, optional + 28)?);
    if (base_low, base_high) != (0, 0) {
        bail!("its base is {base_high:#x}{base_low:08x}, not 0, which would split high memory");
    }
    let subsystem = u16_at(bytes, optional + 68)?;
    if subsystem != SUBSYSTEM_EFI_APPLICATION {
        bail!("its subsystem is {subsystem}, not {SUBSYSTEM_EFI_APPLICATION} (EFI application)");
    }
    let relocations = optional + 112 + 8 * DATA_DIRECTORY_BASE_RELOCATION;
    if u32_at(bytes, relocations + 4)? == 0 {
        bail!("it has no relocations, so it could only be loaded at address 0");
    }
    Ok(())
}

/// Checks that a program holds the vector instructions that its kernels are made of, and says how
/// many of each. (A function that asks for AVX-512 can be compiled to anything that computes the
/// same.)
pub fn check_vectors(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let counts = VECTORS.map(|(name, pattern)| (name, count(&bytes, pattern)));
    for (name, count) in counts {
        eprintln!("{count:6}  {name}");
    }
    match counts.iter().find(|(_, count)| *count == 0) {
        None => Ok(()),
        Some((name, _)) => bail!("{} holds no {name}", program.display()),
    }
}

/// A few bytes of an instruction: those that are looked at, and what they must be.
type Pattern = &'static [(u8, u8)];

/// Encodings: Intel's "Software Developer's Manual", volume 2, 2.1, 2.3 and 2.7, and the pages of
/// the instructions. Registers can be any, so the bits that name them are not looked at.
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

/// How often a pattern stands in a program.
fn count(bytes: &[u8], pattern: Pattern) -> usize {
    let fits = |window: &&[u8]| {
        window.iter().zip(pattern).all(|(byte, &(mask, expected))| byte & mask == expected)
    };
    bytes.windows(pattern.len()).filter(fits).count()
}

/// Checks that float arithmetic is done by the processor and not by library routines.
///
/// `map` is the linker's map of the program. Compiling for a target without hardware floats gives
/// no error and a program that is an order of magnitude slower.
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
        bail!("{} holds no float multiplication", program.display());
    }
    Ok(())
}

/// The soft-float routines that a linker map names.
fn soft_floats(map: &str) -> Vec<&'static str> {
    SOFT_FLOAT
        .into_iter()
        .filter(|routine| map.split_ascii_whitespace().any(|word| word == *routine))
        .collect()
}

/// How often the opcode of `mulss` or `mulps` stands in a program, with or without a REX prefix.
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

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let end = at.saturating_add(2);
    let field = bytes.get(at..end).context("its headers are cut short")?;
    Ok(u16::from_le_bytes(field.try_into()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let end = at.saturating_add(4);
    let field = bytes.get(at..end).context("its headers are cut short")?;
    Ok(u32::from_le_bytes(field.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The headers of an application, and nothing else.
    fn application() -> Vec<u8> {
        let mut bytes = vec![0; 0x200];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, b"MZ");
        put(0x3c, &[0x40]);
        put(0x40, b"PE\0\0");
        put(0x44, &MACHINE_AMD64.to_le_bytes());
        put(0x58, &PE32_PLUS.to_le_bytes());
        put(0x68, &[0x10]);
        put(0x58 + 68, &[10]);
        put(0x58 + 112 + 44, &[12]);
        bytes
    }

    #[test]
    fn an_application_passes() {
        check_headers(&application()).unwrap();
    }

    #[test]
    fn what_firmware_would_not_start_is_said() {
        let cases: [(usize, u8, &str); 7] = [
            (0, b'X', "MZ"),
            (0x40, b'X', "PE header"),
            (0x45, 0x01, "machine"),
            (0x59, 0x01, "optional header"),
            (0x58 + 24 + 4, 1, "base"),
            (0x58 + 68, 3, "subsystem"),
            (0x58 + 112 + 44, 0, "relocations"),
        ];
        for (at, value, expected) in cases {
            let mut bytes = application();
            bytes[at] = value;
            let error = check_headers(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_cut_short_is_an_error() {
        let bytes = application();
        for length in 0..0x58 + 112 + 48 {
            assert!(check_headers(&bytes[..length]).is_err());
        }
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
