//! `bootllm-train export`: write a run's best model for `bootllm`, the disk image and llama2.c.

use crate::commands::next;
use anyhow::{Context, Result};
use bootllm_host::{eprint_line, open, write_whole};
use bootllm_model_file::{Config, Version, largest_group};
use bootllm_tokenizer::names_beside;
use bootllm_train::error::TrainError;
use bootllm_train::fit::BEST;
use bootllm_units::bytes;
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;

/// The run and the file.
#[derive(Args)]
pub struct Arguments {
    /// The folder of the run, whose best model so far is exported
    run: PathBuf,
    /// The model file to write; its tokenizer is written beside it as NAME.tokenizer.bin
    output: PathBuf,
    /// The format
    #[arg(long, value_enum, default_value = "v2")]
    to: Format,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// f32, for llama2.c's `run` and for fine-tuning
    V0,
    /// int8, a quarter of the size of f32, for llama2.c's `runq`
    V2,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let model = arguments.run.join(BEST);
    let mut opened = open(&model).context(TrainError::NoModel)?;
    let tokenizer = opened.tokenizer(None)?;
    let version = match arguments.to {
        Format::V0 => Version::V0,
        Format::V2 => Version::V2 { group: largest_group(&Config::of(&opened.file)?) },
    };
    let output = &arguments.output;
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let size = opened.convert(version.into(), None, output)?;
    eprint_line(&format!("{}: {version}, {}", output.display(), bytes(size)));
    let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let [own, _] = names_beside(&name);
    let path = output.with_file_name(own);
    let size = write_whole(&path, |sink| Ok(sink.write_all(&tokenizer.write())?))?;
    eprint_line(&format!("{}: its tokenizer, {}", path.display(), bytes(size)));
    next::show(&[next::line("cargo xtask run --model", &[output])]);
    Ok(())
}
