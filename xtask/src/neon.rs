//! Tests of NEON's products and kernels, under emulation: few who change them sit at an ARM machine.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::project::Project;
use crate::toolchain::{self, Toolchain};
use crate::{packages, process, target};

/// Programs of this target need no C compiler and no libraries.
const TRIPLE: &str = "aarch64-unknown-linux-musl";

/// What computes with vector registers, whole models, and the numbers that every machine must give.
const TESTS: [&[&str]; 3] = [
    &["--package", "bootllm-simd", "--package", "bootllm-quant"],
    &["--package", "bootllm-tests", "--test", "equality"],
    &["--package", "bootllm-tests", "--test", "golden", "--", "every_machine", "of_their_cards"],
];

/// An emulator is slow: a quarter of the usual cases of a property test, and fewer paths through
/// models (see `tests/tests/equality.rs`).
const LESS: [(&str, &str); 2] = [("PROPTEST_CASES", "64"), ("BOOTLLM_EMULATED", "1")];

/// Names under which the emulator of single programs is installed.
const EMULATORS: [&str; 2] = ["qemu-aarch64-static", "qemu-aarch64"];

/// What the tests are built and run with.
pub struct Neon {
    linker: PathBuf,
    emulator: PathBuf,
}

/// What is there of it; the error says what is missing.
pub fn find() -> Result<Neon> {
    let toolchain = Toolchain::find()?;
    if !toolchain.has_target(TRIPLE) {
        bail!("Rust's target {TRIPLE} is missing");
    }
    let emulator = EMULATORS.iter().find_map(|name| process::find(name));
    let emulator = emulator.with_context(|| format!("{} is missing", EMULATORS[0]))?;
    Ok(Neon { linker: toolchain.linker()?, emulator })
}

/// Gets what is missing of it.
pub fn ensure() -> Result<Neon> {
    let toolchain = Toolchain::find()?;
    if !toolchain.has_target(TRIPLE) {
        target::add_with_rustup(&toolchain, TRIPLE)?;
    }
    if EMULATORS.iter().all(|name| process::find(name).is_none()) {
        packages::install_arm_emulator()?;
    }
    find()
}

/// Runs the tests.
pub fn test(project: &Project, neon: &Neon) -> Result<()> {
    for tests in TESTS {
        process::run(
            toolchain::cargo()
                .current_dir(&project.root)
                .args(["test", "--target", TRIPLE, "--target-dir"])
                .arg(&project.target)
                .args(tests)
                .env_remove("RUSTFLAGS")
                .envs(LESS)
                .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", &neon.linker)
                .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", &neon.emulator),
        )?;
    }
    Ok(())
}

/// `cargo xtask test --neon`.
pub fn task(project: &Project) -> Result<()> {
    let neon = ensure()?;
    eprintln!("testing NEON with {}; this takes a few minutes", neon.emulator.display());
    test(project, &neon)
}
