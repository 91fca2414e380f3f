//! `bootllm synthesize`: a model that nobody trained, as a file.

use crate::arguments::shape;
use crate::convert::write_beside;
use crate::format::Format;
use anyhow::Result;
use bootllm_bench::{Synthetic, random_rows, random_vocabulary};
use bootllm_host::{remark, write_whole};
use bootllm_model_file::{Config, OutputFormat, write, write_gguf};
use bootllm_quant::Encoding;
use bootllm_tokenizer::Tokenizer;
use bootllm_units::bytes;
use clap::Args;
use std::path::PathBuf;

/// What is made.
#[derive(Args)]
pub struct Arguments {
    /// Its shape: 260K, 15M, 42M, 110M, 1.1B
    #[arg(value_parser = shape)]
    shape: Config,
    /// The file to write
    output: PathBuf,
    /// The format to write
    #[arg(long, value_enum)]
    to: Format,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (config, output) = (&arguments.shape, &arguments.output);
    let vocabulary = random_vocabulary(config.vocab_size);
    let tokenizer = Tokenizer::new(vocabulary.iter().map(|(piece, score)| (&**piece, *score)));
    let file = Synthetic::new(config, Encoding::F32).file;
    let format = arguments.to.of(&file, None)?;
    let mut rows = random_rows(&file);
    let size = write_whole(output, |sink| {
        Ok(match format {
            OutputFormat::Gguf(weights) => {
                write_gguf(weights, &file, Some(&tokenizer), &mut rows, sink)
            }
            OutputFormat::Llama2c(version) => write(version, config, &mut rows, sink),
        }?)
    })?;
    remark(&format!("{}: {format}, {}", output.display(), bytes(size)));
    match format {
        OutputFormat::Gguf(_) => Ok(()),
        OutputFormat::Llama2c(_) => write_beside(output, &tokenizer),
    }
}
