//! `bootllm bench`: how fast a model runs here, and how fast it could.

use crate::arguments::{Arithmetic, encoding, encoding_names, positive, shape, threads};
use anyhow::{Context, Result, anyhow, ensure};
use bootllm_bench::{
    BenchProgress, BenchReport, BenchRun, Limits, OnProgress, SHAPES, Synthetic, Workload,
    measure_speed, memory_needed,
};
use bootllm_engine::{Loading, Memory, Model, Plan, Stage, Times, cpu_after_self_test};
use bootllm_host::{ProgressBar, StdClock, Threads, ensure_memory, physical_cores, print_line};
use bootllm_platform::{Clock, ReadAt};
use bootllm_quant::Encoding;
use bootllm_simd::Cpu;
use bootllm_units::cores_phrase;
use clap::Args;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What is measured.
#[derive(Args)]
pub struct Arguments {
    /// A model file, or the name of one in models/ or target/models/
    #[arg(required_unless_present = "shape")]
    model: Option<PathBuf>,
    #[arg(long, conflicts_with = "model", help = shape_help())]
    shape: Option<String>,
    #[arg(long, default_value = "q8_0", value_parser = encoding, conflicts_with = "model", help = format_help())]
    format: Encoding,
    /// Tokens of the prompt; at most the context
    #[arg(long, default_value_t = 256)]
    prefill: usize,
    /// Tokens to decode; at most the context
    #[arg(long, default_value_t = 64)]
    decode: usize,
    /// Repetitions; the means and standard deviations are shown
    #[arg(long, default_value_t = 5, value_parser = positive)]
    times: usize,
    /// Threads to compute with; several counts are measured in turn [default: 1 and one per core]
    #[arg(long, value_delimiter = ',', value_parser = threads)]
    threads: Vec<usize>,
    #[command(flatten)]
    arithmetic: Arithmetic,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn shape_help() -> String {
    format!("Instead of a file, an untrained model of this shape: {}", SHAPES.join(", "))
}

fn format_help() -> String {
    format!("With --shape: the weight format, one of {}", encoding_names())
}

/// A model to measure: from a file, or synthetic.
struct Subject {
    name: String,
    plan: Arc<Plan>,
    source: Box<dyn ReadAt>,
}

impl Subject {
    fn of(arguments: &Arguments) -> Result<Self> {
        if let Some(path) = &arguments.model {
            let opened = bootllm_host::open(path)?;
            let name = opened.path.display().to_string();
            return Ok(Subject { name, plan: opened.plan()?, source: Box::new(opened.source) });
        }
        let name = arguments.shape.as_deref().unwrap_or_default();
        let config = shape(name).map_err(|known| anyhow!("there is no shape {name}; {known}"))?;
        let synthetic = Synthetic::new(&config, arguments.format);
        let plan = Arc::new(Plan::new(synthetic.file.clone())?);
        let name = format!("{name} {}", arguments.format.name());
        Ok(Subject { name, plan, source: Box::new(synthetic) })
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { prefill, decode, times: repetitions, .. } = *arguments;
    ensure!(prefill.max(decode) > 0, "there is nothing to measure with 0 tokens");
    let mut subject = Subject::of(arguments)?;
    let (cpu, kv_format) =
        (cpu_after_self_test(arguments.arithmetic.cpu()), arguments.arithmetic.kv);
    let context = subject.plan.shape().context.min(prefill.max(decode));
    let (prefill, decode) = (prefill.min(context), decode.min(context));
    let workload = Workload { prefill, decode, repetitions, enough: Duration::MAX, kv_format };
    let needed = subject.plan.memory(context, kv_format);
    let activations = memory_needed(&subject.plan, context, kv_format);
    ensure_memory(&Memory { activations, kv_cache: 0, ..needed })
        .with_context(|| subject.name.clone())?;
    let counts = match arguments.threads.as_slice() {
        [] if physical_cores() == 1 => vec![1],
        [] => vec![1, physical_cores()],
        counts => counts.to_vec(),
    };
    let mut runs = Vec::new();
    for cores in counts {
        let mut bar = ProgressBar::new("loading");
        let run = measure(&mut subject, cores, cpu, context, workload, &mut bar);
        bar.clear();
        runs.push(run?);
    }
    if arguments.json {
        let runs: Vec<Value> = runs.iter().map(|run| as_json(run, &subject.plan)).collect();
        let all = json!({
            "model": subject.name,
            "parameters": subject.plan.file().parameters(),
            "weight_bytes_per_token": subject.plan.weight_bytes_per_token(),
            "instructions": cpu.widest().name(),
            "kv_cache": kv_format.name(),
            "prefill_tokens": prefill,
            "decode_tokens": decode,
            "runs": runs,
        });
        return print_line(&format!("{all:#}"));
    }
    let (name, plan) = (subject.name.as_str(), &*subject.plan);
    let report = BenchReport { name, plan, isa: cpu.widest(), workload };
    let rows: String = runs.iter().map(|run| report.row(run).to_string()).collect();
    let details = runs.last().map(|run| report.details(run).to_string()).unwrap_or_default();
    print_line(format!("{report}{rows}{details}").trim_end())
}

/// Loads a model with this many cores and measures it, with progress in `bar`.
fn measure(
    subject: &mut Subject,
    cores: usize,
    cpu: Cpu,
    context: usize,
    workload: Workload,
    bar: &mut ProgressBar,
) -> Result<BenchRun> {
    let threads = Threads::start(cores)?;
    let clock = StdClock::new();
    let (plan, source) = (&subject.plan, &mut *subject.source);
    let progress = &mut |loading: Loading| {
        bar.show(loading.done, loading.total, clock.now());
        ControlFlow::Continue(())
    };
    let model = Model::load_for(cpu, plan, source, threads.cores(), context, progress);
    let model = model.with_context(|| subject.name.clone())?;
    let load = Some(clock.now());
    let cores_text = cores_phrase(cores);
    let on_progress: OnProgress<'_> = &mut |progress| {
        match progress {
            BenchProgress::Begun { phase, repetition, repetitions } => {
                let what = format!("{cores_text}: {phase}, {repetition} of {repetitions}");
                bar.switch_to(what, clock.now());
            }
            BenchProgress::Fed { done, total } => bar.show_tokens(done, total, clock.now()),
        }
        ControlFlow::Continue(())
    };
    let limits = Limits::measure(threads.cores(), cpu, &clock, on_progress)?;
    let speeds = measure_speed(&model, threads.cores(), &clock, workload, on_progress)?;
    Ok(BenchRun { cores, load, limits, speeds })
}

/// A run as JSON. What was not measured is `null`.
fn as_json(run: &BenchRun, plan: &Plan) -> Value {
    let BenchRun { cores, load, limits, speeds } = run;
    let load = load.map(|time| time.as_secs_f64()).filter(|&seconds| seconds > 0.0);
    let prefill = speeds.prefill.mean();
    let stages = |times: &Times| -> Value {
        let total = times.total().as_secs_f64().max(1e-12);
        let share =
            |stage: Stage| (stage.name().into(), (times.of(stage).as_secs_f64() / total).into());
        Value::Object(Stage::ALL.into_iter().map(share).collect())
    };
    json!({
        "threads": cores,
        "load_seconds": load,
        "load_bytes_per_second": load.map(|seconds| plan.file().tensor_bytes() as f64 / seconds),
        "read_bytes_per_second": limits.bandwidth,
        "integer_products_per_second": limits.throughput,
        "prefill_tokens_per_second": prefill,
        "prefill_deviation": speeds.prefill.deviation(),
        "decode_tokens_per_second": speeds.decode.mean(),
        "decode_deviation": speeds.decode.deviation(),
        "decode_share_of_bandwidth": run.bandwidth_share(plan),
        "prefill_products_per_second":
            prefill.map(|speed| speed * plan.products_per_prompt_token() as f64),
        "prefill_share_of_peak": run.throughput_share(plan),
        "prefill_all": speeds.prefill.0,
        "decode_all": speeds.decode.0,
        "decode_ticks_per_token": speeds.decode_ticks.mean(),
        "prefill_stages": stages(&speeds.prefill_times),
        "decode_stages": stages(&speeds.decode_times),
    })
}
