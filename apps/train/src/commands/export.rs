//! `bootllm-train export`: a run's model for `bootllm`, the disk image, and llama2.c.

use anyhow::{Context, Result};
use bootllm_host::{open, remark, write_whole};
use bootllm_model_file::{Config, Version, largest_group};
use bootllm_tokenizer::names_beside;
use bootllm_train::fit::BEST;
use bootllm_units::bytes;
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;

/// Which model is written where.
#[derive(Args)]
pub struct Arguments {
    /// The folder of the run; its best model so far is taken
    run: PathBuf,
    /// The model file to write; its tokenizer goes beside it, as NAME.tokenizer.bin
    output: PathBuf,
    /// The format to write
    #[arg(long, value_enum, default_value = "v2")]
    to: Format,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// f32, for llama2.c's `run` and for fine-tuning
    V0,
    /// int8, a quarter of the size, for llama2.c's `runq`
    V2,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let model = arguments.run.join(BEST);
    let mut opened = open(&model).context("there is no model yet; `fit` writes one")?;
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
    remark(&format!("{}: {version}, {}", output.display(), bytes(size)));
    let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let [own, _] = names_beside(&name);
    let path = output.with_file_name(own);
    let size = write_whole(&path, |sink| Ok(sink.write_all(&tokenizer.write())?))?;
    remark(&format!("{}: its tokenizer, {}", path.display(), bytes(size)));
    Ok(())
}
