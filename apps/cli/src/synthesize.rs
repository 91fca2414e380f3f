//! `bootllm synthesize`: an untrained model, as a file.

use crate::arguments::shape;
use crate::convert::{BesideFile, ensure_new};
use crate::format::TargetFormat;
use anyhow::Result;
use bootllm_bench::{SHAPES, Synthetic, random_rows, random_vocabulary};
use bootllm_host::{eprint_line, write_whole};
use bootllm_model_file::{Config, OutputFormat, write, write_gguf};
use bootllm_quant::Encoding;
use bootllm_tokenizer::Tokenizer;
use bootllm_units::bytes;
use clap::Args;
use std::path::PathBuf;

/// What is made.
#[derive(Args)]
pub struct Arguments {
    #[arg(value_parser = shape, help = shape_help())]
    shape: Config,
    /// The file to write; for llama2.c's formats the tokenizer is written beside it
    output: PathBuf,
    /// The format to write
    #[arg(long, value_parser = TargetFormat::parser())]
    to: TargetFormat,
    /// Replace files that exist
    #[arg(short, long)]
    force: bool,
}

fn shape_help() -> String {
    format!("Its shape: {}", SHAPES.join(", "))
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { shape: config, output, to, force } = arguments;
    let vocabulary = random_vocabulary(config.vocab_size);
    let tokenizer = Tokenizer::new(vocabulary.iter().map(|(piece, score)| (&**piece, *score)));
    let file = Synthetic::new(config, Encoding::F32).file;
    let format = to.of(&file, None)?;
    ensure_new(output, *force)?;
    let beside = match format {
        OutputFormat::Gguf(_) => None,
        OutputFormat::Llama2c(_) => Some(BesideFile::plan(output, &tokenizer, *force)?),
    };
    let mut rows = random_rows(&file);
    let size = write_whole(output, |sink| {
        Ok(match format {
            OutputFormat::Gguf(weights) => {
                write_gguf(weights, &file, Some(&tokenizer), &mut rows, sink)
            }
            OutputFormat::Llama2c(version) => write(version, config, &mut rows, sink),
        }?)
    })?;
    eprint_line(&format!("{}: {format}, {}", output.display(), bytes(size)));
    beside.map_or(Ok(()), |beside| beside.write())
}
