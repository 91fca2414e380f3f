//! `bootllm-train fit`: train a model.

mod advice;
mod progress;

use crate::commands::next;
use advice::DataAdvice;
use progress::ProgressDisplay;

use anyhow::{Context, Result, bail, ensure};
use bootllm_host::{eprint_line, open};
use bootllm_model_file::Config;
use bootllm_tokenizer::Tokenizer;
use bootllm_train::backend::Device;
use bootllm_train::checkpoint;
use bootllm_train::corpus::Corpus;
use bootllm_train::data_loader::{DataLoader, Documents, LoaderPosition};
use bootllm_train::error::TrainError;
use bootllm_train::fit::{BEST, Run, RunEnd, RunSettings, TOKENIZER};
use bootllm_train::network::Network;
use bootllm_train::optimizer::{self, OptimizerSettings};
use bootllm_train::parameters::{Parameters, count};
use bootllm_train::shape::{PRESETS, Preset, Shape};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Evaluations in a row without a lower held-out loss after which a run stops.
const PATIENCE: u64 = 5;

/// Data, model, optimizer and length of a run.
#[derive(Args)]
pub struct Arguments {
    /// The folder of the corpus, made by `bootllm-train data`
    #[arg(required_unless_present = "resume")]
    corpus: Option<PathBuf>,
    /// The folder of the run, which `fit` makes
    #[arg(required_unless_present = "resume")]
    run: Option<PathBuf>,
    /// Continue the run in this folder with the settings that it was started with
    #[arg(long, value_name = "RUN", conflicts_with_all = ["corpus", "run"])]
    resume: Option<PathBuf>,
    /// Fine-tune: start from the weights of this model instead of random ones
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["preset", "dim", "layers", "heads", "kv_heads", "hidden"])]
    from: Option<PathBuf>,
    /// The tokenizer [default: with --from the model's own, else the corpus's]
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    shape: ShapeArguments,
    /// Optimizer steps [default: enough for --epochs]
    #[arg(long, conflicts_with = "epochs")]
    steps: Option<u64>,
    /// Passes over the corpus
    #[arg(long, default_value_t = 4.0)]
    epochs: f64,
    /// Tokens per batch
    #[arg(long, default_value_t = 4096)]
    batch_tokens: usize,
    /// Batches whose gradients are accumulated per step, where memory is too small for one large
    /// batch
    #[arg(long, default_value_t = 1)]
    accumulate: u64,
    /// The optimizer
    #[arg(long, value_enum, default_value = "adamw")]
    optimizer: Optimizer,
    /// The peak learning rate
    #[arg(long, default_value_t = 2e-3)]
    rate: f32,
    /// Steps in which the learning rate rises to its peak
    #[arg(long, default_value_t = 100)]
    warm_up: u64,
    /// The learning rate of the last step, as a share of the peak
    #[arg(long, default_value_t = 0.03)]
    final_rate: f32,
    /// Weight decay
    #[arg(long, default_value_t = 0.1)]
    decay: f32,
    /// AdamW's decay of the first moment
    #[arg(long, default_value_t = 0.9)]
    beta1: f32,
    /// AdamW's decay of the second moment
    #[arg(long, default_value_t = 0.95)]
    beta2: f32,
    /// The global norm to which gradients are clipped
    #[arg(long, default_value_t = 1.0)]
    clip: f32,
    /// The dropout rate
    #[arg(long, default_value_t = 0.0)]
    dropout: f32,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps between evaluations of the held-out text
    #[arg(long, default_value_t = 250)]
    evaluate_every: u64,
    /// Stop after this many evaluations in a row without a lower held-out loss; 0 runs all steps
    /// [default: 5; with --resume what the run was started with]
    #[arg(long, value_name = "EVALUATIONS")]
    patience: Option<u64>,
    /// The prompt of the samples
    #[arg(long, default_value = "")]
    prompt: String,
    /// CPU threads [default: one per core]
    #[arg(long)]
    threads: Option<usize>,
    /// cpu, or a GPU: gpu, gpu:1 and so on; `burn` runs the GPU's code on the CPU, slowly, to test
    /// it
    #[arg(long, default_value = "cpu")]
    device: Device,
}

#[derive(Clone, Copy, ValueEnum)]
enum Optimizer {
    /// AdamW (Loshchilov and Hutter), as in llama2.c
    #[value(name = "adamw")]
    AdamW,
    /// Muon (Jordan) for the matrices within layers, which learns more per step; AdamW for the rest
    Muon,
}

impl Optimizer {
    fn method(self) -> optimizer::Method {
        match self {
            Optimizer::AdamW => optimizer::Method::AdamW,
            Optimizer::Muon => optimizer::Method::Muon,
        }
    }
}

/// The hyperparameters of the model: a preset, and what differs from it.
#[derive(Args)]
pub struct ShapeArguments {
    /// nano, story, or llama2.c's 260K, 15M, 42M, 110M
    #[arg(long, default_value = "nano")]
    preset: String,
    /// The embedding dimension
    #[arg(long)]
    dim: Option<usize>,
    /// Layers
    #[arg(long)]
    layers: Option<usize>,
    /// Query heads
    #[arg(long)]
    heads: Option<usize>,
    /// Key and value heads
    #[arg(long)]
    kv_heads: Option<usize>,
    /// The feed-forward dimension
    #[arg(long)]
    hidden: Option<usize>,
    /// The context length in tokens
    #[arg(long)]
    context: Option<usize>,
    /// Train an output projection of its own instead of tying it to the token embedding
    #[arg(long)]
    untied: bool,
}

impl ShapeArguments {
    /// The preset.
    pub fn preset(&self) -> Result<&'static Preset> {
        let found = PRESETS.iter().find(|preset| preset.name.eq_ignore_ascii_case(&self.preset));
        found.with_context(|| {
            let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
            TrainError::UnknownPreset { name: self.preset.clone(), known: names.join(", ") }
        })
    }

    /// The shape with a vocabulary of `vocab_size` tokens.
    pub fn shape(&self, vocab_size: usize) -> Result<Shape> {
        let base = self.preset()?.shape;
        Ok(Shape {
            dim: self.dim.unwrap_or(base.dim),
            layers: self.layers.unwrap_or(base.layers),
            heads: self.heads.unwrap_or(base.heads),
            kv_heads: self.kv_heads.unwrap_or(base.kv_heads),
            hidden_dim: self.hidden.unwrap_or(base.hidden_dim),
            context: self.context.unwrap_or(base.context),
            vocab_size,
            tied_embeddings: base.tied_embeddings && !self.untied,
        })
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(threads) = arguments.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().context("--threads")?;
    }
    let mut run = match &arguments.resume {
        Some(folder) => resume(folder, arguments)?,
        None => begin(arguments)?,
    };
    describe(&run);
    if arguments.resume.is_none() && arguments.from.is_none() {
        DataAdvice::new(run.settings(), run.documents().0).show();
    }
    let mut display = ProgressDisplay::new(run.settings(), run.folder());
    let end = run.run(&mut |event| display.show(&event));
    display.clear();
    conclude(&run, end?);
    Ok(())
}

/// Says why the run ended, which model is the best, and what to do with it.
fn conclude(run: &Run, end: RunEnd) {
    let (settings, progress, folder) = (run.settings(), run.progress(), run.folder());
    if end == RunEnd::NoImprovement {
        let resume = next::own("fit --patience 0 --resume", &[folder]);
        eprint_line(&format!(
            "Stopped after step {} of {}: {} evaluations without a lower held-out loss. To run the \
             remaining steps: {resume}",
            progress.step, settings.steps, progress.evaluations_since_best
        ));
    }
    let model = folder.join(BEST);
    let of = match (progress.best_step, progress.best) {
        (Some(step), Some(loss)) => format!(" (step {step}, held-out loss {loss:.4})"),
        (Some(step), None) => format!(" (step {step})"),
        (None, _) => String::new(),
    };
    eprint_line(&format!("Best model: {}{of}", model.display()));
    let file = exported(folder);
    next::show(&[
        next::own("export", &[folder, &file]),
        next::line("cargo xtask run --model", &[&file]),
    ]);
}

/// Where to export a run's model: beside its folder, under the same name.
fn exported(folder: &Path) -> PathBuf {
    match folder.file_name() {
        Some(name) => folder.with_file_name(format!("{}.bin", name.to_string_lossy())),
        // `.` or `..`
        None => folder.join("exported.bin"),
    }
}

fn resume(folder: &Path, arguments: &Arguments) -> Result<Run> {
    let path = folder.join(checkpoint::NAME);
    ensure!(path.exists(), TrainError::NoRun(folder.to_owned()));
    let mut checkpoint = checkpoint::read(&path)?;
    if let Some(patience) = arguments.patience {
        checkpoint.settings.patience = limit(patience);
    }
    let tokenizer = folder.join(TOKENIZER);
    let vocab_size = checkpoint.settings.shape.vocab_size;
    let tokenizer = bootllm_host::read_tokenizer(&tokenizer, vocab_size)?;
    let documents = encoded(&Corpus::read(&checkpoint.settings.corpus)?, &tokenizer);
    Run::resume(folder, arguments.device, checkpoint, tokenizer, documents)
}

fn begin(arguments: &Arguments) -> Result<Run> {
    let (Some(corpus), Some(folder)) = (&arguments.corpus, &arguments.run) else {
        bail!("give the folder of a corpus and a folder for the run");
    };
    check(arguments)?;
    let texts = Corpus::read(corpus)?;
    let (shape, weights, tokenizer) = match &arguments.from {
        Some(model) => fine_tuned(arguments, model)?,
        None => fresh(arguments, corpus)?,
    };
    let documents = encoded(&texts, &tokenizer);
    let Arguments { batch_tokens, accumulate, seed, epochs, .. } = *arguments;
    let steps = arguments.steps.unwrap_or_else(|| {
        let start = LoaderPosition::default();
        let loader = DataLoader::new(&documents.0, shape.context, batch_tokens, seed, start);
        loader.batches_in(epochs).div_ceil(accumulate)
    });
    let settings = RunSettings {
        shape,
        corpus: corpus.canonicalize()?,
        steps,
        batch_tokens,
        accumulate,
        optimizer: OptimizerSettings {
            method: arguments.optimizer.method(),
            rate: arguments.rate,
            warm_up: arguments.warm_up,
            final_rate: arguments.final_rate,
            decay: arguments.decay,
            beta1: arguments.beta1,
            beta2: arguments.beta2,
            clip: arguments.clip,
        },
        dropout: arguments.dropout,
        seed,
        evaluate_every: arguments.evaluate_every,
        prompt: arguments.prompt.clone(),
        patience: limit(arguments.patience.unwrap_or(PATIENCE)),
    };
    Run::begin(folder, settings, arguments.device, weights, tokenizer, documents)
}

/// The patience that a number on the command line means.
fn limit(patience: u64) -> Option<u64> {
    (patience > 0).then_some(patience)
}

/// Checks the ranges of the options.
fn check(arguments: &Arguments) -> Result<()> {
    let unit = 0.0..1.0;
    ensure!(
        unit.contains(&arguments.dropout),
        TrainError::option("dropout", "at least 0 and below 1")
    );
    ensure!(unit.contains(&arguments.beta1), TrainError::option("beta1", "at least 0 and below 1"));
    ensure!(unit.contains(&arguments.beta2), TrainError::option("beta2", "at least 0 and below 1"));
    ensure!(
        (0.0..=1.0).contains(&arguments.final_rate),
        TrainError::option("final-rate", "from 0 to 1")
    );
    for (name, value) in [("rate", arguments.rate), ("clip", arguments.clip)] {
        ensure!(value > 0.0 && value.is_finite(), TrainError::option(name, "above 0"));
    }
    ensure!(
        arguments.decay >= 0.0 && arguments.decay.is_finite(),
        TrainError::option("decay", "at least 0")
    );
    let epochs = arguments.epochs;
    ensure!(
        epochs > 0.0 && epochs <= 1000.0,
        TrainError::option("epochs", "above 0 and at most 1000")
    );
    for (name, value) in [
        ("batch-tokens", arguments.batch_tokens as u64),
        ("accumulate", arguments.accumulate),
        ("steps", arguments.steps.unwrap_or(1)),
        ("evaluate-every", arguments.evaluate_every),
    ] {
        ensure!(value > 0, TrainError::option(name, "at least 1"));
    }
    Ok(())
}

/// Random weights, and the corpus's tokenizer.
fn fresh(arguments: &Arguments, corpus: &Path) -> Result<(Shape, Parameters, Tokenizer)> {
    let own = corpus.join("tokenizer.bin");
    let path = arguments.tokenizer.as_deref().unwrap_or(&own);
    let bytes = std::fs::read(path).with_context(|| TrainError::NoTokenizer {
        path: path.to_owned(),
        corpus: corpus.to_owned(),
    })?;
    let tokenizer = Tokenizer::from_bytes(&bytes).with_context(|| path.display().to_string())?;
    let shape = arguments.shape.shape(tokenizer.len())?;
    let config = checked(&shape, arguments)?;
    Ok((shape, Parameters::random(&config, arguments.seed), tokenizer))
}

/// The weights and the tokenizer of a model.
fn fine_tuned(arguments: &Arguments, model: &Path) -> Result<(Shape, Parameters, Tokenizer)> {
    let name = || model.display().to_string();
    let mut opened = open(model)?;
    let tokenizer = opened.tokenizer(arguments.tokenizer.as_deref())?;
    let config = Config::of(&opened.file)?;
    let mut shape = Shape::from(&config);
    ensure!(shape.config() == config, TrainError::NotLlama2c(model.to_owned()));
    tokenizer.check_llama2c().with_context(name)?;
    if let Some(context) = arguments.shape.context {
        ensure!(
            context <= shape.context,
            TrainError::ContextTooLong { path: model.to_owned(), context: shape.context }
        );
        shape.context = context;
    }
    checked(&shape, arguments)?;
    let mut weights = Parameters::read(&opened.file, &mut opened.source).with_context(name)?;
    weights.set_context(shape.context);
    Ok((shape, weights, tokenizer))
}

/// Checks that the shape is valid and that training it fits into this machine's memory.
fn checked(shape: &Shape, arguments: &Arguments) -> Result<Config> {
    let config = shape.config();
    config.validate()?;
    let batch_tokens = arguments.batch_tokens;
    // Weights, gradients and two moments.
    let weights = (count(&config) as u64).saturating_mul(4 * 4);
    // Burn allocates activations in the memory of its device.
    let network = match arguments.device {
        Device::Cpu => Network::bytes(&config, batch_tokens),
        Device::Gpu(_) | Device::Burn => 0,
    };
    let needed = weights.saturating_add(network);
    let available = bootllm_host::memory_available().unwrap_or(u64::MAX);
    if needed > available {
        bail!(TrainError::OutOfMemory { batch_tokens, needed, available });
    }
    Ok(config)
}

/// Encodes the training documents and the held-out ones.
fn encoded(corpus: &Corpus, tokenizer: &Tokenizer) -> (Documents, Documents) {
    let documents = |texts: &[String]| Documents::new(texts, tokenizer);
    (documents(&corpus.train), documents(&corpus.held_out))
}

fn describe(run: &Run) {
    let (settings, (train, held_out)) = (run.settings(), run.documents());
    let shape = &settings.shape;
    eprint_line(&format!(
        "{} parameters: dim {}, {} layers, {} heads, {} kv heads, hidden {}, vocabulary {}, context {}",
        bootllm_units::count(count(&shape.config()) as u64),
        shape.dim,
        shape.layers,
        shape.heads,
        shape.kv_heads,
        shape.hidden_dim,
        shape.vocab_size,
        shape.context
    ));
    eprint_line(&format!(
        "{} tokens to train on, {} held out",
        bootllm_units::count(train.tokens() as u64),
        bootllm_units::count(held_out.tokens() as u64)
    ));
    eprint_line(&format!(
        "step {} of {}, up to {} tokens per step, on {}",
        run.progress().step,
        settings.steps,
        settings.batch_tokens as u64 * settings.accumulate,
        run.computes_on()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_exported_beside_their_runs() {
        for (folder, file) in [
            ("target/train/run", "target/train/run.bin"),
            ("run/", "run.bin"),
            ("v1.2", "v1.2.bin"),
            (".", "./exported.bin"),
        ] {
            assert_eq!(exported(Path::new(folder)), Path::new(file));
        }
    }
}
