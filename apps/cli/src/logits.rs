//! `bootllm logits`: a model's outputs, to find where two engines differ.

use crate::arguments::{Arithmetic, ThreadCount, positive};
use anyhow::{Context, Result, bail, ensure};
use bootllm_chat::{DIGEST_POSITIONS, DigestRun, DigestStep, report};
use bootllm_engine::Session;
use bootllm_host::{FileSink, print_line, write_whole};
use bootllm_sampling::argmax;
use bootllm_tokenizer::BOS;
use clap::Args;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What is computed and what is done with it.
#[derive(Args)]
pub struct Arguments {
    /// A model file, or the name of one in models/ or target/models/
    model: PathBuf,
    /// Positions; after the prompt the argmax is fed [default: 3, or as many as --compare has]
    #[arg(short = 'n', long, value_parser = positive)]
    positions: Option<usize>,
    /// Feed the tokens of this text first, after BOS
    #[arg(short = 'i', long, allow_hyphen_values = true)]
    prompt: Option<String>,
    /// The tokenizer for the prompt [default: the one inside or beside the model]
    #[arg(short = 'z', long)]
    tokenizer: Option<PathBuf>,
    /// Save the logits: little-endian f32, position after position
    #[arg(long)]
    save: Option<PathBuf>,
    /// Compare with logits that were saved before, by this program or another engine
    #[arg(long)]
    compare: Option<PathBuf>,
    /// With --compare: fail if a difference is larger than this
    #[arg(long, default_value_t = f32::INFINITY, value_parser = tolerance, requires = "compare")]
    tolerance: f32,
    /// One number for the logits of all positions, computed token by token and as one prompt, to
    /// compare machines: the same as `/logits digest` at the prompt [default: 256 positions]
    #[arg(long, conflicts_with_all = ["prompt", "save", "compare"])]
    digest: bool,
    #[command(flatten)]
    arithmetic: Arithmetic,
    #[command(flatten)]
    threads: ThreadCount,
}

fn tolerance(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|&number: &f32| number >= 0.0).ok_or("it must be 0 or more".into())
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut opened = bootllm_host::open(&arguments.model)?;
    let plan = opened.plan()?;
    let vocab_size = plan.shape().vocab_size;
    let comparison = arguments.compare.as_deref();
    let comparison = comparison.map(|path| Comparison::open(path, vocab_size)).transpose()?;
    let prompt = match &arguments.prompt {
        Some(text) => opened.tokenizer(arguments.tokenizer.as_deref())?.encode(text, true, false),
        None => vec![opened.file.vocabulary.as_ref().map_or(BOS, |inside| inside.rules().bos)],
    };
    let usual = match &comparison {
        Some(Comparison { positions: Some(positions), .. }) => *positions,
        // A pipe ends when it ends.
        Some(_) => plan.shape().context,
        None if arguments.digest => DIGEST_POSITIONS.min(plan.shape().context),
        None => 3.min(plan.shape().context),
    };
    let positions = arguments.positions.unwrap_or(usual);
    let feed = Feed { prompt, positions, to_end: arguments.positions.is_none() };

    let threads = arguments.threads.start()?;
    let model = arguments.arithmetic.load(&mut opened, threads.cores(), None)?;
    if positions > model.context() {
        bail!("the context of this model has {} positions, not {positions}", model.context());
    }
    let mut session = Session::with_kv_format(&model, threads.cores(), arguments.arithmetic.kv)
        .with_context(|| arguments.model.display().to_string())?;
    if arguments.digest {
        return digest(&mut session, feed.prompt[0], positions);
    }
    let compared = match &arguments.save {
        None => compute(&mut session, &feed, comparison, None)?,
        Some(path) => {
            let mut compared = None;
            write_whole(path, |sink| {
                compared = compute(&mut session, &feed, comparison, Some(sink))?;
                Ok(())
            })?;
            compared
        }
    };
    compared.map_or(Ok(()), |compared| compared.conclude(arguments.tolerance))
}

/// What is fed.
struct Feed {
    /// Tokens, followed by the argmax at each position.
    prompt: Vec<u32>,
    /// Positions, at most.
    positions: usize,
    /// Whether to end where the logits to compare with end.
    to_end: bool,
}

/// Feeds tokens. Each position's logits are printed, saved and compared before the next is computed,
/// so that only one position's are in memory.
fn compute(
    session: &mut Session<'_>,
    feed: &Feed,
    mut comparison: Option<Comparison>,
    mut save: Option<&mut FileSink>,
) -> Result<Option<Comparison>> {
    let mut token = feed.prompt[0];
    for position in 0..feed.positions {
        let mut compared = None;
        if let Some(comparison) = &mut comparison {
            compared = comparison.read_next()?.then_some(comparison);
            if compared.is_none() && feed.to_end {
                break;
            }
        }
        let logits = session.decode(token)?;
        print_line(&report::logits(position, token, logits))?;
        if let Some(comparison) = compared {
            comparison.compare(position, logits);
        }
        if let Some(sink) = &mut save {
            logits.iter().try_for_each(|logit| Write::write_all(*sink, &logit.to_le_bytes()))?;
        }
        token = feed.prompt.get(position + 1).copied().unwrap_or_else(|| argmax(logits));
    }
    Ok(comparison)
}

/// Prints the digest of the logits.
fn digest(session: &mut Session<'_>, first: u32, positions: usize) -> Result<()> {
    let Session { engine, sequence, .. } = session;
    let mut run = DigestRun::new(first, positions, sequence);
    let digest = loop {
        let step = run.step(engine, sequence, &mut || ControlFlow::Continue(()))?;
        if let DigestStep::Done(digest) = step {
            break digest;
        }
    };
    print_line(&digest.to_string())?;
    ensure!(digest.agrees(), "this machine computes wrong");
    Ok(())
}

/// Saved logits, read position by position, and how far the model's are from them.
struct Comparison {
    name: String,
    source: BufReader<File>,
    /// How many positions the file has; `None` for a pipe or a device.
    positions: Option<usize>,
    /// The bytes of a position.
    bytes: Vec<u8>,
    /// The logits of a position.
    theirs: Vec<f32>,
    compared: usize,
    equal: usize,
    largest: Difference,
    /// The first position at which the argmax differs.
    first_other_argmax: Option<usize>,
}

/// A difference between two logits.
#[derive(Clone, Copy, Default)]
struct Difference {
    difference: f32,
    position: usize,
    token: usize,
    values: (f32, f32),
}

impl Comparison {
    fn open(path: &Path, vocab_size: usize) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| name.clone())?;
        let metadata = file.metadata().with_context(|| name.clone())?;
        let row = vocab_size * size_of::<f32>();
        let positions = metadata.is_file().then(|| metadata.len() as usize / row);
        if let Some(positions) = positions
            && (positions == 0 || !metadata.len().is_multiple_of(row as u64))
        {
            let found = bootllm_units::bytes(metadata.len());
            bail!("{name}: {found} are not the logits of a model with {vocab_size} tokens");
        }
        Ok(Comparison {
            name,
            source: BufReader::new(file),
            positions,
            bytes: vec![0; row],
            theirs: vec![0.0; vocab_size],
            compared: 0,
            equal: 0,
            largest: Difference::default(),
            first_other_argmax: None,
        })
    }

    /// Reads the next position's logits; false if there are no more.
    fn read_next(&mut self) -> Result<bool> {
        let mut filled = 0;
        while filled < self.bytes.len() {
            let read = self.source.read(&mut self.bytes[filled..]);
            match read.with_context(|| self.name.clone())? {
                0 if filled == 0 && self.compared > 0 => return Ok(false),
                0 => bail!("{}: it ends within the logits of a position", self.name),
                read => filled += read,
            }
        }
        for (number, bytes) in self.theirs.iter_mut().zip(self.bytes.as_chunks().0) {
            *number = f32::from_le_bytes(*bytes);
        }
        Ok(true)
    }

    /// Compares the logits of a position with those that were read.
    fn compare(&mut self, position: usize, ours: &[f32]) {
        for (token, (&a, &b)) in ours.iter().zip(&self.theirs).enumerate() {
            self.equal += usize::from(a.to_bits() == b.to_bits());
            let difference = (a - b).abs();
            let first = self.compared == 0 && token == 0;
            if first || difference > self.largest.difference || difference.is_nan() {
                self.largest = Difference { difference, position, token, values: (a, b) };
            }
        }
        self.compared += ours.len();
        if self.first_other_argmax.is_none() && argmax(ours) != argmax(&self.theirs) {
            self.first_other_argmax = Some(position);
        }
    }

    /// Prints what came of it.
    fn conclude(&self, tolerance: f32) -> Result<()> {
        let Comparison { compared, equal, .. } = *self;
        let Difference { difference, position, token, values: (ours, theirs) } = self.largest;
        print_line(&format!(
            "{compared} logits of {} positions compared: {equal} equal to the bit ({:.3} %)",
            compared / self.theirs.len(),
            100.0 * equal as f64 / compared as f64
        ))?;
        if compared > equal {
            print_line(&format!(
                "largest difference {difference:e} at position {position}, token {token}: \
                 {ours} and {theirs}"
            ))?;
        }
        match self.first_other_argmax {
            Some(position) => print_line(&format!("argmax differs first at position {position}"))?,
            None => print_line("argmax is the same at every position")?,
        }
        if difference > tolerance || difference.is_nan() {
            bail!("the largest difference is {difference:e}, the tolerance {tolerance:e}");
        }
        Ok(())
    }
}
