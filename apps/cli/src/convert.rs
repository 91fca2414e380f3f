//! `bootllm convert`: a model in another format.

use crate::format::TargetFormat;
use anyhow::{Context, Result, bail};
use bootllm_host::{ModelSource, eprint_line, write_whole};
use bootllm_model_file::{OutputFormat, Tokens};
use bootllm_tokenizer::{Tokenizer, names_beside};
use bootllm_units::bytes;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is converted to what.
#[derive(Args)]
pub struct Arguments {
    /// A model file, or the name of one in models/ or target/models/
    model: PathBuf,
    /// The file to write; for llama2.c's formats the tokenizer is written beside it
    output: PathBuf,
    /// The format to write
    #[arg(long, value_parser = TargetFormat::parser())]
    to: TargetFormat,
    /// v2: values that share a scale [default: the largest up to 64 that divides every row]
    #[arg(long)]
    group: Option<usize>,
    /// The tokenizer that goes with the model [default: the one inside or beside it]
    #[arg(short = 'z', long)]
    tokenizer: Option<PathBuf>,
    /// Replace files that exist
    #[arg(short, long)]
    force: bool,
}

impl Arguments {
    /// The tokenizer to write: into a GGUF file, or beside one of llama2.c's. If there is none
    /// beside the model, the second value says why.
    fn tokenizer_to_write(
        &self,
        opened: &ModelSource,
        format: OutputFormat,
    ) -> Result<(Option<Tokenizer>, Option<String>)> {
        let is_inside = opened.file.vocabulary.is_some();
        let named = self.tokenizer.as_deref();
        match format {
            OutputFormat::Gguf(_) if is_inside && named.is_some() => {
                bail!("the model has its tokenizer inside, which stays there")
            }
            OutputFormat::Gguf(_) if is_inside => Ok((None, None)),
            OutputFormat::Llama2c(_) if !is_inside && named.is_none() => {
                match opened.tokenizer(None) {
                    Ok(tokenizer) => Ok((Some(tokenizer), None)),
                    Err(error) => Ok((None, Some(format!("{error:#}")))),
                }
            }
            _ => Ok((Some(opened.tokenizer(named)?), None)),
        }
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut opened = bootllm_host::open(&arguments.model)?;
    let format = arguments.to.of(&opened.file, arguments.group)?;
    let (output, before, force) = (&arguments.output, opened.file.size, arguments.force);
    if !opened.is_at(output) {
        ensure_new(output, force)?;
    }
    let (tokenizer, missing) = arguments.tokenizer_to_write(&opened, format)?;
    let (size, beside) = match format {
        OutputFormat::Gguf(_) => {
            let tokens = tokenizer.as_ref().map(|tokenizer| tokenizer as &dyn Tokens);
            (opened.convert(format, tokens, output)?, None)
        }
        OutputFormat::Llama2c(_) => {
            if let Some(tokenizer) = &tokenizer {
                tokenizer.check_llama2c().with_context(|| arguments.model.display().to_string())?;
            }
            let beside = tokenizer.map(|tokenizer| BesideFile::plan(output, &tokenizer, force));
            let beside = beside.transpose()?;
            (opened.convert(format, None, output)?, beside)
        }
    };
    let (size, before) = (bytes(size), bytes(before));
    eprint_line(&format!("{}: {format}, {size} (it was {before})", output.display()));
    if let Some(missing) = missing {
        eprint_line(&format!("no tokenizer was written beside it: {missing}"));
    }
    beside.map_or(Ok(()), |beside| beside.write())
}

/// Refuses to replace a file, unless that is wanted.
pub fn ensure_new(path: &Path, force: bool) -> Result<()> {
    // What is not a file is refused in any case when it is written.
    if !force && path.is_file() {
        bail!("{}: the file exists; --force replaces it", path.display());
    }
    Ok(())
}

/// The tokenizer of a model, to be written beside it.
pub struct BesideFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl BesideFile {
    /// Finds the place, and refuses to replace another tokenizer, unless that is wanted.
    pub fn plan(model: &Path, tokenizer: &Tokenizer, force: bool) -> Result<Self> {
        let name = model.file_name().unwrap_or_default().to_string_lossy();
        let [own, _] = names_beside(&name);
        let beside = BesideFile { path: model.with_file_name(own), bytes: tokenizer.write() };
        if !beside.is_there() {
            ensure_new(&beside.path, force)?;
        }
        Ok(beside)
    }

    /// Whether the same file is there already.
    fn is_there(&self) -> bool {
        let same_size = |found: std::fs::Metadata| found.len() == self.bytes.len() as u64;
        self.path.metadata().is_ok_and(same_size)
            && std::fs::read(&self.path).is_ok_and(|found| found == self.bytes)
    }

    /// Writes it.
    pub fn write(&self) -> Result<()> {
        if !self.is_there() {
            write_whole(&self.path, |sink| Ok(sink.write_all(&self.bytes)?))?;
        }
        let size = bytes(self.bytes.len() as u64);
        eprint_line(&format!("{}: its tokenizer, {size}", self.path.display()));
        Ok(())
    }
}
