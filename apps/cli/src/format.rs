//! The formats that models are written in.

use anyhow::{Result, bail};
use bootllm_model_file::{Config, FileFormat, Version, largest_group};
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
    /// The format for a model of this shape; v2 in groups of so many values, else of as many as fit.
    pub fn of(self, config: &Config, group: Option<usize>) -> Result<FileFormat> {
        let gguf = |weights| Ok(FileFormat::Gguf { weights });
        match (self, group) {
            (Format::V2, group) => {
                let group = group.unwrap_or_else(|| largest_group(config));
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
}
