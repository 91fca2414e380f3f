//! `bootllm perplexity`: how well models predict a text.

use crate::arguments::{Arithmetic, positive, threads};
use crate::windows::{Window, windows};
use anyhow::{Context, Result, bail, ensure};
use bootllm_cores::OneCore;
use bootllm_engine::{KvFormat, Model, Plan, Session};
use bootllm_host::{
    ModelSource, ProgressBar, SEPARATOR, StdClock, Threads, documents, memory_available,
    physical_cores, print_line, read_text,
};
use bootllm_platform::Clock;
use bootllm_sampling::log_probability;
use bootllm_tokenizer::Tokenizer;
use bootllm_units::bytes;
use clap::Args;
use std::iter::zip;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Tokens between two updates of the progress bar.
const CHUNK: usize = 96;

/// The longest document that is tokenized, in bytes: that takes some 30 times as much memory.
const LONGEST_DOCUMENT: usize = 64 << 20;

const DETAILS: &str = "\
The loss is that of a token given those before it in its document, in nats; the perplexity is e to
the power of the mean loss. Bits per byte of text compare models that have different tokenizers.
Every document is fed by itself, from BOS if the vocabulary adds one; without BOS its first token is
not predicted and not counted.

Documents that are longer than the context are left out if others fit. With --windows, or if none
fits, they are read in windows that overlap by half: each begins with BOS and counts the tokens of
its second half (the first window counts all), so that every token is counted once, with at least
half a context before it.";

/// What is measured on what.
#[derive(Args)]
#[command(after_help = DETAILS)]
pub struct Arguments {
    /// A model file, or the name of one in models/ or target/models/
    model: PathBuf,
    /// A text in UTF-8, its documents separated by <|endoftext|>
    text: PathBuf,
    /// Another model, measured on the same documents: those that fit every model's context
    #[arg(long, value_name = "MODEL")]
    against: Vec<PathBuf>,
    /// The tokenizer [default: the one inside the model, or NAME.tokenizer.bin or tokenizer.bin
    /// beside it]. Given again: that of the next model
    #[arg(short = 'z', long)]
    tokenizer: Vec<PathBuf>,
    /// Longest document and length of a window in tokens, BOS included [default: the context]
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    /// Read documents that are longer in overlapping windows, too
    #[arg(long)]
    windows: bool,
    /// Count only the first so many documents
    #[arg(long, value_name = "COUNT", value_parser = positive)]
    documents: Option<usize>,
    /// Documents or windows to compute at the same time [default: one per core]
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
        candidates.push(Candidate { opened, plan, tokenizer, limit, texts: vec![], bytes: 0 });
    }
    let text = read_text(&arguments.text)?;
    let selection = Selection::make(arguments, &text, &mut candidates)?;
    let threads = arguments.threads.unwrap_or_else(physical_cores);

    let width = candidates.iter().map(|c| c.name().chars().count()).max().unwrap_or(0);
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let loss = candidate.measure(&arguments.arithmetic, threads)?;
        if index == 0 {
            print_line(&selection.line(arguments))?;
            print_line(&format!(
                "{:width$}  {:>8}  {:>12}  {:>10}  {:>13}",
                "model", "tokens", "nats/token", "perplexity", "bits per byte"
            ))?;
        }
        let tokens = candidate.tokens();
        let mean = loss / tokens as f64;
        let bits = loss / std::f64::consts::LN_2 / candidate.bytes as f64;
        let name = candidate.name();
        print_line(&format!(
            "{name:width$}  {tokens:>8}  {mean:>12.4}  {:>10.3}  {bits:>13.4}",
            mean.exp()
        ))?;
    }
    Ok(())
}

/// A document's tokens, and the windows that they are fed in.
struct TokenizedText {
    /// From BOS, if the vocabulary adds it.
    tokens: Vec<u32>,
    windows: Vec<Window>,
}

/// A model that is to be measured.
struct Candidate {
    opened: ModelSource,
    plan: Arc<Plan>,
    tokenizer: Tokenizer,
    /// Tokens of a window, at most.
    limit: usize,
    /// The documents that count.
    texts: Vec<TokenizedText>,
    /// Bytes of the text that is predicted.
    bytes: u64,
}

/// Which documents count.
#[derive(Default)]
struct Selection {
    documents: usize,
    /// Bytes of them.
    bytes: u64,
    /// Documents that are longer than a context.
    long: usize,
    /// Documents of which no token can be predicted.
    short: usize,
    /// Whether long documents are read in windows; else they are left out.
    in_windows: bool,
    /// The limits of the models, in words.
    limits: String,
}

impl Selection {
    /// Gives every model the tokens of the documents that count.
    fn make(arguments: &Arguments, text: &str, candidates: &mut [Candidate]) -> Result<Self> {
        let name = arguments.text.display();
        let mut selection = Selection::of(arguments, text, candidates, arguments.windows)?;
        if selection.documents == 0 && selection.long > 0 {
            selection = Selection::of(arguments, text, candidates, true)?;
        }
        match (selection.documents, selection.short + selection.long) {
            (0, 0) => bail!("{name}: there is no text in it"),
            (0, _) => bail!(
                "{name}: no token can be predicted; that takes documents of two tokens or more, \
                 separated by lines with {SEPARATOR}, and a context of two or more"
            ),
            _ => Ok(selection),
        }
    }

    fn of(
        arguments: &Arguments,
        text: &str,
        candidates: &mut [Candidate],
        in_windows: bool,
    ) -> Result<Self> {
        let mut limits: Vec<String> = candidates.iter().map(|c| c.limit.to_string()).collect();
        limits.dedup();
        let limits = limits.join(" and ");
        let mut selection = Selection { in_windows, limits, ..Selection::default() };
        for document in documents(text) {
            if Some(selection.documents) == arguments.documents {
                break;
            }
            if in_windows && document.len() > LONGEST_DOCUMENT {
                let (name, size) = (arguments.text.display(), bytes(document.len() as u64));
                bail!("{name}: a document of {size} is too long; separate it with {SEPARATOR}");
            }
            let tokens: Option<Vec<_>> = candidates
                .iter()
                .map(|candidate| candidate.tokenize(document, in_windows))
                .collect();
            let Some(texts) = tokens else {
                selection.long += 1;
                continue;
            };
            if texts.iter().any(|text| text.windows.is_empty()) {
                selection.short += 1;
                continue;
            }
            selection.long += usize::from(texts.iter().any(|text| text.windows.len() > 1));
            for (candidate, text) in zip(&mut *candidates, texts) {
                candidate.bytes += candidate.predicted_bytes(document, &text.tokens);
                candidate.texts.push(text);
            }
            selection.documents += 1;
            selection.bytes += document.len() as u64;
        }
        Ok(selection)
    }

    fn line(&self, arguments: &Arguments) -> String {
        let Selection { documents, bytes, long, short, in_windows, limits } = self;
        let plural = if *documents == 1 { "" } else { "s" };
        let mut line =
            format!("{}: {documents} document{plural}, {bytes} bytes", arguments.text.display());
        match (*long, in_windows) {
            (0, _) => {}
            (long, true) => line += &format!("; {long} in windows of {limits} tokens"),
            (long, false) => {
                line += &format!("; {long} longer than {limits} tokens left out (see --windows)");
            }
        }
        if *short > 0 {
            line += &format!("; {short} of a single token left out");
        }
        line
    }
}

impl Candidate {
    fn name(&self) -> String {
        self.opened.path.display().to_string()
    }

    /// A document's tokens in windows; `None` if it does not fit one and may not have more.
    fn tokenize(&self, document: &str, in_windows: bool) -> Option<TokenizedText> {
        // A whole book need not be tokenized to see that it does not fit.
        if !in_windows && document.len() / self.tokenizer.longest().max(1) > self.limit {
            return None;
        }
        let tokens = self.tokenizer.encode(document, true, false);
        let windows = windows(tokens.len(), self.has_bos(), self.limit);
        let fits = in_windows || tokens.len() <= self.limit;
        fits.then_some(TokenizedText { tokens, windows })
    }

    /// Whether documents begin with BOS.
    fn has_bos(&self) -> bool {
        self.tokenizer.rules().add_bos
    }

    /// Bytes of a document that are predicted: without BOS, its first token is not.
    fn predicted_bytes(&self, document: &str, tokens: &[u32]) -> u64 {
        let all = document.len() as u64;
        if self.has_bos() {
            return all;
        }
        let piece = tokens.first().map_or(&[][..], |&first| self.tokenizer.piece(first));
        let first = match piece {
            [b'<', b'0', b'x', _, _, b'>'] => 1,
            // The space before a text is not part of it.
            [b' ', rest @ ..] if self.tokenizer.rules().add_space => rest.len(),
            piece => piece.len(),
        };
        all.saturating_sub(first as u64)
    }

    /// The windows of all documents.
    fn windows(&self) -> impl Iterator<Item = (&[u32], Window)> {
        self.texts.iter().flat_map(|text| {
            let tokens = text.tokens.as_slice();
            text.windows.iter().map(move |&window| (tokens, window))
        })
    }

    /// How many tokens are predicted.
    fn tokens(&self) -> usize {
        self.windows().map(|(_, window)| window.end - window.predicted).sum()
    }

    /// Loads the model and adds up its losses over all documents, in nats.
    fn measure(&mut self, arithmetic: &Arithmetic, threads: usize) -> Result<f64> {
        let longest = self.texts.iter().map(|text| text.tokens.len()).max().unwrap_or(1);
        let context = longest.min(self.limit);
        let threads = threads.min(self.windows().count());
        let threads = threads.min(self.sessions_that_fit(context, arithmetic.kv));
        let loaders = Threads::start(threads)?;
        let model = arithmetic.load(&mut self.opened, loaders.cores(), Some(context))?;
        // From here on each thread has a window of its own.
        drop(loaders);
        let (tokens, clock) = (self.tokens() as u64, StdClock::new());
        let (done, bar) = (AtomicU64::new(0), Mutex::new(ProgressBar::new("measuring")));
        let bytes = self.bytes;
        let advance = |more: usize| {
            let done = done.fetch_add(more as u64, Ordering::Relaxed) + more as u64;
            if let Ok(mut bar) = bar.try_lock() {
                bar.show(bytes * done / tokens, bytes, clock.now());
            }
        };
        let bos = self.has_bos().then(|| self.tokenizer.rules().bos);
        let windows: Vec<_> = self.windows().collect();
        let losses = Losses { model: &model, kv: arithmetic.kv, bos, advance: &advance };
        let loss = losses.total(&windows, threads);
        if let Ok(mut bar) = bar.lock() {
            bar.clear();
        }
        loss.with_context(|| self.name())
    }

    /// How many sessions fit the memory, at least one.
    fn sessions_that_fit(&self, context: usize, kv: KvFormat) -> usize {
        let needed = self.plan.memory(context, kv);
        let Some(available) = memory_available() else { return usize::MAX };
        let each = needed.kv_cache.saturating_add(needed.activations).max(1);
        let more = available.saturating_sub(needed.total()) / each;
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }
}

/// Computes losses, in nats.
struct Losses<'a> {
    model: &'a Arc<Model>,
    kv: KvFormat,
    /// Fed before a window that does not begin its document.
    bos: Option<u32>,
    /// Called with the number of tokens that were predicted.
    advance: &'a (dyn Fn(usize) + Sync),
}

impl Losses<'_> {
    /// The losses of all windows together. Each thread takes the next window; the sum is in the order
    /// of the windows, so it does not depend on the number of threads.
    fn total(&self, windows: &[(&[u32], Window)], threads: usize) -> Result<f64> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, f64)>> {
            let mut session = Session::with_kv_format(self.model, &OneCore, self.kv)?;
            let mut losses = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(&(tokens, window)) = windows.get(index) else {
                    return Ok(losses);
                };
                match self.of_window(&mut session, tokens, window) {
                    Ok(loss) => losses.push((index, loss)),
                    Err(error) => {
                        // The other threads need not go on.
                        next.store(windows.len(), Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        };
        let losses: Result<Vec<_>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
        });
        let mut losses = losses?.concat();
        losses.sort_by_key(|&(index, _)| index);
        Ok(losses.iter().map(|&(_, loss)| loss).sum())
    }

    fn of_window(
        &self,
        session: &mut Session<'_>,
        tokens: &[u32],
        Window { start, predicted, end }: Window,
    ) -> Result<f64> {
        session.rewind(0);
        if start > 0 {
            session.prefill(self.bos.as_slice())?;
        }
        // The logits of all but the last token before the first prediction are not needed.
        session.prefill(&tokens[start..predicted - 1])?;
        let mut loss = Ok(0.0);
        let mut targets = tokens[predicted..end].iter();
        for batch in tokens[predicted - 1..end - 1].chunks(CHUNK) {
            session.prefill_with_logits(batch, &mut |logits| {
                if let (Ok(sum), Some(&token)) = (&loss, targets.next()) {
                    loss = log_probability(logits, token).map(|log| sum - log);
                }
            })?;
            if loss.is_err() {
                break;
            }
            (self.advance)(batch.len());
        }
        Ok(loss?)
    }
}
