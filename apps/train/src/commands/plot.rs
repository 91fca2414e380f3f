//! `bootllm-train plot`: plot the losses of runs.

use anyhow::{Context, Result, bail};
use bootllm_host::{eprint_line, write_whole};
use bootllm_train::error::TrainError;
use bootllm_train::log;
use bootllm_train::plot::{Axis, Measure, RunLog, draw};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The runs and the chart.
#[derive(Args)]
pub struct Arguments {
    /// Folders of runs, or their logs
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The SVG to write [default: loss.svg beside the log of the first run]
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Plot the held-out loss in bits per byte, to compare runs with different tokenizers
    #[arg(long)]
    bits: bool,
    /// The horizontal axis
    #[arg(long, value_enum, default_value_t = X::Step)]
    x: X,
}

#[derive(Clone, Copy, ValueEnum)]
enum X {
    Step,
    Tokens,
    Epoch,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let logs: Vec<PathBuf> = arguments.runs.iter().map(|run| log_of(run)).collect();
    let mut runs = Vec::new();
    for (path, log) in arguments.runs.iter().zip(&logs) {
        let entries = log::read(log)?;
        runs.push(RunLog { name: name(path)?, entries });
    }
    // Runs in different folders may have the same name.
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for (run, path) in runs.iter_mut().zip(&arguments.runs) {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = path.display().to_string();
        }
    }
    let axis = match arguments.x {
        X::Step => Axis::Step,
        X::Tokens => Axis::Tokens,
        X::Epoch => Axis::Epoch,
    };
    let measure = if arguments.bits { Measure::Bits } else { Measure::Loss };
    let svg = draw(&runs, axis, measure)?;

    let output = &match (&arguments.output, logs.first()) {
        (Some(output), _) => output.clone(),
        (None, log) => log.context("no run is named")?.with_file_name("loss.svg"),
    };
    let exists = output.canonicalize().ok();
    if exists.is_some() && logs.iter().any(|log| log.canonicalize().ok() == exists) {
        bail!(TrainError::OverwritesLog(output.clone()));
    }
    let size = write_whole(output, |sink| Ok(sink.write_all(svg.as_bytes())?))?;
    eprint_line(&format!("{}: {}", output.display(), bootllm_units::bytes(size)));
    Ok(())
}

fn log_of(run: &Path) -> PathBuf {
    if run.is_dir() { run.join(log::NAME) } else { run.to_owned() }
}

/// The name of a run's folder, or of a log elsewhere.
fn name(run: &Path) -> Result<String> {
    let whole = run.canonicalize().with_context(|| run.display().to_string())?;
    let name = if whole.is_dir() {
        whole.file_name()
    } else if whole.ends_with(log::NAME) {
        whole.parent().and_then(Path::file_name)
    } else {
        whole.file_stem()
    };
    Ok(name.map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into()))
}
