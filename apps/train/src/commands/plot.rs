//! `bootllm-train plot`: a chart of how runs went.

use anyhow::{Context, Result, bail};
use bootllm_host::{remark, write_whole};
use bootllm_train::log;
use bootllm_train::plot::{Axis, Measure, Run, draw};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is drawn.
#[derive(Args)]
pub struct Arguments {
    /// Folders of runs, or their logs
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The SVG to write
    #[arg(short, long, default_value = "loss.svg")]
    output: PathBuf,
    /// The held-out text in bits a byte, which compares runs with different tokenizers
    #[arg(long)]
    bits: bool,
    /// What is drawn from left to right
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
        runs.push(Run { name: name(path)?, entries });
    }
    // Runs of one name in different folders.
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

    let output = &arguments.output;
    let exists = output.canonicalize().ok();
    if exists.is_some() && logs.iter().any(|log| log.canonicalize().ok() == exists) {
        bail!("{}: the chart would replace the log", output.display());
    }
    let size = write_whole(output, |sink| Ok(sink.write_all(svg.as_bytes())?))?;
    remark(&format!("{}: {}", output.display(), bootllm_units::bytes(size)));
    Ok(())
}

fn log_of(run: &Path) -> PathBuf {
    if run.is_dir() { run.join(log::NAME) } else { run.to_owned() }
}

/// The name of a run's folder, or of a log that lies elsewhere.
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
