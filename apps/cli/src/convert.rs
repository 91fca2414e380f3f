//! `bootllm convert`: a model in another format.

use anyhow::{Context, Result, bail};
use bootllm_chat::report::bytes;
use bootllm_host::{Opened, remark, write_whole};
use bootllm_model_file::{FileFormat, Target, Tokens, Version, largest_group};
use bootllm_quant::Encoding;
use bootllm_tokenizer::{Tokenizer, names_beside};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;

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

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// f32, the legacy format of llama2.c's `run`
    V0,
    /// f32 behind a proper header
    V1,
    /// int8 in groups, for llama2.c's `runq`
    V2,
    /// GGUF, all in f32
    F32,
    /// GGUF, matrices in f16
    F16,
    /// GGUF, matrices in bf16
    Bf16,
    /// GGUF, matrices in 8-bit integers; where 32 does not divide their rows, in f16
    #[value(name = "q8_0")]
    Q8_0,
    /// GGUF, matrices in 4-bit integers, all of them; where 32 does not divide their rows, in f16
    #[value(name = "q4_0")]
    Q4_0,
}

impl Arguments {
    fn format(&self, opened: &Opened) -> Result<FileFormat> {
        let gguf = |weights| Ok(FileFormat::Gguf { weights });
        match (self.to, self.group) {
            (Format::V2, group) => {
                let group = group.unwrap_or_else(|| largest_group(&opened.file.config));
                Ok(Version::V2 { group }.into())
            }
            (_, Some(_)) => bail!("only v2 has groups"),
            (Format::V0, None) => Ok(Version::V0.into()),
            (Format::V1, None) => Ok(Version::V1.into()),
            (Format::F32, None) => gguf(Encoding::F32),
            (Format::F16, None) => gguf(Encoding::F16),
            (Format::Bf16, None) => gguf(Encoding::Bf16),
            (Format::Q8_0, None) => gguf(Encoding::Q8_0),
            (Format::Q4_0, None) => gguf(Encoding::Q4_0),
        }
    }

    /// The tokenizer that goes with the model from outside a GGUF file into one, or the other way.
    fn moved_tokenizer(&self, opened: &Opened, format: FileFormat) -> Result<Option<Tokenizer>> {
        let inside = opened.file.vocabulary.is_some();
        let into_gguf = matches!(format, FileFormat::Gguf { .. });
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
    let format = arguments.format(&opened)?;
    let tokenizer = arguments.moved_tokenizer(&opened, format)?;
    let (output, before) = (&arguments.output, opened.file.size);
    let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let [own, _] = names_beside(&name);
    let (size, beside) = match format {
        FileFormat::Gguf { weights } => {
            let tokens = tokenizer.as_ref().map(|tokenizer| tokenizer as &dyn Tokens);
            (opened.convert(Target::Gguf { weights, tokens }, output)?, None)
        }
        FileFormat::Llama2c(version) => {
            if let Some(tokenizer) = &tokenizer {
                tokenizer.check_llama2c().with_context(|| arguments.model.display().to_string())?;
            }
            (opened.convert(version, output)?, tokenizer)
        }
    };
    remark(&format!("{}: {format}, {} (it was {})", output.display(), bytes(size), bytes(before)));
    if let Some(tokenizer) = beside {
        let path = output.with_file_name(own);
        let size = write_whole(&path, |sink| Ok(sink.write_all(&tokenizer.write())?))?;
        remark(&format!("{}: its tokenizer, {}", path.display(), bytes(size)));
    }
    Ok(())
}
