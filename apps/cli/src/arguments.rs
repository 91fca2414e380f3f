//! Arguments that several commands take.

use anyhow::{Context, Result};
use bootllm_bench::SHAPES;
use bootllm_cores::Cores;
use bootllm_engine::{KvFormat, Model};
use bootllm_host::{MOST_THREADS, ModelSource, Threads, physical_cores};
use bootllm_model_file::Config;
use bootllm_quant::Encoding;
use bootllm_simd::{Cpu, Isa};
use clap::Args;
use std::sync::Arc;

/// How many threads compute.
#[derive(Args)]
pub struct ThreadCount {
    /// Threads to compute with; the output is the same with any number [default: one per core]
    #[arg(long, value_name = "COUNT", value_parser = threads)]
    threads: Option<usize>,
}

impl ThreadCount {
    /// Starts them.
    pub fn start(&self) -> Result<Threads> {
        let count = self.threads.unwrap_or_else(physical_cores);
        Threads::start(count).with_context(|| format!("cannot start {count} threads"))
    }
}

/// What a model is computed with.
#[derive(Args)]
pub struct Arithmetic {
    /// Format of the KV cache: f32 as in llama2.c, f16 (half the memory) or q8 (little more than a
    /// quarter); f16 and q8 change the output a little
    #[arg(long, value_name = "FORMAT", default_value = "f32", value_parser = kv_format)]
    pub kv: KvFormat,
    /// The widest instruction set to use, such as `avx2`; the output is the same with any
    /// [default: the CPU's widest]
    #[arg(long, value_name = "NAME", value_parser = isa)]
    isa: Option<Isa>,
}

impl Arithmetic {
    /// Loads a model on these cores, to be computed like this.
    pub fn load(
        &self,
        source: &mut ModelSource,
        cores: &dyn Cores,
        context: Option<usize>,
    ) -> Result<Arc<Model>> {
        source.load_for(self.cpu(), cores, context, self.kv)
    }

    /// The CPU, limited to the instruction sets that may be used.
    pub fn cpu(&self) -> Cpu {
        let cpu = Cpu::detect();
        self.isa.map_or(cpu, |widest| cpu.limited_to(widest))
    }
}

fn kv_format(name: &str) -> Result<KvFormat, String> {
    let names = KvFormat::ALL.map(KvFormat::name).join(", ");
    KvFormat::named(name).ok_or_else(|| format!("it must be one of {names}"))
}

/// An instruction set by its name, in any case, without spaces and hyphens.
fn isa(name: &str) -> Result<Isa, String> {
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
    };
    let known = Isa::ALL.into_iter().find(|isa| plain(isa.name()) == plain(name));
    known.ok_or_else(|| {
        let names: Vec<_> = Isa::ALL.iter().map(|isa| plain(isa.name())).collect();
        format!("it must be one of {}", names.join(", "))
    })
}

/// A number of threads.
pub fn threads(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST_THREADS).contains(count));
    count.ok_or_else(|| format!("it must be 1 to {MOST_THREADS}"))
}

/// A number of 1 or more.
pub fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or("it must be 1 or more".into())
}

/// A shape by its name.
pub fn shape(name: &str) -> Result<Config, String> {
    bootllm_bench::shape(name).ok_or_else(|| format!("it must be one of {}", SHAPES.join(", ")))
}

/// A weight format of GGUF by its name.
pub fn encoding(name: &str) -> Result<Encoding, String> {
    let known = Encoding::named(name);
    known.ok_or_else(|| format!("it must be one of {}", encoding_names()))
}

/// The names of the weight formats of GGUF.
pub fn encoding_names() -> String {
    Encoding::IN_GGUF.map(|encoding| encoding.name()).join(", ")
}
