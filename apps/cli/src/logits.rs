//! `bootllm logits`: a model's outputs, to see where two engines part.

use crate::arguments::{Arithmetic, ThreadCount, positive};
use anyhow::{Context, Result, bail, ensure};
use bootllm_chat::{DIGEST_POSITIONS, DigestRun, DigestStep, report};
use bootllm_engine::Session;
use bootllm_host::print_line;
use bootllm_sampling::likeliest;
use bootllm_tokenizer::BOS;
use clap::Args;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What is computed and what is done with it.
#[derive(Args)]
pub struct Arguments {
    /// A model in one of llama2.c's formats, or GGUF
    model: PathBuf,
    /// Positions; what follows the prompt is fed greedily [default: 3, or the reference's]
    #[arg(short = 'n', long, value_parser = positive)]
    positions: Option<usize>,
    /// Feed the tokens of this text first, after BOS
    #[arg(short = 'i', long, allow_hyphen_values = true)]
    prompt: Option<String>,
    /// The tokenizer for the prompt; else what is inside the model, or beside it
    #[arg(short = 'z', long)]
    tokenizer: Option<PathBuf>,
    /// Save the logits: little-endian f32, position after position
    #[arg(long)]
    save: Option<PathBuf>,
    /// Compare with logits saved before, by this program or another engine
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
    let reference = arguments.compare.as_deref().map(|path| read(path, vocab_size)).transpose()?;
    let prompt = match &arguments.prompt {
        Some(text) => opened.tokenizer(arguments.tokenizer.as_deref())?.encode(text, true, false),
        None => vec![opened.file.vocabulary.as_ref().map_or(BOS, |inside| inside.rules().bos)],
    };
    let in_reference = reference.as_ref().map(|reference| reference.len() / vocab_size);
    let usual = if arguments.digest { DIGEST_POSITIONS } else { 3 };
    let positions = arguments.positions.or(in_reference).unwrap_or(usual.min(plan.shape().context));

    let threads = arguments.threads.start()?;
    let model = arguments.arithmetic.load(&mut opened, threads.cores(), None)?;
    if positions > model.context() {
        bail!("the context of this model has {} positions, not {positions}", model.context());
    }
    let mut session = Session::with_kv_format(&model, threads.cores(), arguments.arithmetic.kv)
        .with_context(|| arguments.model.display().to_string())?;
    if arguments.digest {
        return digest(&mut session, prompt[0], positions);
    }
    let mut all = Vec::new();
    let mut token = prompt[0];
    for position in 0..positions {
        let logits = session.decode(token)?;
        print_line(&report::logits(position, token, logits))?;
        all.extend_from_slice(logits);
        token = prompt.get(position + 1).copied().unwrap_or_else(|| likeliest(logits));
    }

    if let Some(path) = &arguments.save {
        let bytes: Vec<u8> = all.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        std::fs::write(path, bytes).with_context(|| path.display().to_string())?;
    }
    if let Some(reference) = reference {
        compare(&all, &reference, vocab_size, arguments.tolerance)?;
    }
    Ok(())
}

/// Prints the number that the logits come to.
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

fn read(path: &Path, vocab_size: usize) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let (numbers, rest) = bytes.as_chunks();
    if numbers.is_empty() || !rest.is_empty() || numbers.len() % vocab_size != 0 {
        bail!(
            "{}: {} bytes are not the logits of a model with {vocab_size} tokens",
            path.display(),
            bytes.len()
        );
    }
    Ok(numbers.iter().map(|&number| f32::from_le_bytes(number)).collect())
}

/// Says how far `ours` is from `theirs`, and where they first choose different tokens.
fn compare(ours: &[f32], theirs: &[f32], vocab_size: usize, tolerance: f32) -> Result<()> {
    let pairs = ours.iter().zip(theirs);
    let compared = pairs.len();
    let equal = pairs.clone().filter(|(a, b)| a.to_bits() == b.to_bits()).count();
    let mut largest = (0.0f32, 0);
    for (index, (a, b)) in pairs.enumerate() {
        let difference = (a - b).abs();
        if difference > largest.0 || difference.is_nan() {
            largest = (difference, index);
        }
    }
    let (difference, index) = largest;
    print_line(&format!(
        "{compared} logits of {} positions compared: {equal} equal to the bit ({:.3} %)",
        compared / vocab_size,
        100.0 * equal as f64 / compared as f64
    ))?;
    let (position, token) = (index / vocab_size, index % vocab_size);
    print_line(&format!(
        "largest difference {difference:e} at position {position}, token {token}: {} and {}",
        ours[index], theirs[index]
    ))?;
    let choices = ours.chunks(vocab_size).zip(theirs.chunks(vocab_size));
    match choices.clone().position(|(a, b)| likeliest(a) != likeliest(b)) {
        Some(position) => {
            print_line(&format!("the likeliest token differs first at position {position}"))?;
        }
        None => print_line("the likeliest token is the same at every position")?,
    }
    if difference > tolerance || difference.is_nan() {
        bail!("the largest difference, {difference:e}, is above the tolerance of {tolerance:e}");
    }
    Ok(())
}
