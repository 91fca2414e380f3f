//! `bootllm convert`: a model in another of llama2.c's formats.

use anyhow::{Result, bail};
use bootllm_chat::report::bytes;
use bootllm_host::remark;
use bootllm_model_file::{Version, largest_group};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What is converted to what.
#[derive(Args)]
pub struct Arguments {
    /// A model in one of llama2.c's formats
    model: PathBuf,
    /// The file to write
    output: PathBuf,
    /// The format to write
    #[arg(long, value_enum)]
    to: Format,
    /// v2: values that share a scale [default: the largest up to 64 that divides every row]
    #[arg(long)]
    group: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// f32, the legacy format of llama2.c's `run`
    V0,
    /// f32 behind a proper header
    V1,
    /// int8 in groups, for llama2.c's `runq`
    V2,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut opened = bootllm_host::open(&arguments.model)?;
    let version = match (arguments.to, arguments.group) {
        (Format::V0, None) => Version::V0,
        (Format::V1, None) => Version::V1,
        (Format::V2, group) => {
            Version::V2 { group: group.unwrap_or_else(|| largest_group(&opened.file.config)) }
        }
        _ => bail!("only v2 has groups"),
    };
    let output = &arguments.output;
    let before = opened.file.size;
    let size = opened.convert(version, output)?;
    let (name, size, before) = (output.display(), bytes(size), bytes(before));
    remark(&format!("{name}: {version}, {size} (it was {before})"));
    Ok(())
}
