//! `bootllm bench`: how fast a model runs here, and how fast it could.

use crate::arguments::{Arithmetic, threads};
use anyhow::{Context, Result, bail};
use bootllm_bench::{Limits, Measured, SHAPES, Synthetic, Work, median, run, shape};
use bootllm_engine::{Model, Stage};
use bootllm_host::{StdClock, Threads, physical_cores};
use bootllm_model_file::ModelFile;
use bootllm_platform::{Clock, ReadAt};
use bootllm_quant::Encoding;
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
    #[command(flatten)]
    arithmetic: Arithmetic,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn encoding(name: &str) -> Result<Encoding, String> {
    let known = Encoding::IN_GGUF.into_iter().find(|encoding| encoding.format().name() == name);
    known.ok_or_else(|| "it must be f32, f16, bf16, q8_0 or q4_0".into())
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
    let (cpu, kv_format) = (arguments.arithmetic.cpu(), arguments.arithmetic.kv);
    let context = subject.file.config.context.min(arguments.prefill.max(arguments.decode).max(1));
    let start = clock.now();
    let model = Model::load_for(cpu, &subject.file, &mut *subject.source, context, &mut |_| {
        ControlFlow::Continue(())
    });
    let model = model.with_context(|| subject.name.clone())?;
    let load = (clock.now() - start).as_secs_f64();
    let counts = match arguments.threads.as_slice() {
        [] if physical_cores() == 1 => vec![1],
        [] => vec![1, physical_cores()],
        counts => counts.to_vec(),
    };
    let weights = weight_bytes(&subject.file);
    let mut results = Vec::new();
    for count in counts {
        let threads = Threads::start(count)?;
        let limits = Limits::measure(threads.cores(), cpu, &clock)
            .context("there are no 256 MiB of memory to measure with")?;
        let work = Work {
            prefill: arguments.prefill.min(context),
            decode: arguments.decode.min(context),
            times: arguments.times.max(1),
            kv_format,
        };
        let measured = run(&model, threads.cores(), &clock, work)?;
        results.push((count, limits, measured));
    }
    if arguments.json {
        let runs: Vec<Value> = results.iter().map(|run| as_json(run, weights)).collect();
        let all = json!({
            "model": subject.name,
            "parameters": subject.file.parameters(),
            "weight_bytes_a_token": weights,
            "instructions": model.isa().name(),
            "kv_cache": kv_format.name(),
            "load_seconds": load,
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
    println!("{}, KV cache in {}, loaded in {load:.2} s", model.isa(), kv_format.name());
    for run in &results {
        show(run, weights, &subject.file);
    }
    Ok(())
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

fn as_json((threads, limits, measured): &(usize, Limits, Measured), weights: u64) -> Value {
    let stages = |times: &bootllm_engine::Times| -> Value {
        let total = times.total().as_secs_f64().max(1e-12);
        let share =
            |stage: Stage| (stage.name().into(), (times.of(stage).as_secs_f64() / total).into());
        Value::Object(Stage::ALL.into_iter().map(share).collect())
    };
    json!({
        "threads": threads,
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

fn show((threads, limits, measured): &(usize, Limits, Measured), weights: u64, file: &ModelFile) {
    let (prefill, decode) = (median(&measured.prefill), median(&measured.decode));
    let bytes = decode * weights as f64;
    let products = prefill * file.parameters() as f64;
    println!("\n{threads} {}", if *threads == 1 { "core" } else { "cores" });
    println!(
        "  memory gives {:.1} GB/s, arithmetic {:.0} G int8 products/s",
        limits.bytes / 1e9,
        limits.products / 1e9
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
