//! `cargo xtask test`: everything that must hold.

use std::env;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::program::{self, Program};
use crate::project::Project;
use crate::target::{CoreFrom, Target};
use crate::{efi, neon, process, setup, toolchain, train};

/// How long each fuzz target runs.
const FUZZ_SECONDS: &str = "10";
/// The step of AArch64's vector instructions.
const NEON: &str = "NEON, emulated";

/// What became of a step.
struct Row {
    name: String,
    /// `None`: it was left out.
    passed: Option<bool>,
    time: Duration,
}

/// The steps so far.
#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    /// Does a step. What went wrong is said at once, and the next steps are done all the same.
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        eprintln!("\n=== {name}");
        let begun = Instant::now();
        let result = work();
        if let Err(error) = &result {
            eprintln!("{name} failed: {error:#}");
        }
        self.add(name, Some(result.is_ok()), begun.elapsed());
        result.is_ok()
    }

    fn add(&mut self, name: &str, passed: Option<bool>, time: Duration) {
        self.0.push(Row { name: name.to_owned(), passed, time });
    }

    /// Leaves a step out, and says why.
    fn skip(&mut self, name: &str, why: &str) {
        eprintln!("\n=== {name}\nskipped: {why}");
        self.add(name, None, Duration::ZERO);
    }

    fn count(&self, passed: Option<bool>) -> usize {
        self.0.iter().filter(|row| row.passed == passed).count()
    }

    fn failed(&self) -> usize {
        self.count(Some(false))
    }

    fn shown(&self) -> String {
        let width = self.0.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.0 {
            let result = match row.passed {
                Some(true) => "passed",
                Some(false) => "FAILED",
                None => "skipped",
            };
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "{:width$}  {result:7} {:7.1} s", row.name, row.time.as_secs_f64());
        }
        let _ = write!(text, "{} passed, {} failed", self.count(Some(true)), self.failed());
        let _ = match self.count(None) {
            0 => writeln!(text),
            skipped => writeln!(text, ", {skipped} skipped"),
        };
        text
    }
}

/// `cargo xtask test`.
pub fn task(project: &Project, core: CoreFrom, quick: bool) -> Result<()> {
    let mut table = Table::default();
    table.step("format", || format(project));
    thread::scope(|scope| {
        scope.spawn(|| build_ahead(project, core, quick));
        on_this_machine(project, &mut table, quick);
    });
    let mut target = None;
    table.step("setup", || {
        setup::emulator(None)?;
        target = Some(setup::target(project, core)?);
        Ok(())
    });
    if let Some(target) = &target {
        uefi(project, target, &mut table, quick);
    }
    if !quick && project.root.join("fuzz/Cargo.toml").is_file() {
        table.step("fuzz", || fuzz(project));
    }
    print!("\n{}", table.shown());
    ensure!(table.failed() == 0, "not everything passed");
    Ok(())
}

/// What needs no firmware and no virtual PC.
fn on_this_machine(project: &Project, table: &mut Table, quick: bool) {
    table.step("clippy", || clippy(project));
    table.step("tests", || tests(project));
    table.step("trainer, tests", || train::test(project));
    if quick {
        return;
    }
    // Nobody who does not work on it needs the parts: what is not there is not fetched.
    match neon::find() {
        Ok(parts) => {
            table.step(NEON, || neon::test(project, &parts));
        }
        Err(missing) => {
            table.skip(NEON, &format!("{missing:#}; `cargo xtask test --neon` gets it"));
        }
    }
    table.step("trainer, from a text to a model", || train::train(project).map(drop));
}

/// Builds the released programs while other steps test, for the linker optimises them on one core.
/// The steps that need them find nothing left to do, or find and say what is wrong.
fn build_ahead(project: &Project, core: CoreFrom, quick: bool) {
    if let (Ok(xtask), Some(core)) = (env::current_exe(), core.to_possible_value()) {
        process::succeeds(Command::new(xtask).args(["--core", core.get_name(), "build"]));
    }
    if !quick {
        let release = ["--release", "--bin", "bootllm"];
        process::succeeds(cargo(project, "build").args(release));
        let fuzz = ["--release", "--manifest-path", "fuzz/Cargo.toml"];
        process::succeeds(cargo(project, "build").args(fuzz));
    }
}

fn uefi(project: &Project, target: &Target, table: &mut Table, quick: bool) {
    table.step("clippy, UEFI", || program::clippy(project, target));
    let mut built = None;
    table.step("build, UEFI", || {
        built = Some(program::build(project, target, None)?);
        Ok(())
    });
    let Some(Program { file, map }) = &built else {
        return;
    };
    table.step("hardware floats, UEFI", || efi::check_floats(file, map));
    table.step("vector instructions, UEFI", || efi::check_vectors(file));
    if !quick {
        eprintln!("\n=== boot");
        if let Err(error) = boot(project, table) {
            eprintln!("boot tests failed: {error:#}");
            table.add("boot", Some(false), Duration::ZERO);
        }
    }
}

fn format(project: &Project) -> Result<()> {
    process::run(cargo(project, "fmt").args(["--all", "--check"]))?;
    if project.root.join("fuzz/Cargo.toml").is_file() {
        let fuzz = ["--manifest-path", "fuzz/Cargo.toml", "--check"];
        process::run(cargo(project, "fmt").args(fuzz))?;
    }
    Ok(())
}

fn clippy(project: &Project) -> Result<()> {
    let everything = ["--workspace", "--exclude", "bootllm-boot", "--all-targets"];
    process::run(cargo(project, "clippy").args(everything).args(["--", "-Dwarnings"]))
}

/// All but the trainer's, which has a step of its own.
fn tests(project: &Project) -> Result<()> {
    let others = ["--workspace", "--exclude", train::PACKAGE];
    process::run(cargo(project, "test").args(others))
}

fn fuzz(project: &Project) -> Result<()> {
    let run = ["--release", "--manifest-path", "fuzz/Cargo.toml"];
    process::run(cargo(project, "run").args(run).args(["--", "--seconds", FUZZ_SECONDS]))
}

/// Runs the boot tests, each of which becomes a row of the table.
fn boot(project: &Project, table: &mut Table) -> Result<()> {
    let mut command = cargo(project, "test");
    command
        .args(["--package", "xtask-boot-tests", "--", "--ignored", "--test-threads=1"])
        .env("CARGO_TARGET_DIR", &project.target)
        .stdout(Stdio::piped());
    let mut child =
        command.spawn().with_context(|| format!("cannot start `{}`", process::line(&command)))?;
    let lines = BufReader::new(child.stdout.take().context("cargo has no standard output")?);
    let mut since = Instant::now();
    let mut booted = 0;
    for line in lines.lines() {
        let line = line?;
        eprintln!("{line}");
        if line.starts_with("running ") {
            since = Instant::now();
        }
        if let Some((name, passed)) = outcome(&line) {
            table.add(&format!("boot: {name}"), Some(passed), since.elapsed());
            since = Instant::now();
            booted += 1;
        }
    }
    let status = child.wait()?;
    // A test that fails is a row; what else went wrong would not be.
    if booted == 0 || (!status.success() && table.failed() == 0) {
        bail!("`{}` failed ({status})", process::line(&command));
    }
    Ok(())
}

/// What libtest says of a test: its name as words, and whether it passed.
fn outcome(line: &str) -> Option<(String, bool)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.rsplit("::").next()?.replace('_', " ");
    let name = name.split(" - ").next()?.to_owned();
    match result.trim() {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

fn cargo(project: &Project, verb: &str) -> Command {
    let mut command = toolchain::cargo();
    command.current_dir(&project.root).arg(verb);
    // Formatting builds nothing.
    if verb != "fmt" {
        command.arg("--target-dir").arg(&project.target);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read() {
        assert_eq!(
            outcome("test disks::boots_from_nvme ... ok"),
            Some(("boots from nvme".to_owned(), true))
        );
        assert_eq!(outcome("test a ... FAILED"), Some(("a".to_owned(), false)));
        assert_eq!(outcome("test a ... ignored"), None);
        assert_eq!(outcome("test result: ok. 3 passed"), None);
        assert_eq!(outcome("running 3 tests"), None);
    }

    #[test]
    fn the_table_ends_with_the_count() {
        let mut table = Table::default();
        assert!(table.step("format", || Ok(())));
        assert!(!table.step("much longer", || bail!("why")));
        let shown = table.shown();
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[0].starts_with("format       passed"), "{shown}");
        assert!(lines[1].starts_with("much longer  FAILED"), "{shown}");
        assert_eq!(lines[2], "1 passed, 1 failed");
        table.skip("another", "why");
        assert!(table.shown().contains("another      skipped"), "{}", table.shown());
        assert!(table.shown().ends_with("\n1 passed, 1 failed, 1 skipped\n"));
    }
}
