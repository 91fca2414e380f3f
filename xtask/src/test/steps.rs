//! The steps of `cargo xtask test`.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::Context;
use super::libtest::{self, Event};
use super::report::Outcome;
use crate::arch::{AARCH64, X86_64};
use crate::program::{self, Profile, Program};
use crate::project::Project;
use crate::target::Target;
use crate::{efi, miri, neon, process, setup, toolchain, train};

/// The fuzz targets.
pub const FUZZ: &str = "fuzz/Cargo.toml";
/// The model check of the cores' scheduler.
const MODEL: &str = "crates/cores/loom/Cargo.toml";

/// Something that can be checked by itself.
pub struct Step {
    /// How it is called on the command line.
    pub name: &'static str,
    /// What it checks.
    pub about: &'static str,
    /// About how long it takes on two cores, with its dependencies compiled.
    pub time: &'static str,
    /// Whether `--quick` leaves it out.
    pub slow: bool,
    /// Runs it.
    pub run: fn(&mut Context<'_>) -> Result<Outcome>,
}

/// All steps, in the order in which they run.
pub const STEPS: [Step; 16] = [
    Step {
        name: "format",
        about: "all code is formatted",
        time: "2 s",
        slow: false,
        run: |context| format(context.project),
    },
    Step {
        name: "clippy",
        about: "lints of everything that runs on the host",
        time: "1 min",
        slow: false,
        run: |context| clippy(context.project),
    },
    Step {
        name: "tests",
        about: "unit and integration tests, without the trainer's",
        time: "3 min",
        slow: false,
        run: tests,
    },
    Step {
        name: "model",
        about: "all interleavings of the cores' scheduler, in a model checker",
        time: "1 min",
        slow: true,
        run: model,
    },
    Step {
        name: "miri",
        about: "the unsafe code of the cores' scheduler, interpreted by Miri",
        time: "2 min",
        slow: true,
        run: miri_step,
    },
    Step {
        name: "trainer",
        about: "tests of the trainer",
        time: "2 min",
        slow: false,
        run: trainer,
    },
    Step {
        name: "neon",
        about: "tests of the code for ARM's vector instructions, in an emulator",
        time: "3 min",
        slow: true,
        run: neon_step,
    },
    Step {
        name: "train",
        about: "a model is trained by the commands of docs/training.md",
        time: "1 min",
        slow: true,
        run: |context| train::train(context.project).map(|_| Outcome::Passed),
    },
    Step {
        name: "setup",
        about: "QEMU, its firmware and the UEFI target are there, or are installed",
        time: "1 s",
        slow: false,
        run: setup_step,
    },
    Step {
        name: "uefi-clippy",
        about: "lints of the UEFI program",
        time: "10 s",
        slow: false,
        run: |context| program::clippy(context.project, context.target()?).map(passed),
    },
    Step {
        name: "uefi-headers",
        about: "the linked UEFI program has no writable code, NX_COMPAT, and sections of whole pages",
        time: "40 s with the build",
        slow: false,
        run: |context| efi::check_application(&context.program()?.file, &X86_64).map(passed),
    },
    Step {
        name: "uefi-floats",
        about: "the UEFI program computes floats in hardware",
        time: "1 s",
        slow: false,
        run: |context| {
            let Program { file, map, .. } = context.program()?;
            efi::check_floats(file, map).map(passed)
        },
    },
    Step {
        name: "uefi-vectors",
        about: "the UEFI program has the vector instructions of every kernel",
        time: "1 s",
        slow: false,
        run: |context| efi::check_vectors(&context.program()?.file).map(passed),
    },
    Step {
        name: "uefi-aarch64",
        about: "the UEFI program for ARM is linted and built",
        time: "1 min",
        slow: true,
        run: aarch64,
    },
    Step {
        name: "boot",
        about: "the image boots in QEMU, is typed at, and writes what the host writes",
        time: "5 min",
        slow: true,
        run: boot,
    },
    Step {
        name: "fuzz",
        about: "the parsers survive mutated files",
        time: "2 min",
        slow: true,
        run: |context| fuzz(context.project),
    },
];

impl Context<'_> {
    /// The target of the UEFI program.
    fn target(&mut self) -> Result<&Target> {
        if self.target.is_none() {
            self.target = Some(setup::target(self.project, &X86_64, self.core)?);
        }
        Ok(self.target.as_ref().expect("it was just set"))
    }

    /// The UEFI program as it is released.
    fn program(&mut self) -> Result<&Program> {
        if self.program.is_none() {
            let project = self.project;
            let built = program::build(project, self.target()?, Profile::Release, None)?;
            self.program = Some(built);
        }
        Ok(self.program.as_ref().expect("it was just set"))
    }

    /// Runs `cargo test`. Tests that did not run go into the report. Returns how many ran.
    fn cargo_test(&mut self, command: &mut Command) -> Result<usize> {
        libtest::run(command, &mut |event, _| self.note_ignored(event))
    }

    fn note_ignored(&mut self, event: &Event) {
        if let Event::Ignored { name, reason } = event {
            self.report.ignore_test(name.clone(), reason.clone());
        }
    }
}

fn passed(_: ()) -> Outcome {
    Outcome::Passed
}

fn format(project: &Project) -> Result<Outcome> {
    process::run(cargo(project, "fmt").args(["--all", "--check"]))?;
    // These are workspaces of their own.
    for manifest in [FUZZ, MODEL].into_iter().filter(|file| project.root.join(file).is_file()) {
        process::run(cargo(project, "fmt").args(["--manifest-path", manifest, "--check"]))?;
    }
    Ok(Outcome::Passed)
}

fn clippy(project: &Project) -> Result<Outcome> {
    let everything = ["--workspace", "--exclude", "bootllm-boot", "--all-targets"];
    process::run(cargo(project, "clippy").args(everything).args(["--", "-Dwarnings"])).map(passed)
}

fn tests(context: &mut Context<'_>) -> Result<Outcome> {
    let others = ["--workspace", "--exclude", train::PACKAGE];
    context.cargo_test(cargo(context.project, "test").args(others))?;
    Ok(Outcome::Passed)
}

/// The model check is a workspace of its own, so that only this step compiles its model checker.
fn model(context: &mut Context<'_>) -> Result<Outcome> {
    if !context.project.root.join(MODEL).is_file() {
        return Ok(Outcome::Ignored(format!("there is no {MODEL}")));
    }
    let mut command = toolchain::cargo();
    command
        .current_dir(&context.project.root)
        .args(["test", "--release", "--manifest-path", MODEL, "--target-dir"])
        .arg(context.project.target.join("loom"));
    context.cargo_test(&mut command)?;
    Ok(Outcome::Passed)
}

fn miri_step(context: &mut Context<'_>) -> Result<Outcome> {
    let found = if context.named { miri::ensure() } else { miri::find() };
    if let Err(missing) = found {
        return Ok(Outcome::Ignored(format!("{missing:#}; `cargo xtask test miri` installs it")));
    }
    let mut command = miri::command(context.project);
    context.cargo_test(&mut command)?;
    Ok(Outcome::Passed)
}

fn trainer(context: &mut Context<'_>) -> Result<Outcome> {
    context.cargo_test(&mut train::cargo(context.project, "test"))?;
    Ok(Outcome::Passed)
}

/// Only those who work on it need what this takes, so it is installed only for a named step.
fn neon_step(context: &mut Context<'_>) -> Result<Outcome> {
    let found = if context.named { neon::ensure() } else { neon::find() };
    let neon = match found {
        Ok(neon) => neon,
        Err(missing) => {
            let reason = format!("{missing:#}; `cargo xtask test neon` installs it");
            return Ok(Outcome::Ignored(reason));
        }
    };
    for mut command in neon::commands(context.project, &neon) {
        context.cargo_test(&mut command)?;
    }
    Ok(Outcome::Passed)
}

fn setup_step(context: &mut Context<'_>) -> Result<Outcome> {
    setup::emulator(&X86_64, None)?;
    context.target().map(|_| Outcome::Passed)
}

fn aarch64(context: &mut Context<'_>) -> Result<Outcome> {
    let target = match setup::target(context.project, &AARCH64, context.core) {
        Ok(target) => target,
        Err(error) => {
            let reason = format!("no core library for {}: {error:#}", AARCH64.triple);
            return Ok(Outcome::Ignored(reason.replace('\n', " ")));
        }
    };
    program::clippy(context.project, &target)?;
    program::build(context.project, &target, Profile::Dev, None).map(|_| Outcome::Passed)
}

/// The boot tests. Each becomes a row of the report.
fn boot(context: &mut Context<'_>) -> Result<Outcome> {
    let mut command = cargo(context.project, "test");
    command
        .args(["--package", "xtask-boot-tests", "--", "--ignored", "--test-threads=1"])
        .env("CARGO_TARGET_DIR", &context.project.target);
    libtest::run(&mut command, &mut |event, time: Duration| match event {
        Event::Ran { name, passed } => {
            let name = name.rsplit("::").next().unwrap_or(name).replace('_', " ");
            context.report.add_test("boot", &name, *passed, time);
        }
        event => context.note_ignored(event),
    })?;
    Ok(Outcome::Passed)
}

/// Seconds for each target.
const FUZZ_SECONDS: &str = "10";

fn fuzz(project: &Project) -> Result<Outcome> {
    let run = ["--release", "--manifest-path", FUZZ];
    process::run(cargo(project, "run").args(run).args(["--", "--seconds", FUZZ_SECONDS]))
        .map(passed)
}

/// A cargo command in the repository.
pub fn cargo(project: &Project, verb: &str) -> Command {
    let mut command = toolchain::cargo();
    command.current_dir(&project.root).arg(verb);
    // `fmt` builds nothing.
    if verb != "fmt" {
        command.arg("--target-dir").arg(&project.target);
    }
    command
}
