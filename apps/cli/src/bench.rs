//! `bootllm bench`: how fast a model runs here, and how fast it could.

use crate::arguments::threads;
use anyhow::{Context, Result, bail};
use bootllm_bench::{Limits, Measured, SHAPES, Synthetic, Work, median, run, shape};
use bootllm_engine::{KvFormat, Model, Stage};
use bootllm_host::{StdClock, Threads, physical_cores};
use bootllm_model_file::ModelFile;
use bootllm_platform::{Clock, ReadAt};
use bootllm_quant::Encoding;
use bootllm_simd::{Cpu, Isa};
use clap::Args;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// What is measured.
#[derive(Args)]
pub struct Arguments {
    /// A model
    #[arg(required_unless_present = "shape")]
    model: Option<PathBuf>,
    /// In place of a model, one of this shape with weights that nobody trained: 260K, 15M, 42M,
    /// 110M, 1.1B
    #[arg(long, conflicts_with = "model")]
    shape: Option<String>,
    /// The format of its weights: f32, f16, bf16, q8_0, q4_0
    #[arg(long, default_value = "q8_0", value_parser = encoding)]
    format: Encoding,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 256)]
    prefill: usize,
    /// Tokens one by one
    #[arg(long, default_value_t = 64)]
    decode: usize,
    /// How often each is measured; medians are shown
    #[arg(long, default_value_t = 5)]
    times: usize,
    /// Cores to compute with, several counts one after the other [default: 1 and all]
    #[arg(long, value_delimiter = ',', value_parser = threads)]
    threads: Vec<usize>,
    /// The widest instructions to use, such as `avx2` [default: the CPU's widest]
    #[arg(long, value_parser = isa)]
    isa: Option<Isa>,
    /// In which form keys and values are kept: f32, f16, q8
    #[arg(long, default_value = "f32", value_parser = kv_format)]
    kv: KvFormat,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn encoding(name: &str) -> Result<Encoding, String> {
    let known = Encoding::IN_GGUF.into_iter().find(|encoding| encoding.format().name() == name);
    known.ok_or_else(|| "it must be f32, f16, bf16, q8_0 or q4_0".into())
}

fn kv_format(name: &str) -> Result<KvFormat, String> {
    let known = KvFormat::ALL.into_iter().find(|format| format.name() == name);
    known.ok_or_else(|| "it must be f32, f16 or q8".into())
}

/// An instruction set by its name in small letters, without spaces and hyphens.
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

/// A model to measure: a file, or none.
struct Subject {
    name: String,
    file: ModelFile,
    source: Box<dyn ReadAt>,
}

impl Subject {
    fn of(arguments: &Arguments) -> Result<Self> {
        if let Some(path) = &arguments.model {
            let opened = bootllm_host::open(path)?;
            let name = path.display().to_string();
            return Ok(Subject { name, file: opened.file, source: Box::new(opened.source) });
        }
        let name = arguments.shape.as_deref().unwrap_or_default();
        let Some(config) = shape(name) else {
            bail!("there is no shape {name}; there are {}", SHAPES.join(", "));
        };
        let synthetic = Synthetic::new(config, arguments.format);
        let name = format!("{name} {}", arguments.format.format().name());
        Ok(Subject { name, file: synthetic.file.clone(), source: Box::new(synthetic) })
    }
}

/// Runs the command.
pub fn run_command(arguments: &Arguments) -> Result<()> {
    let mut subject = Subject::of(arguments)?;
    let clock = StdClock::new();
    let cpu = match arguments.isa {
        Some(widest) => Cpu::detect().limited_to(widest),
        None => Cpu::detect(),
    };
    let context = subject.file.config.context.min(arguments.prefill.max(arguments.decode).max(1));
    let counts = match arguments.threads.as_slice() {
        [] if physical_cores() == 1 => vec![1],
        [] => vec![1, physical_cores()],
        counts => counts.to_vec(),
    };
    let weights = weight_bytes(&subject.file);
    let mut results = Vec::new();
    let mut instructions = cpu.widest();
    for count in counts {
        let threads = Threads::start(count)?;
        let start = clock.now();
        let (file, source) = (&subject.file, &mut *subject.source);
        let progress = &mut |_| ControlFlow::Continue(());
        let model = Model::load_for(cpu, threads.cores(), file, source, context, progress);
        let model = model.with_context(|| subject.name.clone())?;
        let load = Load { seconds: (clock.now() - start).as_secs_f64(), bytes: tensor_bytes(file) };
        instructions = model.isa();
        let limits = Limits::measure(threads.cores(), cpu, &clock)
            .context("there are no 256 MiB of memory to measure with")?;
        let work = Work {
            prefill: arguments.prefill.min(context),
            decode: arguments.decode.min(context),
            times: arguments.times.max(1),
            kv_format: arguments.kv,
        };
        let measured = run(&model, threads.cores(), &clock, work)?;
        results.push((count, load, limits, measured));
    }
    if arguments.json {
        let runs: Vec<Value> = results.iter().map(|run| as_json(run, weights)).collect();
        let all = json!({
            "model": subject.name,
            "parameters": subject.file.parameters(),
            "weight_bytes_a_token": weights,
            "instructions": instructions.name(),
            "kv_cache": arguments.kv.name(),
            "prefill_tokens": arguments.prefill.min(context),
            "decode_tokens": arguments.decode.min(context),
            "runs": runs,
        });
        println!("{all:#}");
        return Ok(());
    }
    println!(
        "{}: {} parameters, {:.1} MB of weights a token",
        subject.name,
        subject.file.parameters(),
        weights as f64 / 1e6
    );
    println!("{instructions}, KV cache in {}", arguments.kv.name());
    for run in &results {
        show(run, weights, &subject.file);
    }
    Ok(())
}

/// How loading went.
struct Load {
    seconds: f64,
    /// Bytes that were read.
    bytes: u64,
}

impl Load {
    fn bytes_a_second(&self) -> f64 {
        self.bytes as f64 / self.seconds.max(1e-9)
    }
}

/// Cores, and what was measured with them.
type Run = (usize, Load, Limits, Measured);

/// Bytes of all tensors in the file.
fn tensor_bytes(file: &ModelFile) -> u64 {
    file.tensors().iter().map(bootllm_model_file::Tensor::bytes).sum()
}

/// Bytes of weights that a token needs: all matrices once, but of the embedding only a row.
fn weight_bytes(file: &ModelFile) -> u64 {
    let shared = file.config.shared_classifier;
    let read = |tensor: &&bootllm_model_file::Tensor| {
        !tensor.part.is_norm()
            && (shared || tensor.part != bootllm_model_file::Part::TokenEmbedding)
    };
    let matrices = file.tensors().iter().filter(read);
    matrices.filter_map(|tensor| tensor.shape.packed_bytes()).map(|bytes| bytes as u64).sum()
}

fn as_json((threads, load, limits, measured): &Run, weights: u64) -> Value {
    let stages = |times: &bootllm_engine::Times| -> Value {
        let total = times.total().as_secs_f64().max(1e-12);
        let share =
            |stage: Stage| (stage.name().into(), (times.of(stage).as_secs_f64() / total).into());
        Value::Object(Stage::ALL.into_iter().map(share).collect())
    };
    json!({
        "threads": threads,
        "load_seconds": load.seconds,
        "load_bytes_a_second": load.bytes_a_second(),
        "read_bytes_a_second": limits.bytes,
        "integer_products_a_second": limits.products,
        "prefill_tokens_a_second": median(&measured.prefill),
        "decode_tokens_a_second": median(&measured.decode),
        "decode_share_of_bandwidth": median(&measured.decode) * weights as f64 / limits.bytes,
        "prefill_all": measured.prefill,
        "decode_all": measured.decode,
        "prefill_stages": stages(&measured.prefill_times),
        "decode_stages": stages(&measured.decode_times),
    })
}

fn show((threads, load, limits, measured): &Run, weights: u64, file: &ModelFile) {
    let (prefill, decode) = (median(&measured.prefill), median(&measured.decode));
    let bytes = decode * weights as f64;
    let products = prefill * file.parameters() as f64;
    println!("\n{threads} {}", if *threads == 1 { "core" } else { "cores" });
    println!(
        "  memory gives {:.1} GB/s, arithmetic {:.0} G int8 products/s",
        limits.bytes / 1e9,
        limits.products / 1e9
    );
    println!(
        "  load     {:9.3} s      {:6.2} GB/s of the file",
        load.seconds,
        load.bytes_a_second() / 1e9
    );
    println!("  prefill  {prefill:9.1} tok/s  {:6.0} G products/s", products / 1e9);
    println!(
        "  decode   {decode:9.1} tok/s  {:6.1} GB/s, {:.0} % of what memory gives",
        bytes / 1e9,
        100.0 * bytes / limits.bytes
    );
    println!("  {:28} {:>8} {:>8}", "share of time", "prefill", "decode");
    let (all_prefill, all_decode) = (measured.prefill_times.total(), measured.decode_times.total());
    for stage in Stage::ALL {
        let share = |of: std::time::Duration, all: std::time::Duration| {
            100.0 * of.as_secs_f64() / all.as_secs_f64().max(1e-12)
        };
        println!(
            "  {:28} {:6.1} % {:6.1} %",
            stage.name(),
            share(measured.prefill_times.of(stage), all_prefill),
            share(measured.decode_times.of(stage), all_decode)
        );
    }
}
