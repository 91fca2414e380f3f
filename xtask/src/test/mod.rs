//! `cargo xtask test`: the checks that must pass before a change is taken, as named steps.
//!
//! ```text
//! steps ─► libtest ─► report
//! what is    what the    a table with times, and
//! run        tests said  everything that did not run
//! ```

mod libtest;
mod report;
mod steps;

use std::env;
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::process;
use crate::program::Program;
use crate::project::Project;
use crate::target::{CoreSource, Target};
use report::{Outcome, Report};
use steps::{STEPS, Step};

/// Which steps to run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The steps to run, by name; all if none is named. A step that is named also installs what it
    /// needs.
    names: Vec<String>,

    /// List the steps with what they check and about how long they take.
    #[arg(long)]
    list: bool,

    /// Leave out the steps that take long.
    #[arg(long, conflicts_with = "names")]
    quick: bool,
}

/// What the steps share while they run.
pub struct Context<'a> {
    project: &'a Project,
    core: CoreSource,
    /// Whether the user named the step that runs.
    named: bool,
    /// The target of the UEFI program, once a step needed it.
    target: Option<Target>,
    /// The UEFI program, once a step needed it.
    program: Option<Program>,
    report: Report,
}

/// `cargo xtask test`.
pub fn task(project: &Project, core: CoreSource, options: &Options) -> Result<()> {
    if options.list {
        print!("{}", list());
        return Ok(());
    }
    let chosen = choose(options)?;
    let mut context = Context {
        project,
        core,
        named: !options.names.is_empty(),
        target: None,
        program: None,
        report: Report::default(),
    };
    thread::scope(|scope| {
        if !context.named {
            scope.spawn(|| build_ahead(project, core, options.quick));
        }
        for step in &chosen {
            run(&mut context, step);
        }
    });
    let rest = STEPS.iter().filter(|step| !chosen.iter().any(|chosen| chosen.name == step.name));
    context.report.not_chosen = rest.map(|step| step.name).collect();
    print!("\n{}", context.report.text());
    ensure!(context.report.failed() == 0, "not everything passed");
    Ok(())
}

/// Runs a step. A failure is printed at once, and the next steps run all the same.
fn run(context: &mut Context<'_>, step: &Step) {
    eprintln!("\n=== {}: {}", step.name, step.about);
    let begun = Instant::now();
    let outcome = (step.run)(context).unwrap_or_else(|error| {
        eprintln!("{} failed: {error:#}", step.name);
        Outcome::Failed
    });
    if let Outcome::Ignored(reason) = &outcome {
        eprintln!("ignored: {reason}");
    }
    context.report.add_step(step.name, outcome, begun.elapsed());
}

/// The steps that the user asked for, in the order in which they run.
fn choose(options: &Options) -> Result<Vec<&'static Step>> {
    if let Some(unknown) =
        options.names.iter().find(|name| !STEPS.iter().any(|step| step.name == name.as_str()))
    {
        bail!("there is no step {unknown}; the steps are:\n\n{}", list());
    }
    let wanted = |step: &&Step| match options.names.as_slice() {
        [] => !(options.quick && step.slow),
        names => names.iter().any(|name| name == step.name),
    };
    Ok(STEPS.iter().filter(wanted).collect())
}

fn list() -> String {
    let width = STEPS.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let line = |step: &Step| {
        let quick = if step.slow { "" } else { ", in --quick" };
        format!("{:width$}  {} ({}{quick})\n", step.name, step.about, step.time)
    };
    STEPS.iter().map(line).collect()
}

/// Builds the released programs while other steps test: their linker runs on one core. A step that
/// needs them finds nothing left to do, or finds the error and reports it.
fn build_ahead(project: &Project, core: CoreSource, quick: bool) {
    if let (Ok(xtask), Some(core)) = (env::current_exe(), core.to_possible_value()) {
        process::succeeds(Command::new(xtask).args(["--core", core.get_name(), "build"]));
    }
    if !quick {
        let release = ["--release", "--bin", "bootllm"];
        process::succeeds(steps::cargo(project, "build").args(release));
        let fuzz = ["--release", "--manifest-path", steps::FUZZ];
        process::succeeds(steps::cargo(project, "build").args(fuzz));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(names: &[&str], quick: bool) -> Options {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Options { names, list: false, quick }
    }

    fn chosen(names: &[&str], quick: bool) -> Option<Vec<&'static str>> {
        let chosen = choose(&options(names, quick)).ok()?;
        Some(chosen.iter().map(|step| step.name).collect())
    }

    #[test]
    fn names_choose_steps_in_the_order_of_the_list() {
        assert_eq!(chosen(&["clippy", "format"], false).unwrap(), ["format", "clippy"]);
        assert_eq!(chosen(&["format", "no-such-step"], false), None);
        assert_eq!(chosen(&[], false).unwrap().len(), STEPS.len());
        let quick = chosen(&[], true).unwrap();
        assert!(quick.contains(&"tests") && !quick.contains(&"boot"));
    }

    #[test]
    fn steps_have_different_names() {
        for (at, step) in STEPS.iter().enumerate() {
            assert!(STEPS[..at].iter().all(|other| other.name != step.name), "{}", step.name);
        }
    }
}
