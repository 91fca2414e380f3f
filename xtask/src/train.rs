//! The trainer's part of the tests: it trains a model by the commands of `docs/training.md`, with
//! fewer steps.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::project::Project;
use crate::toolchain;

/// The trainer. The other tests leave it out, because its tests take minutes in the dev profile.
pub const PACKAGE: &str = "bootllm-train";
/// The profile of its tests; see the workspace's `Cargo.toml`.
const PROFILE: &str = "trainer";

/// The documented commands from texts to a model, after `cargo run --release -p bootllm-train --`.
const COMMANDS: [(&str, Shortened); 4] = [
    ("data target/train/corpus", Shortened::WithTexts),
    ("tokenizer target/train/corpus --vocab-size 512", Shortened::No),
    (
        "fit target/train/corpus target/train/nano --preset nano --batch-tokens 1024 --rate 4e-3",
        Shortened::InSteps,
    ),
    ("export target/train/nano target/train/nano.bin", Shortened::No),
];
/// The same model in f32.
const EXPORT_F32: &str = "export target/train/nano target/train/nano-f32.bin --to v0";
/// Where the documented commands write. The tests write into a folder of their own instead.
const PLACE: &str = "target/train/";
/// A tenth of what the documented command does on 2 MB of stories.
const STEPS: &str = "--steps 300 --evaluate-every 100";

/// How the tests differ from the documentation.
#[derive(Clone, Copy)]
enum Shortened {
    No,
    WithTexts,
    InSteps,
}

/// The texts to train on.
struct Texts {
    /// Their description for the user.
    called: &'static str,
    files: Vec<PathBuf>,
    /// Options of `data` for them.
    options: &'static str,
    /// How far the held-out loss must fall below the loss of the first step, which is that of
    /// guessing: ln 512 = 6.2 nats.
    least_fall: f64,
}

/// The exported files.
pub struct Exported {
    /// int8, as in the documentation.
    pub int8: PathBuf,
    /// f32.
    pub float: PathBuf,
}

/// Trains a model and checks that its loss fell.
pub fn train(project: &Project) -> Result<Exported> {
    process::run(&mut cargo(project, "build"))?;
    let program =
        project.target.join(PROFILE).join(format!("{PACKAGE}{}", env::consts::EXE_SUFFIX));
    let folder = folder(project);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let Texts { called, files, options, least_fall } = texts(project)?;
    eprintln!("training on {called}");

    let run = |words: &str, more: &[PathBuf]| {
        let mut command = Command::new(&program);
        command.args(words.replace(PLACE, "").split(' ')).args(more).current_dir(&folder);
        eprintln!("$ {}", process::line(&command));
        process::run(&mut command)
    };
    for (words, shortened) in COMMANDS {
        match shortened {
            Shortened::No => run(words, &[])?,
            Shortened::WithTexts => run(&format!("{words}{options}"), &files)?,
            Shortened::InSteps => run(&format!("{words} {STEPS}"), &[])?,
        }
    }
    run(EXPORT_F32, &[])?;

    let log = folder.join("nano/log.csv");
    let text = fs::read_to_string(&log).with_context(|| log.display().to_string())?;
    let (first, held_out) = losses(&text).with_context(|| log.display().to_string())?;
    let fall = first - held_out;
    eprintln!(
        "loss: {first:.2} at the first step, {held_out:.2} on the held-out part: it fell by \
         {fall:.2}, and must fall by {least_fall}"
    );
    ensure!(fall >= least_fall, "the held-out loss fell by {fall:.2}, not by {least_fall}");
    exported(project).context("`export` wrote no model")
}

/// The files that [`train`] exported, if it has run.
pub fn exported(project: &Project) -> Option<Exported> {
    let [int8, float] = ["nano.bin", "nano-f32.bin"].map(|name| folder(project).join(name));
    (int8.is_file() && float.is_file()).then_some(Exported { int8, float })
}

/// The directory of the training.
fn folder(project: &Project) -> PathBuf {
    project.target.join("trained")
}

fn texts(project: &Project) -> Result<Texts> {
    let stories = project.root.join("../shared/text");
    let mut files = Vec::new();
    if stories.is_dir() {
        for file in fs::read_dir(&stories).with_context(|| stories.display().to_string())? {
            files.push(file?.path());
        }
    }
    files.retain(|file| named(file).starts_with("tinystories-"));
    files.sort();
    if !files.is_empty() {
        // Measured: 3.1.
        let called = "the stories in ../shared/text";
        return Ok(Texts { called, files, options: "", least_fall: 2.8 });
    }
    let pages = ["README.md", "ARCHITECTURE.md", "docs"].map(|name| project.root.join(name));
    Ok(Texts {
        called: "the project's own pages, because there are no stories in ../shared/text",
        files: pages.into(),
        // The pages are few and long.
        options: " --held-out 0.2 --document-bytes 500",
        // Measured: 2.6; the pages change.
        least_fall: 2.0,
    })
}

fn named(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The loss of the first step, and the lowest loss on the held-out part.
fn losses(log: &str) -> Result<(f64, f64)> {
    let mut lines = log.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().context("the log is empty")?;
    let column = |name: &str| {
        let found = names.iter().position(|found| *found == name);
        found.with_context(|| format!("the log has no column {name}"))
    };
    let (loss, held_out) = (column("loss")?, column("held_out_loss")?);
    let mut first = None;
    let mut lowest = f64::INFINITY;
    for fields in lines {
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        first = first.or(number(loss));
        lowest = lowest.min(number(held_out).unwrap_or(f64::INFINITY));
    }
    match first {
        Some(first) if lowest.is_finite() => Ok((first, lowest)),
        _ => bail!("the log has no losses"),
    }
}

/// A cargo command for the trainer, in the profile of its tests.
pub fn cargo(project: &Project, verb: &str) -> Command {
    let mut command = toolchain::cargo();
    command
        .current_dir(&project.root)
        .args([verb, "--package", PACKAGE, "--profile", PROFILE, "--target-dir"])
        .arg(&project.target);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_the_documented_ones() {
        let page = include_str!("../../docs/training.md");
        for (command, _) in COMMANDS {
            let line = format!("\ncargo run --release -p {PACKAGE} -- {command}");
            assert!(page.contains(&line), "docs/training.md has no{line}");
        }
        assert!(page.contains("\ncargo xtask run --model target/train/nano.bin\n"));
    }

    #[test]
    fn the_fall_of_the_loss_is_read_from_the_log() {
        let log = "step,loss,held_out_loss,rate\n1,6.25,,1\n2,5,4.5,1\n3,4,,1\n4,3.5,4.75,1\n5,3";
        assert_eq!(losses(log).unwrap(), (6.25, 4.5));
        let nowhere = "step,loss,held_out_loss\n1,NaN,\n";
        for log in ["", "a,b\n1,2\n", "step,loss,held_out_loss\n1,6,\n", nowhere] {
            assert!(losses(log).is_err(), "{log}");
        }
    }
}
