//! `bootllm perplexity`: how well models foresee a text.

use crate::arguments::{Arithmetic, positive, threads};
use anyhow::{Context, Result, bail, ensure};
use bootllm_cores::OneCore;
use bootllm_engine::{KvFormat, Model, Plan, Session};
use bootllm_host::{
    ModelSource, ProgressBar, StdClock, Threads, documents, memory_available, physical_cores,
    print_line, read_text,
};
use bootllm_platform::Clock;
use bootllm_sampling::log_probability;
use bootllm_tokenizer::Tokenizer;
use clap::Args;
use std::iter::zip;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Tokens of a document between two signs of progress.
const CHUNK: usize = 96;

const DETAILS: &str = "\
The loss is that of a token given those before it in its document, in nats; the perplexity is e to
the power of the mean. Bits a byte of text compare models that have different tokenizers. Every
document is fed by itself, from BOS; its end is not counted, for it is no text.";

/// What is measured on what.
#[derive(Args)]
#[command(after_help = DETAILS)]
pub struct Arguments {
    /// A model in one of llama2.c's formats, or GGUF
    model: PathBuf,
    /// A text in UTF-8, its documents parted by <|endoftext|>
    text: PathBuf,
    /// Another model, measured on the same documents: those that fit every model's context
    #[arg(long, value_name = "MODEL")]
    against: Vec<PathBuf>,
    /// The tokenizer; else what is inside the model, or NAME.tokenizer.bin or tokenizer.bin beside it. Given again: that
    /// of the next model
    #[arg(short = 'z', long)]
    tokenizer: Vec<PathBuf>,
    /// Count only documents of so many tokens, BOS included, or fewer [default: the context]
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    /// Count only the first so many of them
    #[arg(long, value_name = "COUNT", value_parser = positive)]
    documents: Option<usize>,
    /// Documents that are read at the same time [default: one a core]
    #[arg(long, value_name = "COUNT", value_parser = threads)]
    threads: Option<usize>,
    #[command(flatten)]
    arithmetic: Arithmetic,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let paths = || [&arguments.model].into_iter().chain(&arguments.against);
    let models = paths().count();
    let named = &arguments.tokenizer;
    ensure!(named.len() <= models, "more tokenizers ({}) than models ({models})", named.len());
    let mut candidates = Vec::new();
    for (index, path) in paths().enumerate() {
        let opened = bootllm_host::open(path)?;
        let tokenizer = opened.tokenizer(named.get(index).map(PathBuf::as_path))?;
        let plan = opened.plan()?;
        let limit = opened.context(&plan, arguments.context)?;
        candidates.push(Candidate { opened, plan, tokenizer, limit, counted: Vec::new() });
    }
    let text = read_text(&arguments.text)?;
    let selection = Selection::make(arguments, &text, &mut candidates)?;
    let threads = arguments.threads.unwrap_or_else(physical_cores).min(selection.documents);

    let width = candidates.iter().map(|c| c.name().chars().count()).max().unwrap_or(0);
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let loss = candidate.measure(&arguments.arithmetic, threads, selection.bytes)?;
        if index == 0 {
            print_line(&selection.line)?;
            print_line(&format!(
                "{:width$}  {:>8}  {:>12}  {:>10}  {:>11}",
                "model", "tokens", "loss a token", "perplexity", "bits a byte"
            ))?;
        }
        let tokens = candidate.tokens();
        let mean = loss / tokens as f64;
        let bits = loss / std::f64::consts::LN_2 / selection.bytes as f64;
        let name = candidate.name();
        print_line(&format!(
            "{name:width$}  {tokens:>8}  {mean:>12.4}  {:>10.3}  {bits:>11.4}",
            mean.exp()
        ))?;
    }
    Ok(())
}

/// A model that is to be measured.
struct Candidate {
    opened: ModelSource,
    plan: Arc<Plan>,
    tokenizer: Tokenizer,
    /// The most tokens of a document that fits.
    limit: usize,
    /// The tokens of the documents that count, each from BOS.
    counted: Vec<Vec<u32>>,
}

/// Which documents count.
struct Selection {
    documents: usize,
    bytes: u64,
    /// That in words.
    line: String,
}

impl Selection {
    /// Hands every model the tokens of the documents that fit them all.
    fn make(arguments: &Arguments, text: &str, candidates: &mut [Candidate]) -> Result<Self> {
        let name = arguments.text.display();
        let most = arguments.documents.unwrap_or(usize::MAX);
        let (mut counted, mut left_out, mut bytes) = (0, 0, 0);
        for document in documents(text) {
            if counted == most {
                break;
            }
            let tokens: Option<Vec<_>> =
                candidates.iter().map(|candidate| candidate.tokens_of(document)).collect();
            let Some(tokens) = tokens else {
                left_out += 1;
                continue;
            };
            for (candidate, tokens) in zip(&mut *candidates, tokens) {
                candidate.counted.push(tokens);
            }
            counted += 1;
            bytes += document.len() as u64;
        }
        let mut limits: Vec<String> = candidates.iter().map(|c| c.limit.to_string()).collect();
        limits.dedup();
        let limits = limits.join(" and ");
        if counted + left_out == 0 {
            bail!("{name}: there is no text in it");
        }
        if counted == 0 {
            bail!(
                "{name}: none of its documents ({left_out}) fits into {limits} tokens; \
                 part it into shorter ones with lines {}",
                bootllm_host::SEPARATOR
            );
        }
        let mut line = format!("{name}: {counted} documents, {bytes} bytes");
        if left_out > 0 {
            line += &format!("; {left_out} left out, for they do not fit into {limits} tokens");
        }
        Ok(Selection { documents: counted, bytes, line })
    }
}

impl Candidate {
    fn name(&self) -> String {
        self.opened.path.display().to_string()
    }

    /// A document's tokens, from BOS, if they fit.
    fn tokens_of(&self, document: &str) -> Option<Vec<u32>> {
        // A whole book need not be taken apart to see that it does not.
        if document.len() / self.tokenizer.longest().max(1) > self.limit {
            return None;
        }
        let tokens = self.tokenizer.encode(document, true, false);
        (tokens.len() <= self.limit).then_some(tokens)
    }

    /// How many tokens are foreseen: all but BOS.
    fn tokens(&self) -> usize {
        self.counted.iter().map(|tokens| tokens.len() - 1).sum()
    }

    /// Loads the model and adds up its losses over all documents, which have so many bytes; in
    /// nats.
    fn measure(&mut self, arithmetic: &Arithmetic, threads: usize, bytes: u64) -> Result<f64> {
        let context = self.counted.iter().map(Vec::len).max().unwrap_or(1);
        let threads = threads.min(self.sessions_that_fit(context, arithmetic.kv));
        let loaders = Threads::start(threads)?;
        let model = arithmetic.load(&mut self.opened, loaders.cores(), Some(context))?;
        // From here on each thread has a document of its own.
        drop(loaders);
        let (tokens, clock) = (self.tokens() as u64, StdClock::new());
        let (done, bar) = (AtomicU64::new(0), Mutex::new(ProgressBar::new("measuring")));
        let advance = |more: usize| {
            let done = done.fetch_add(more as u64, Ordering::Relaxed) + more as u64;
            if let Ok(mut bar) = bar.try_lock() {
                bar.show(bytes * done / tokens, bytes, clock.now());
            }
        };
        let loss = total_loss(&model, &self.counted, (arithmetic.kv, threads), &advance);
        if let Ok(mut bar) = bar.lock() {
            bar.clear();
        }
        loss.with_context(|| self.name())
    }

    /// How many texts at a time the memory allows, at least one.
    fn sessions_that_fit(&self, context: usize, kv: KvFormat) -> usize {
        let needed = self.plan.memory(context, kv);
        let Some(available) = memory_available() else { return usize::MAX };
        let each = needed.kv_cache.saturating_add(needed.activations).max(1);
        let more = available.saturating_sub(needed.total()) / each;
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }
}

/// The losses of all documents together, in nats. Each thread takes the next document; the sum is
/// made in the documents' order, so it does not depend on the threads.
fn total_loss(
    model: &Arc<Model>,
    documents: &[Vec<u32>],
    (kv, threads): (KvFormat, usize),
    advance: &(dyn Fn(usize) + Sync),
) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, f64)>> {
        let mut session = Session::with_kv_format(model, &OneCore, kv)?;
        let mut losses = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(tokens) = documents.get(index) else {
                return Ok(losses);
            };
            match loss(&mut session, tokens, advance) {
                Ok(loss) => losses.push((index, loss)),
                Err(error) => {
                    // Nobody needs the other documents any more.
                    next.store(documents.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let losses: Result<Vec<_>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a thread that ends")).collect()
    });
    let mut losses = losses?.concat();
    losses.sort_by_key(|&(index, _)| index);
    Ok(losses.iter().map(|&(_, loss)| loss).sum())
}

/// The loss of a document, in nats.
fn loss(
    session: &mut Session<'_>,
    tokens: &[u32],
    advance: &(dyn Fn(usize) + Sync),
) -> Result<f64> {
    session.rewind(0);
    let mut loss = Ok(0.0);
    let mut foreseen = tokens[1..].iter();
    for batch in tokens[..tokens.len() - 1].chunks(CHUNK) {
        session.prefill_with_logits(batch, &mut |logits| {
            if let (Ok(sum), Some(&token)) = (&loss, foreseen.next()) {
                loss = log_probability(logits, token).map(|log| sum - log);
            }
        })?;
        if loss.is_err() {
            break;
        }
        advance(batch.len());
    }
    Ok(loss?)
}
