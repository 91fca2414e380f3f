//! Tests of the NEON kernels in an emulator, for developers without an ARM machine.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::project::Project;
use crate::toolchain::{self, Toolchain};
use crate::{packages, process, target};

/// Programs of this target need neither a C compiler nor libraries.
const TRIPLE: &str = "aarch64-unknown-linux-musl";

/// The kernels, whole models, and the digests that are the same on every machine.
const TESTS: [&[&str]; 3] = [
    &["--package", "bootllm-simd", "--package", "bootllm-quant"],
    &["--package", "bootllm-tests", "--test", "equality", "--", "--skip", "a_real_model"],
    &["--package", "bootllm-tests", "--test", "golden", "--", "every_machine", "of_their_cards"],
];

/// The emulator is slow: a quarter of the usual cases of a property test, and fewer paths through
/// models (see `tests/tests/equality.rs`).
const LESS: [(&str, &str); 2] = [("PROPTEST_CASES", "64"), ("BOOTLLM_EMULATED", "1")];

/// Names of QEMU's user-mode emulation.
const EMULATORS: [&str; 2] = ["qemu-aarch64-static", "qemu-aarch64"];

/// What the tests are linked and run with.
pub struct Neon {
    linker: PathBuf,
    emulator: PathBuf,
}

/// Finds it; the error says what is missing.
pub fn find() -> Result<Neon> {
    let toolchain = Toolchain::find()?;
    if !toolchain.has_target(TRIPLE) {
        bail!("Rust's target {TRIPLE} is missing");
    }
    let emulator = EMULATORS.iter().find_map(|name| process::find(name));
    let emulator = emulator.with_context(|| format!("{} is missing", EMULATORS[0]))?;
    Ok(Neon { linker: toolchain.linker()?, emulator })
}

/// Finds it, and installs what is missing.
pub fn ensure() -> Result<Neon> {
    let toolchain = Toolchain::find()?;
    if !toolchain.has_target(TRIPLE) {
        target::add_with_rustup(&toolchain, TRIPLE)?;
    }
    if EMULATORS.iter().all(|name| process::find(name).is_none()) {
        packages::install_user_emulation()?;
    }
    find()
}

/// The test commands.
pub fn commands(project: &Project, neon: &Neon) -> impl Iterator<Item = Command> {
    TESTS.iter().map(|tests| {
        let mut command = toolchain::cargo();
        command
            .current_dir(&project.root)
            .args(["test", "--target", TRIPLE, "--target-dir"])
            .arg(&project.target)
            .args(*tests)
            .env_remove("RUSTFLAGS")
            .envs(LESS)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", &neon.linker)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", &neon.emulator);
        command
    })
}
