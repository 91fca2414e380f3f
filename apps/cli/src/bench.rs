//! `bootllm bench`: how fast a model runs here, and how fast it could.

use crate::arguments::{Arithmetic, positive, shape, threads};
use anyhow::{Context, Result, anyhow, ensure};
use bootllm_bench::{
    Limits, Progress, Report, Run, Synthetic, Watch, Work, median, memory_needed, run,
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
    /// A model
    #[arg(required_unless_present = "shape")]
    model: Option<PathBuf>,
    /// In place of a model, one of this shape with weights that nobody trained: 260K, 15M, 42M,
    /// 110M, 1.1B
    #[arg(long, conflicts_with = "model")]
    shape: Option<String>,
    /// The format of its weights: f32, f16, bf16, q8_0, q4_0
    #[arg(long, default_value = "q8_0", value_parser = encoding, conflicts_with = "model")]
    format: Encoding,
    /// Tokens of the prompt, fed together; at most as many as the context holds
    #[arg(long, default_value_t = 256)]
    prefill: usize,
    /// Tokens one by one, likewise
    #[arg(long, default_value_t = 64)]
    decode: usize,
    /// How often each is measured; medians are shown
    #[arg(long, default_value_t = 5, value_parser = positive)]
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
    let known = Encoding::named(name);
    known.ok_or_else(|| "it must be f32, f16, bf16, q8_0 or q4_0".into())
}

/// A model to measure: a file, or none.
struct Subject {
    name: String,
    plan: Arc<Plan>,
    source: Box<dyn ReadAt>,
}

impl Subject {
    fn of(arguments: &Arguments) -> Result<Self> {
        if let Some(path) = &arguments.model {
            let opened = bootllm_host::open(path)?;
            let name = path.display().to_string();
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
pub fn run_command(arguments: &Arguments) -> Result<()> {
    let Arguments { prefill, decode, times, .. } = *arguments;
    ensure!(prefill.max(decode) > 0, "with no tokens there is nothing to measure");
    let mut subject = Subject::of(arguments)?;
    let (cpu, kv_format) =
        (cpu_after_self_test(arguments.arithmetic.cpu()), arguments.arithmetic.kv);
    let context = subject.plan.shape().context.min(prefill.max(decode));
    let (prefill, decode) = (prefill.min(context), decode.min(context));
    let work = Work { prefill, decode, times, enough: Duration::MAX, kv_format };
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
        let run = measure(&mut subject, cores, cpu, context, work, &mut bar);
        bar.clear();
        runs.push(run?);
    }
    if arguments.json {
        let runs: Vec<Value> = runs.iter().map(|run| as_json(run, &subject.plan)).collect();
        let all = json!({
            "model": subject.name,
            "parameters": subject.plan.file().parameters(),
            "weight_bytes_a_token": subject.plan.weight_bytes_per_token(),
            "instructions": cpu.widest().name(),
            "kv_cache": kv_format.name(),
            "prefill_tokens": prefill,
            "decode_tokens": decode,
            "runs": runs,
        });
        return print_line(&format!("{all:#}"));
    }
    let (name, plan) = (subject.name.as_str(), &*subject.plan);
    let report = Report { name, plan, isa: cpu.widest(), work };
    let runs: String = runs.iter().map(|run| report.of(run).to_string()).collect();
    print_line(format!("{report}{runs}").trim_end())
}

/// Loads a model with so many cores and measures it, and shows how far that is.
fn measure(
    subject: &mut Subject,
    cores: usize,
    cpu: Cpu,
    context: usize,
    work: Work,
    bar: &mut ProgressBar,
) -> Result<Run> {
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
    let of_cores = cores_phrase(cores);
    let watch: Watch<'_> = &mut |progress| {
        match progress {
            Progress::Begun { part, time, times } => {
                bar.go_over_to(format!("{of_cores}: {part}, {time} of {times}"), clock.now());
            }
            Progress::Fed { done, total } => bar.show_tokens(done, total, clock.now()),
        }
        ControlFlow::Continue(())
    };
    let limits = Limits::measure(threads.cores(), cpu, &clock, watch)?;
    let measured = run(&model, threads.cores(), &clock, work, watch)?;
    Ok(Run { cores, load, limits, measured })
}

fn as_json(run: &Run, plan: &Plan) -> Value {
    let Run { cores, load, limits, measured } = run;
    let load = load.map(|time| time.as_secs_f64());
    let (prefill, decode) = (median(&measured.prefill), median(&measured.decode));
    let stages = |times: &Times| -> Value {
        let total = times.total().as_secs_f64().max(1e-12);
        let share =
            |stage: Stage| (stage.name().into(), (times.of(stage).as_secs_f64() / total).into());
        Value::Object(Stage::ALL.into_iter().map(share).collect())
    };
    json!({
        "threads": cores,
        "load_seconds": load,
        "load_bytes_a_second": load.map(|seconds| plan.file().tensor_bytes() as f64 / seconds),
        "read_bytes_a_second": limits.bytes,
        "integer_products_a_second": limits.products,
        "prefill_tokens_a_second": prefill,
        "decode_tokens_a_second": decode,
        "decode_share_of_bandwidth": decode * plan.weight_bytes_per_token() as f64 / limits.bytes,
        "prefill_products_a_second": prefill * plan.products_per_prompt_token() as f64,
        "prefill_all": measured.prefill,
        "decode_all": measured.decode,
        "decode_ticks_a_token": median(&measured.decode_ticks),
        "prefill_stages": stages(&measured.prefill_times),
        "decode_stages": stages(&measured.decode_times),
    })
}
