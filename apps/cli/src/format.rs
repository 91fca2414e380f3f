//! The formats that models are written in.

use anyhow::{Result, bail};
use bootllm_model_file::{Config, ModelFile, OutputFormat, Version, largest_group};
use bootllm_quant::Encoding;
use clap::ValueEnum;

/// A format by its name.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Format {
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

impl Format {
    /// The format for a model; v2 in groups of this many values, else of as many as fit its shape.
    pub fn of(self, file: &ModelFile, group: Option<usize>) -> Result<OutputFormat> {
        let gguf = |weights| Ok(OutputFormat::Gguf(weights));
        match (self, group) {
            (Format::V2, group) => {
                let group = match group {
                    Some(group) => group,
                    None => largest_group(&Config::of(file)?),
                };
                Ok(OutputFormat::Llama2c(Version::V2 { group }))
            }
            (_, Some(_)) => bail!("only v2 has groups"),
            (Format::V0, None) => Ok(OutputFormat::Llama2c(Version::V0)),
            (Format::V1, None) => Ok(OutputFormat::Llama2c(Version::V1)),
            (Format::F32, None) => gguf(Encoding::F32),
            (Format::F16, None) => gguf(Encoding::F16),
            (Format::Bf16, None) => gguf(Encoding::Bf16),
            (Format::Q8_0, None) => gguf(Encoding::Q8_0),
            (Format::Q4_0, None) => gguf(Encoding::Q4_0),
        }
    }
}
