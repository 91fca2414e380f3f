//! A training run in its folder.
//!
//! All random numbers follow from the seed and all sums are computed in one order, so on the same
//! machine an interrupted run ends in the same weights as an uninterrupted one, to the bit.

use crate::backend::{Backend, Device};
use crate::checkpoint::{self, Checkpoint};
use crate::data_loader::{DataLoader, Documents, LoaderPosition};
use crate::error::TrainError;
use crate::log::{self, HeldOutLoss, LogEntry};
use crate::ops::dropout::Dropout;
use crate::optimizer::{Moments, OptimizerSettings};
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

/// The model file with the weights of the lowest held-out loss, for bootllm and llama2.c.
pub const BEST: &str = "model.bin";
/// The run's tokenizer file.
pub const TOKENIZER: &str = "model.tokenizer.bin";
/// What the model wrote at each evaluation.
pub const SAMPLES: &str = "samples.txt";

/// The settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// The model's shape.
    pub shape: Shape,
    /// The folder of the corpus.
    pub corpus: PathBuf,
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens per batch, at most.
    pub batch_tokens: usize,
    /// Batches whose gradients are accumulated per step.
    pub accumulate: u64,
    /// The optimizer's settings.
    pub optimizer: OptimizerSettings,
    /// The dropout rate.
    pub dropout: f32,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Steps between evaluations of the held-out documents.
    pub evaluate_every: u64,
    /// The prompt of the samples.
    pub prompt: String,
    /// Evaluations in a row without a lower held-out loss after which the run stops. `None` runs
    /// all steps, as did runs of versions without this setting.
    #[serde(default)]
    pub patience: Option<u64>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    /// Optimizer steps so far.
    pub step: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Where the next batch starts.
    pub position: LoaderPosition,
    /// The lowest held-out loss so far, in nats per token.
    pub best: Option<f64>,
    /// The step after which [`BEST`] was written. `None` before the first evaluation, and in
    /// checkpoints of versions that did not record it.
    #[serde(default)]
    pub best_step: Option<u64>,
    /// Evaluations since then without a lower loss.
    #[serde(default)]
    pub evaluations_since_best: u64,
    /// Fingerprint of the training documents ([`Documents::fingerprint`]).
    pub fingerprint: u64,
}

/// What [`Run::run`] reports.
pub enum RunEvent<'a> {
    /// A step is done, and about how long the remaining ones take.
    Step(&'a LogEntry, Option<Duration>),
    /// The held-out documents were evaluated.
    Evaluation {
        /// The step and its losses.
        entry: &'a LogEntry,
        /// The run's state, with the best evaluation so far: this one if
        /// `progress.best_step == Some(entry.step)`.
        progress: &'a RunProgress,
        /// A text that the model generated.
        sample: &'a str,
    },
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All steps are done.
    AllSteps,
    /// The held-out loss has not improved in as many evaluations as [`RunSettings::patience`] says.
    NoImprovement,
}

/// A run in its folder.
pub struct Run {
    folder: PathBuf,
    settings: RunSettings,
    progress: RunProgress,
    backend: Box<dyn Backend>,
    tokenizer: Arc<Tokenizer>,
    train: Documents,
    held_out: Documents,
    log: File,
}

/// Time between checkpoints; evaluations make one, too.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);

impl Run {
    /// Starts a run in a new folder.
    pub fn begin(
        folder: &Path,
        settings: RunSettings,
        device: Device,
        weights: Parameters,
        tokenizer: Tokenizer,
        (train, held_out): (Documents, Documents),
    ) -> Result<Self> {
        if folder.join(checkpoint::NAME).exists() {
            bail!(TrainError::RunExists(folder.to_owned()));
        }
        let moments = Moments::zeros(weights.config());
        let backend = device.open(weights, moments)?;
        fs::create_dir_all(folder)
            .with_context(|| TrainError::CannotCreateFolder(folder.to_owned()))?;
        write_whole(&folder.join(TOKENIZER), |sink| Ok(sink.write_all(&tokenizer.write())?))?;
        let path = folder.join(log::NAME);
        write_whole(&path, |sink| Ok(writeln!(sink, "{}", log::HEADER)?))?;
        fs::write(folder.join(SAMPLES), "")?;
        let progress = RunProgress { fingerprint: train.fingerprint(), ..RunProgress::default() };
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

    /// Resumes a run from its checkpoint, on any device.
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
            TrainError::CorpusChanged(settings.corpus)
        );
        let backend = device.open(weights, moments)?;
        let path = folder.join(log::NAME);
        // Steps after the checkpoint are repeated, so their entries go.
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

    /// Its settings.
    pub fn settings(&self) -> &RunSettings {
        &self.settings
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The training documents and the held-out ones.
    pub fn documents(&self) -> (&Documents, &Documents) {
        (&self.train, &self.held_out)
    }

    /// How far it has come.
    pub fn progress(&self) -> &RunProgress {
        &self.progress
    }

    /// The name of the device that it runs on.
    pub fn computes_on(&self) -> String {
        self.backend.name()
    }

    /// The weights as they are now.
    pub fn weights(&self) -> Result<Cow<'_, Parameters>> {
        self.backend.weights()
    }

    /// Whether the held-out loss has not improved for [`RunSettings::patience`] evaluations.
    fn out_of_patience(&self) -> bool {
        let waited = self.progress.evaluations_since_best;
        self.settings.patience.is_some_and(|patience| waited >= patience)
    }

    /// Trains until the last step, or until the held-out loss no longer improves.
    pub fn run(&mut self, report: &mut dyn FnMut(RunEvent)) -> Result<RunEnd> {
        let settings = self.settings.clone();
        let train = std::mem::replace(&mut self.train, Documents::new(&[], &self.tokenizer));
        let context = settings.shape.context;
        let position = self.progress.position;
        let mut loader =
            DataLoader::new(&train, context, settings.batch_tokens, settings.seed, position);
        let (began, first) = (Instant::now(), self.progress.step);
        let (mut last_checkpoint, mut spent_evaluating) = (Instant::now(), Duration::ZERO);
        let mut steps = first;
        let folder = self.folder.clone();
        let interrupted = || TrainError::RunInterrupted(folder.clone());
        while steps < settings.steps && !self.out_of_patience() {
            let start = Instant::now();
            let mut entry = self.step(&mut loader)?;
            entry.tokens_per_second /= start.elapsed().as_secs_f64();
            steps = entry.step;
            let due = steps.is_multiple_of(settings.evaluate_every) || steps == settings.steps;
            if due {
                let start = Instant::now();
                let sample = self.evaluate(&mut entry).with_context(interrupted)?;
                spent_evaluating += start.elapsed();
                report(RunEvent::Evaluation {
                    entry: &entry,
                    progress: &self.progress,
                    sample: &sample,
                });
            }
            self.write_log(&entry).with_context(interrupted)?;
            if due || last_checkpoint.elapsed() > CHECKPOINT_EVERY {
                self.write_checkpoint().with_context(interrupted)?;
                last_checkpoint = Instant::now();
            }
            let per_step = (began.elapsed() - spent_evaluating).div_f64((steps - first) as f64);
            let left = per_step.mul_f64((settings.steps - steps) as f64);
            report(RunEvent::Step(&entry, (steps - first > 5).then_some(left)));
        }
        self.train = train;
        Ok(if steps < settings.steps { RunEnd::NoImprovement } else { RunEnd::AllSteps })
    }

    /// Makes one step. The entry's `tokens_per_second` is the number of tokens; the caller divides.
    fn step(&mut self, loader: &mut DataLoader) -> Result<LogEntry> {
        let RunSettings { seed, steps, accumulate, dropout, ref optimizer, .. } = self.settings;
        let step = self.progress.step;
        let next = |index| (loader.next_batch(), Dropout::new(dropout, seed, step, index));
        let batches: Vec<_> = (0..accumulate).map(next).collect();
        let tokens: usize = batches.iter().map(|(batch, _)| batch.tokens.len()).sum();
        let (loss, norm) = self.backend.gradients(&batches)?;
        if !loss.is_finite() || !norm.is_finite() {
            bail!(TrainError::Diverged { step: step + 1, loss, norm, folder: self.folder.clone() });
        }
        let rate = optimizer.rate_at(step, steps);
        self.backend.update(norm, optimizer, (step, rate))?;
        self.progress.step += 1;
        self.progress.tokens += tokens as u64;
        self.progress.position = loader.position();
        Ok(LogEntry {
            step: self.progress.step,
            epoch: loader.epochs(),
            tokens: self.progress.tokens,
            loss,
            held_out: None,
            learning_rate: f64::from(rate),
            gradient_norm: norm,
            tokens_per_second: tokens as f64,
        })
    }

    /// Evaluates the held-out documents, writes the model if it is the best so far, and generates a
    /// sample.
    fn evaluate(&mut self, entry: &mut LogEntry) -> Result<String> {
        if !self.held_out.is_empty() {
            entry.held_out = Some(self.held_out_loss()?);
        }
        let best = self.progress.best;
        let weights = self.backend.weights()?;
        if entry.held_out.is_none_or(|held_out| best.is_none_or(|best| held_out.loss < best)) {
            self.progress.best = entry.held_out.map(|held_out| held_out.loss);
            self.progress.best_step = Some(entry.step);
            self.progress.evaluations_since_best = 0;
            let path = self.folder.join(BEST);
            write_whole(&path, |sink| weights.write(Version::V0, sink))?;
        } else {
            self.progress.evaluations_since_best += 1;
        }
        let RunSettings { ref prompt, seed, .. } = self.settings;
        let sample = sample::generate(&weights, &self.tokenizer, prompt, seed)?;
        let mut samples = append(&self.folder.join(SAMPLES))?;
        writeln!(samples, "step {}\n{sample}\n", entry.step)?;
        Ok(sample)
    }

    /// The losses on the held-out documents.
    fn held_out_loss(&mut self) -> Result<HeldOutLoss> {
        let (context, batch_tokens) = (self.settings.shape.context, self.settings.batch_tokens);
        let (mut loss, mut tokens) = (0.0, 0);
        for batch in self.held_out.batches(context, batch_tokens) {
            loss += self.backend.loss(&batch)?;
            tokens += batch.tokens.len();
        }
        let bits = loss / core::f64::consts::LN_2 / self.held_out.bytes() as f64;
        Ok(HeldOutLoss { loss: loss / tokens as f64, bits })
    }

    fn write_checkpoint(&self) -> Result<()> {
        let path = self.folder.join(checkpoint::NAME);
        let (weights, moments) = (self.backend.weights()?, self.backend.moments()?);
        checkpoint::write(&path, &self.settings, &self.progress, &weights, &moments)
    }

    fn write_log(&mut self, entry: &LogEntry) -> Result<()> {
        let name = || self.folder.join(log::NAME).display().to_string();
        writeln!(self.log, "{}", entry.to_line()).with_context(name)
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).open(path).with_context(|| path.display().to_string())
}
