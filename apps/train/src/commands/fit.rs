//! `bootllm-train fit`: train a model.

use anyhow::{Context, Result, bail, ensure};
use bootllm_host::{open, remark};
use bootllm_model_file::Config;
use bootllm_tokenizer::Tokenizer;
use bootllm_train::backend::Device;
use bootllm_train::corpus::Corpus;
use bootllm_train::feed::{Documents, Feed, Position};
use bootllm_train::fit::{Event, Run, Settings, TOKENIZER};
use bootllm_train::network::Network;
use bootllm_train::parameters::{Parameters, count};
use bootllm_train::shape::{PRESETS, Preset, Shape};
use bootllm_train::{checkpoint, optimizer};
use clap::{Args, ValueEnum};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is trained on what, and how.
#[derive(Args)]
pub struct Arguments {
    /// The folder of the corpus, made by `bootllm-train data`
    #[arg(required_unless_present = "resume")]
    corpus: Option<PathBuf>,
    /// The folder of the run, to be made
    #[arg(required_unless_present = "resume")]
    run: Option<PathBuf>,
    /// Go on with the run in this folder, as it was begun
    #[arg(long, value_name = "RUN", conflicts_with_all = ["corpus", "run"])]
    resume: Option<PathBuf>,
    /// Begin from this model's weights (fine-tuning) instead of from nothing
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["preset", "dim", "layers", "heads", "kv_heads", "hidden"])]
    from: Option<PathBuf>,
    /// The tokenizer [default: with --from the one beside the model, else the corpus's]
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    shape: ShapeArguments,
    /// Updates of the weights [default: as many as --epochs asks for]
    #[arg(long, conflicts_with = "epochs")]
    steps: Option<u64>,
    /// How often the corpus is read
    #[arg(long, default_value_t = 4.0)]
    epochs: f64,
    /// Tokens that are computed at once
    #[arg(long, default_value_t = 4096)]
    batch_tokens: usize,
    /// Batches for each step, where the memory is too small for one of that size
    #[arg(long, default_value_t = 1)]
    accumulate: u64,
    /// How gradients become changes
    #[arg(long, value_enum, default_value = "adamw")]
    optimizer: Optimizer,
    /// The highest rate
    #[arg(long, default_value_t = 2e-3)]
    rate: f32,
    /// Steps in which the rate rises to it
    #[arg(long, default_value_t = 100)]
    warm_up: u64,
    /// The rate at the end, as a share of the highest
    #[arg(long, default_value_t = 0.03)]
    final_rate: f32,
    /// Decay of the weights
    #[arg(long, default_value_t = 0.1)]
    decay: f32,
    /// AdamW's decay of the mean of gradients
    #[arg(long, default_value_t = 0.9)]
    beta1: f32,
    /// AdamW's decay of the mean of their squares
    #[arg(long, default_value_t = 0.95)]
    beta2: f32,
    /// The norm to which gradients are clipped
    #[arg(long, default_value_t = 1.0)]
    clip: f32,
    /// The share of values that is dropped while training
    #[arg(long, default_value_t = 0.0)]
    dropout: f32,
    /// Where all randomness comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps between measurements of the held-out text
    #[arg(long, default_value_t = 250)]
    evaluate_every: u64,
    /// What the samples begin with
    #[arg(long, default_value = "")]
    prompt: String,
    /// Processor cores to use [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// What computes: cpu, or one GPU: gpu, gpu:1 and so on; `burn` is a slow check of the GPU's
    /// way on the processor
    #[arg(long, default_value = "cpu")]
    device: Device,
}

#[derive(Clone, Copy, ValueEnum)]
enum Optimizer {
    /// Loshchilov and Hutter's, which llama2.c uses
    #[value(name = "adamw")]
    AdamW,
    /// Jordan's for the matrices within layers, which learns more from a step; AdamW for the rest
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

/// The numbers of the architecture: a preset, and what is to differ from it.
#[derive(Args)]
pub struct ShapeArguments {
    /// A shape with a name: nano, story, or llama2.c's 260K, 15M, 42M, 110M
    #[arg(long, default_value = "nano")]
    preset: String,
    /// Values that stand for a token between layers
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
    /// Values inside a feed-forward block
    #[arg(long)]
    hidden: Option<usize>,
    /// Positions
    #[arg(long)]
    context: Option<usize>,
    /// Train a classifier of its own instead of using the token embedding twice
    #[arg(long)]
    separate_classifier: bool,
}

impl ShapeArguments {
    /// The preset that was named.
    pub fn preset(&self) -> Result<&'static Preset> {
        let found = PRESETS.iter().find(|preset| preset.name.eq_ignore_ascii_case(&self.preset));
        found.with_context(|| {
            let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
            format!("there is no preset \"{}\"; there are {}", self.preset, names.join(", "))
        })
    }

    /// The shape that was asked for, with a vocabulary.
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
            tied_embeddings: base.tied_embeddings && !self.separate_classifier,
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
        Some(folder) => resume(folder, arguments.device)?,
        None => begin(arguments)?,
    };
    describe(&run);
    let mut teller = Teller::new(run.settings().steps);
    let result = run.run(&mut |event| teller.tell(&event));
    teller.clear();
    result
}

fn resume(folder: &Path, device: Device) -> Result<Run> {
    let path = folder.join(checkpoint::NAME);
    let name = folder.display();
    ensure!(path.exists(), "{name}: there is no run in it; `fit CORPUS {name}` begins one");
    let checkpoint = checkpoint::read(&path)?;
    let tokenizer = folder.join(TOKENIZER);
    let vocab_size = checkpoint.settings.shape.vocab_size;
    let tokenizer = bootllm_host::read_tokenizer(&tokenizer, vocab_size)?;
    let documents = encoded(&Corpus::read(&checkpoint.settings.corpus)?, &tokenizer);
    Run::resume(folder, device, checkpoint, tokenizer, documents)
}

fn begin(arguments: &Arguments) -> Result<Run> {
    let (Some(corpus), Some(folder)) = (&arguments.corpus, &arguments.run) else {
        bail!("name the folder of a corpus and the folder of the run");
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
        let start = Position::default();
        let feed = Feed::new(&documents.0, shape.context, batch_tokens, seed, start);
        feed.batches_in(epochs).div_ceil(accumulate)
    });
    let settings = Settings {
        shape,
        corpus: corpus.canonicalize()?,
        steps,
        batch_tokens,
        accumulate,
        optimizer: optimizer::Settings {
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
    };
    Run::begin(folder, settings, arguments.device, weights, tokenizer, documents)
}

/// Refuses numbers with which nothing can be trained.
fn check(arguments: &Arguments) -> Result<()> {
    let unit = 0.0..1.0;
    ensure!(unit.contains(&arguments.dropout), "--dropout is a share, at least 0 and below 1");
    ensure!(unit.contains(&arguments.beta1), "--beta1 is at least 0 and below 1");
    ensure!(unit.contains(&arguments.beta2), "--beta2 is at least 0 and below 1");
    ensure!((0.0..=1.0).contains(&arguments.final_rate), "--final-rate is a share, 0 to 1");
    for (name, value) in [("rate", arguments.rate), ("clip", arguments.clip)] {
        ensure!(value > 0.0 && value.is_finite(), "--{name} is a number above 0");
    }
    ensure!(arguments.decay >= 0.0 && arguments.decay.is_finite(), "--decay is not below 0");
    let epochs = arguments.epochs;
    ensure!(epochs > 0.0 && epochs <= 1000.0, "--epochs is a number above 0, at most 1000");
    for (name, value) in [
        ("batch-tokens", arguments.batch_tokens as u64),
        ("accumulate", arguments.accumulate),
        ("steps", arguments.steps.unwrap_or(1)),
        ("evaluate-every", arguments.evaluate_every),
    ] {
        ensure!(value > 0, "--{name} is at least 1");
    }
    Ok(())
}

/// Weights to begin from, and the corpus's tokenizer.
fn fresh(arguments: &Arguments, corpus: &Path) -> Result<(Shape, Parameters, Tokenizer)> {
    let own = corpus.join("tokenizer.bin");
    let path = arguments.tokenizer.as_deref().unwrap_or(&own);
    let bytes = std::fs::read(path).with_context(|| {
        let corpus = corpus.display();
        format!("{}: no tokenizer; `bootllm-train tokenizer {corpus}` makes one", path.display())
    })?;
    let tokenizer = Tokenizer::read(&bytes).with_context(|| path.display().to_string())?;
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
    ensure!(
        shape.config() == config,
        "{}: its norms' epsilon or rope base are not llama2.c's, with which this trains",
        name()
    );
    tokenizer.check_llama2c().with_context(name)?;
    if let Some(context) = arguments.shape.context {
        ensure!(context <= shape.context, "{}: its context is {}", name(), shape.context);
        shape.context = context;
    }
    checked(&shape, arguments)?;
    let mut weights = Parameters::read(&opened.file, &mut opened.source).with_context(name)?;
    weights.set_context(shape.context);
    Ok((shape, weights, tokenizer))
}

/// A shape that a model can have and this machine can train.
fn checked(shape: &Shape, arguments: &Arguments) -> Result<Config> {
    let config = shape.config();
    config.validate()?;
    let batch_tokens = arguments.batch_tokens;
    // Weights, gradients and two moments.
    let weights = (count(&config) as u64).saturating_mul(4 * 4);
    // What Burn needs besides is in the memory of its device.
    let network = match arguments.device {
        Device::Cpu => Network::bytes(&config, batch_tokens),
        Device::Gpu(_) | Device::Burn => 0,
    };
    let needed = weights.saturating_add(network);
    let available = bootllm_host::memory_available().unwrap_or(u64::MAX);
    if needed > available {
        use bootllm_units::bytes;
        let (needed, available) = (bytes(needed), bytes(available));
        bail!(
            "training this shape with {batch_tokens} tokens at once needs {needed} of memory, this \
             machine has {available} free; take a smaller shape, or fewer --batch-tokens and \
             --accumulate"
        );
    }
    Ok(config)
}

/// The documents to train on and those held out, as tokens.
fn encoded(corpus: &Corpus, tokenizer: &Tokenizer) -> (Documents, Documents) {
    let documents = |texts: &[String]| Documents::new(texts, tokenizer);
    (documents(&corpus.train), documents(&corpus.held_out))
}

fn describe(run: &Run) {
    let settings = run.settings();
    let shape = &settings.shape;
    remark(&format!(
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
    remark(&format!(
        "step {} of {}, {} tokens a step, on {}",
        run.progress().step,
        settings.steps,
        settings.batch_tokens as u64 * settings.accumulate,
        run.computes_on()
    ));
}

/// A long time, as people say it.
fn roughly(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{} s", time.as_secs()),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Tells a person how it goes: a line that changes, where there is a terminal, and a lasting one
/// now and then.
struct Teller {
    steps: u64,
    is_terminal: bool,
    shown: Option<Instant>,
    lasting: Instant,
    loss: Option<f64>,
}

impl Teller {
    fn new(steps: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Teller { steps, is_terminal, shown: None, lasting: Instant::now(), loss: None }
    }

    fn tell(&mut self, event: &Event) {
        match event {
            Event::Step(entry, left) => {
                // A mean over the last steps, for each alone is noisy.
                let loss = self.loss.map_or(entry.loss, |loss| 0.95 * loss + 0.05 * entry.loss);
                self.loss = Some(loss);
                let left = left.map_or(String::new(), |left| format!(", {} left", roughly(left)));
                let line = format!(
                    "step {}/{}, epoch {:.2}, loss {loss:.3}, {:.0} tokens/s{left}",
                    entry.step, self.steps, entry.epoch, entry.tokens_per_second
                );
                self.show(&line);
            }
            Event::Evaluation(entry, sample) => {
                self.clear();
                if let Some(held_out) = entry.held_out {
                    remark(&format!(
                        "step {}: held-out loss {:.4}, {:.4} bits a byte",
                        entry.step, held_out.loss, held_out.bits
                    ));
                }
                let sample: String = sample.chars().take(400).collect();
                remark(&format!("  {}", sample.trim().replace('\n', "\n  ")));
            }
        }
    }

    fn show(&mut self, line: &str) {
        let since = |time: Instant| time.elapsed();
        if self.is_terminal && self.shown.is_none_or(|at| since(at) > Duration::from_millis(200)) {
            let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
            self.shown = Some(Instant::now());
        } else if !self.is_terminal && since(self.lasting) > Duration::from_secs(30) {
            remark(line);
            self.lasting = Instant::now();
        }
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
