//! `bootllm convert`: a model in another format.

use crate::format::Format;
use anyhow::{Context, Result, bail};
use bootllm_host::{ModelSource, remark, write_whole};
use bootllm_model_file::{OutputFormat, Tokens};
use bootllm_tokenizer::{Tokenizer, names_beside};
use bootllm_units::bytes;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is converted to what.
#[derive(Args)]
pub struct Arguments {
    /// A model in one of llama2.c's formats, or GGUF
    model: PathBuf,
    /// The file to write
    output: PathBuf,
    /// The format to write
    #[arg(long, value_enum)]
    to: Format,
    /// v2: values that share a scale [default: the largest up to 64 that divides every row]
    #[arg(long)]
    group: Option<usize>,
    /// The tokenizer to put into a GGUF file; else the one beside the model
    #[arg(short = 'z', long)]
    tokenizer: Option<PathBuf>,
}

impl Arguments {
    /// The tokenizer that goes with the model from outside a GGUF file into one, or the other way.
    fn moved_tokenizer(
        &self,
        opened: &ModelSource,
        format: OutputFormat,
    ) -> Result<Option<Tokenizer>> {
        let inside = opened.file.vocabulary.is_some();
        let into_gguf = matches!(format, OutputFormat::Gguf(_));
        if inside != into_gguf {
            return opened.tokenizer(self.tokenizer.as_deref()).map(Some);
        }
        match (&self.tokenizer, inside) {
            (None, _) => Ok(None),
            (Some(_), true) => bail!("the model has its tokenizer inside, which stays there"),
            (Some(_), false) => bail!("only a GGUF file can have its tokenizer inside"),
        }
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut opened = bootllm_host::open(&arguments.model)?;
    let format = arguments.to.of(&opened.file, arguments.group)?;
    let tokenizer = arguments.moved_tokenizer(&opened, format)?;
    let (output, before) = (&arguments.output, opened.file.size);
    let (size, beside) = match format {
        OutputFormat::Gguf(_) => {
            let tokens = tokenizer.as_ref().map(|tokenizer| tokenizer as &dyn Tokens);
            (opened.convert(format, tokens, output)?, None)
        }
        OutputFormat::Llama2c(_) => {
            if let Some(tokenizer) = &tokenizer {
                tokenizer.check_llama2c().with_context(|| arguments.model.display().to_string())?;
            }
            (opened.convert(format, None, output)?, tokenizer)
        }
    };
    remark(&format!("{}: {format}, {} (it was {})", output.display(), bytes(size), bytes(before)));
    beside.map_or(Ok(()), |tokenizer| write_beside(output, &tokenizer))
}

/// Writes the tokenizer of a model beside it.
pub fn write_beside(model: &Path, tokenizer: &Tokenizer) -> Result<()> {
    let name = model.file_name().unwrap_or_default().to_string_lossy();
    let [own, _] = names_beside(&name);
    let path = model.with_file_name(own);
    let size = write_whole(&path, |sink| Ok(sink.write_all(&tokenizer.write())?))?;
    remark(&format!("{}: its tokenizer, {}", path.display(), bytes(size)));
    Ok(())
}
