//! The formats that models are written in.

use anyhow::{Result, bail};
use bootllm_model_file::{Config, ModelFile, OutputFormat, Version, largest_group};
use bootllm_quant::Encoding;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// A format by its name.
#[derive(Clone, Copy, PartialEq)]
pub enum TargetFormat {
    /// llama2.c's formats.
    V0,
    V1,
    V2,
    /// GGUF, its matrices in this format.
    Gguf(Encoding),
}

/// llama2.c's formats, with their names and what they are.
const LLAMA2C: [(TargetFormat, &str, &str); 3] = [
    (TargetFormat::V0, "v0", "llama2.c's legacy format, f32, for its `run`"),
    (TargetFormat::V1, "v1", "llama2.c's f32 format with a header"),
    (TargetFormat::V2, "v2", "llama2.c's int8 format with groups, for its `runq`"),
];

impl TargetFormat {
    fn named(name: &str) -> Option<Self> {
        let llama2c = LLAMA2C.into_iter().find(|&(_, known, _)| known == name);
        let gguf = || Encoding::named(name);
        llama2c.map(|(format, ..)| format).or_else(|| gguf().map(TargetFormat::Gguf))
    }

    /// Reads a name on the command line. The list of names comes from the table of formats.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        let llama2c = LLAMA2C.map(|(_, name, what)| PossibleValue::new(name).help(what));
        let gguf = Encoding::IN_GGUF.map(|encoding| {
            let name = encoding.name();
            let what = match encoding.block_len() {
                1 => format!("GGUF, matrices in {name}"),
                block => {
                    format!("GGUF, matrices in {name}, or f16 where {block} does not divide a row")
                }
            };
            PossibleValue::new(name).help(what)
        });
        let names = PossibleValuesParser::new(llama2c.into_iter().chain(gguf));
        names.try_map(|name| TargetFormat::named(&name).ok_or("it is not in the list"))
    }

    /// The format for a model; v2 in groups of this many values, by default the largest that fit.
    pub fn of(self, file: &ModelFile, group: Option<usize>) -> Result<OutputFormat> {
        match (self, group) {
            (TargetFormat::V2, group) => {
                let group = match group {
                    Some(group) => group,
                    None => largest_group(&Config::of(file)?),
                };
                Ok(OutputFormat::Llama2c(Version::V2 { group }))
            }
            (_, Some(_)) => bail!("only v2 has groups"),
            (TargetFormat::V0, None) => Ok(OutputFormat::Llama2c(Version::V0)),
            (TargetFormat::V1, None) => Ok(OutputFormat::Llama2c(Version::V1)),
            (TargetFormat::Gguf(encoding), None) => Ok(OutputFormat::Gguf(encoding)),
        }
    }
}
