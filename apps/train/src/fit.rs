//! A run: from weights and documents to better weights.
//!
//! Everything random follows from the seed, and sums are added in one order, so on the same machine
//! a run that was interrupted ends in the same weights as one that was not.

use crate::backend::{Backend, Device};
use crate::checkpoint::{self, Checkpoint};
use crate::feed::{Documents, Feed, Position};
use crate::log::{self, Entry, HeldOut};
use crate::ops::dropout::Dropout;
use crate::optimizer::{self, Moments};
use crate::parameters::Parameters;
use crate::sample;
use crate::shape::Shape;
use anyhow::{Context, Result, bail, ensure};
use bootllm_host::write_whole;
use bootllm_model_file::Version;
use bootllm_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The weights that foresaw the held-out text best, as a model that bootllm and llama2.c run.
pub const BEST: &str = "model.bin";
/// The run's tokenizer.
pub const TOKENIZER: &str = "model.tokenizer.bin";
/// What the model wrote at each evaluation.
pub const SAMPLES: &str = "samples.txt";

/// What a run is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The model's shape.
    pub shape: Shape,
    /// The folder of the corpus.
    pub corpus: PathBuf,
    /// Updates of the weights.
    pub steps: u64,
    /// Tokens that are computed at once, at most.
    pub batch_tokens: usize,
    /// Batches whose gradients are added for one step.
    pub accumulate: u64,
    /// The optimizer's settings.
    pub optimizer: optimizer::Settings,
    /// The share of values that is dropped.
    pub dropout: f32,
    /// Where all randomness comes from.
    pub seed: u64,
    /// Steps between measurements of the held-out part.
    pub evaluate_every: u64,
    /// What samples begin with.
    pub prompt: String,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Updates of the weights so far.
    pub step: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Where the next batch begins.
    pub position: Position,
    /// The lowest loss on the held-out part so far.
    pub best: Option<f64>,
    /// Which documents the run is about.
    pub fingerprint: u64,
}

/// What is told while a run goes on.
pub enum Event<'a> {
    /// A step was made; the time that is left is an estimate.
    Step(&'a Entry, Option<Duration>),
    /// The held-out part was measured, and this was written.
    Evaluation(&'a Entry, &'a str),
}

/// A run in its folder.
pub struct Run {
    folder: PathBuf,
    settings: Settings,
    progress: Progress,
    backend: Box<dyn Backend>,
    tokenizer: Arc<Tokenizer>,
    train: Documents,
    held_out: Documents,
    log: File,
}

/// Time between checkpoints; evaluations make one, too.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);

impl Run {
    /// Begins a run in a new folder.
    pub fn begin(
        folder: &Path,
        settings: Settings,
        device: Device,
        weights: Parameters,
        tokenizer: Tokenizer,
        (train, held_out): (Documents, Documents),
    ) -> Result<Self> {
        let name = folder.display();
        if folder.join(checkpoint::NAME).exists() {
            bail!(
                "{name}: there is a run in it; go on with `fit --resume {name}`, or name another \
                 folder"
            );
        }
        let moments = Moments::zeros(weights.config());
        let backend = device.open(weights, moments)?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {name}"))?;
        write_whole(&folder.join(TOKENIZER), |sink| Ok(sink.write_all(&tokenizer.write())?))?;
        let path = folder.join(log::NAME);
        write_whole(&path, |sink| Ok(writeln!(sink, "{}", log::HEADER)?))?;
        fs::write(folder.join(SAMPLES), "")?;
        let progress = Progress { fingerprint: train.fingerprint(), ..Progress::default() };
        let log = append(&path)?;
        let folder = folder.to_owned();
        let run = Run {
            folder,
            settings,
            progress,
            backend,
            tokenizer: Arc::new(tokenizer),
            train,
            held_out,
            log,
        };
        run.write_checkpoint()?;
        Ok(run)
    }

    /// Goes on with a run, given its checkpoint, on any device.
    pub fn resume(
        folder: &Path,
        device: Device,
        checkpoint: Checkpoint,
        tokenizer: Tokenizer,
        (train, held_out): (Documents, Documents),
    ) -> Result<Self> {
        let Checkpoint { settings, progress, weights, moments } = checkpoint;
        ensure!(
            train.fingerprint() == progress.fingerprint,
            "{}: the corpus or its tokenizer has changed since the run began",
            settings.corpus.display()
        );
        let backend = device.open(weights, moments)?;
        let path = folder.join(log::NAME);
        // Steps behind the checkpoint are made again.
        let entries = log::read(&path)?;
        write_whole(&path, |sink| {
            writeln!(sink, "{}", log::HEADER)?;
            for entry in entries.iter().take_while(|entry| entry.step <= progress.step) {
                writeln!(sink, "{}", entry.to_line())?;
            }
            Ok(())
        })?;
        let log = append(&path)?;
        let folder = folder.to_owned();
        Ok(Run {
            folder,
            settings,
            progress,
            backend,
            tokenizer: Arc::new(tokenizer),
            train,
            held_out,
            log,
        })
    }

    /// What the run was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How far it has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Where it computes, for a person to read.
    pub fn computes_on(&self) -> String {
        self.backend.name()
    }

    /// The weights as they are now.
    pub fn weights(&self) -> Result<Cow<'_, Parameters>> {
        self.backend.weights()
    }

    /// Trains until the last step.
    pub fn run(&mut self, tell: &mut dyn FnMut(Event)) -> Result<()> {
        let settings = self.settings.clone();
        let train = std::mem::replace(&mut self.train, Documents::new(&[], &self.tokenizer));
        let context = settings.shape.context;
        let position = self.progress.position;
        let mut feed = Feed::new(&train, context, settings.batch_tokens, settings.seed, position);
        let (began, first) = (Instant::now(), self.progress.step);
        let (mut kept, mut spent_evaluating) = (Instant::now(), Duration::ZERO);
        let mut steps = first;
        let name = self.folder.display().to_string();
        let stopped = || {
            format!(
                "the run stops; when that is mended, `fit --resume {name}` goes on from the last \
                 checkpoint"
            )
        };
        while steps < settings.steps {
            let start = Instant::now();
            let mut entry = self.step(&mut feed)?;
            entry.tokens_per_second /= start.elapsed().as_secs_f64();
            steps = entry.step;
            let due = steps.is_multiple_of(settings.evaluate_every) || steps == settings.steps;
            if due {
                let start = Instant::now();
                let sample = self.evaluate(&mut entry).with_context(stopped)?;
                spent_evaluating += start.elapsed();
                tell(Event::Evaluation(&entry, &sample));
            }
            self.write_log(&entry).with_context(stopped)?;
            if due || kept.elapsed() > CHECKPOINT_EVERY {
                self.write_checkpoint().with_context(stopped)?;
                kept = Instant::now();
            }
            let per_step = (began.elapsed() - spent_evaluating).div_f64((steps - first) as f64);
            let left = per_step.mul_f64((settings.steps - steps) as f64);
            tell(Event::Step(&entry, (steps - first > 5).then_some(left)));
        }
        Ok(())
    }

    /// One update of the weights. The entry's speed is the number of tokens.
    fn step(&mut self, feed: &mut Feed) -> Result<Entry> {
        let Settings { seed, steps, accumulate, dropout, ref optimizer, .. } = self.settings;
        let step = self.progress.step;
        let next = |part| (feed.next_batch(), Dropout::new(dropout, seed, step, part));
        let batches: Vec<_> = (0..accumulate).map(next).collect();
        let tokens: usize = batches.iter().map(|(batch, _)| batch.tokens.len()).sum();
        let (loss, norm) = self.backend.gradients(&batches)?;
        if !loss.is_finite() || !norm.is_finite() {
            bail!(
                "step {}: the loss is {loss}, the gradients' norm {norm}. The last checkpoint and \
                 the best model in {} are as they were; begin again in another folder, with a lower \
                 --rate",
                step + 1,
                self.folder.display()
            );
        }
        let rate = optimizer.rate_at(step, steps);
        self.backend.update(norm, optimizer, (step, rate))?;
        self.progress.step += 1;
        self.progress.tokens += tokens as u64;
        self.progress.position = feed.position();
        Ok(Entry {
            step: self.progress.step,
            epoch: feed.epochs(),
            tokens: self.progress.tokens,
            loss,
            held_out: None,
            learning_rate: f64::from(rate),
            gradient_norm: norm,
            tokens_per_second: tokens as f64,
        })
    }

    /// Measures the held-out part, keeps the model if it is the best so far, and writes a sample.
    fn evaluate(&mut self, entry: &mut Entry) -> Result<String> {
        if !self.held_out.is_empty() {
            entry.held_out = Some(self.measure()?);
        }
        let best = self.progress.best;
        let weights = self.backend.weights()?;
        if entry.held_out.is_none_or(|held_out| best.is_none_or(|best| held_out.loss < best)) {
            self.progress.best = entry.held_out.map(|held_out| held_out.loss);
            let path = self.folder.join(BEST);
            write_whole(&path, |sink| weights.write(Version::V0, sink))?;
        }
        let Settings { ref prompt, seed, .. } = self.settings;
        let sample = sample::write(&weights, &self.tokenizer, prompt, seed)?;
        let mut samples = append(&self.folder.join(SAMPLES))?;
        writeln!(samples, "step {}\n{sample}\n", entry.step)?;
        Ok(sample)
    }

    /// How well the held-out part is foreseen.
    fn measure(&mut self) -> Result<HeldOut> {
        let (context, batch_tokens) = (self.settings.shape.context, self.settings.batch_tokens);
        let (mut loss, mut tokens) = (0.0, 0);
        for batch in self.held_out.batches(context, batch_tokens) {
            loss += self.backend.loss(&batch)?;
            tokens += batch.tokens.len();
        }
        let bits = loss / core::f64::consts::LN_2 / self.held_out.bytes() as f64;
        Ok(HeldOut { loss: loss / tokens as f64, bits })
    }

    fn write_checkpoint(&self) -> Result<()> {
        let path = self.folder.join(checkpoint::NAME);
        let (weights, moments) = (self.backend.weights()?, self.backend.moments()?);
        checkpoint::write(&path, &self.settings, &self.progress, &weights, &moments)
    }

    fn write_log(&mut self, entry: &Entry) -> Result<()> {
        let name = || self.folder.join(log::NAME).display().to_string();
        writeln!(self.log, "{}", entry.to_line()).with_context(name)
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).open(path).with_context(|| path.display().to_string())
}
