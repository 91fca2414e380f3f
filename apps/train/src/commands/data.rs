//! `bootllm-train data`: make a corpus from texts.

use crate::commands::next;
use anyhow::{Result, bail, ensure};
use bootllm_host::{ProgressBar, StdClock, eprint_line, print_line};
use bootllm_platform::Clock;
use bootllm_train::corpus::{
    ABOUT, Corpus, CorpusSettings, CorpusStats, HELD_OUT, KNOWN_CORPORA, Source, TRAIN, known,
    prepare, text_files,
};
use bootllm_train::error::TrainError;
use bootllm_units as units;
use clap::Args;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The texts of a corpus.
#[derive(Args)]
pub struct Arguments {
    /// The folder of the corpus
    folder: PathBuf,
    /// tinyshakespeare or TinyStories, which are downloaded; files; folders of .txt and .md files
    #[arg(required = true)]
    texts: Vec<PathBuf>,
    /// The share of documents to hold out
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    held_out: f64,
    /// Size of the documents that a text without <|endoftext|> is split into
    #[arg(long, default_value_t = 2000, value_name = "BYTES")]
    document_bytes: usize,
    /// Replace typographic quotes, dashes and dots by ASCII, so that there are fewer characters to
    /// learn
    #[arg(long)]
    plain: bool,
    /// Drop documents that share this many of their 8-grams (words) with held-out ones
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    overlap: f64,
    /// Download only the first N MB
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: Option<u64>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { held_out, document_bytes, plain, overlap, megabytes, .. } = *arguments;
    ensure!(
        (0.0..1.0).contains(&held_out),
        TrainError::option("held-out", "at least 0 and below 1")
    );
    ensure!(overlap > 0.0, TrainError::option("overlap", "above 0; above 1 keeps all documents"));
    ensure!(document_bytes >= 100, TrainError::option("document-bytes", "at least 100"));
    let fetched = arguments.folder.join("fetched");
    let mut sources = Vec::new();
    for text in &arguments.texts {
        read(text, &fetched, megabytes, &mut sources)?;
    }
    let settings = CorpusSettings { held_out, document_bytes, plain, overlap };
    let (clock, mut bar) = (StdClock::new(), ProgressBar::new("reading"));
    let prepared = prepare(sources, &settings, &mut |done, total| {
        bar.show(done, total, clock.now());
    });
    bar.clear();
    let (corpus, stats) = prepared?;
    let about = about(&corpus, &stats, &settings)?;
    corpus.write(&arguments.folder, &about)?;
    print_line(&summary(&arguments.folder, &corpus, &stats))?;
    if corpus.held_out.is_empty() {
        eprint_line("Nothing is held out, so training can neither measure nor stop overfitting.");
    }
    next::show(&[next::own("tokenizer --vocab-size 512", &[&arguments.folder])]);
    Ok(())
}

/// What was written, in a few lines; [`about`] has the details.
fn summary(folder: &Path, corpus: &Corpus, stats: &CorpusStats) -> String {
    let file = |(name, part): (&str, &Vec<String>)| {
        let bytes = part.iter().map(String::len).sum::<usize>();
        let (path, size) = (folder.join(name), units::bytes(bytes as u64));
        format!("{}: {} documents, {size}", path.display(), part.len())
    };
    let licences: BTreeSet<&str> = stats
        .sources
        .iter()
        .map(|source| source.licence.unwrap_or("not known, check before you publish a model"))
        .collect();
    let licences: Vec<&str> = licences.into_iter().collect();
    [
        file((TRAIN, &corpus.train)),
        file((HELD_OUT, &corpus.held_out)),
        format!("licence: {}", licences.join("; ")),
        format!("details: {}", folder.join(ABOUT).display()),
    ]
    .join("\n")
}

/// Reads a public corpus by its name, a file, or a folder.
fn read(
    text: &Path,
    fetched: &Path,
    megabytes: Option<u64>,
    sources: &mut Vec<Source>,
) -> Result<()> {
    if let Some(known) = text.to_str().and_then(known) {
        sources.push(known.fetch(fetched, megabytes)?);
        return Ok(());
    }
    if !text.exists() {
        let names = KNOWN_CORPORA.map(|known| known.name).join(", ");
        bail!(TrainError::UnknownText { path: text.to_owned(), known: names });
    }
    for file in text_files(text)? {
        sources.push(Source::read(&file)?);
    }
    Ok(())
}

/// The text of `corpus.md`.
fn about(corpus: &Corpus, stats: &CorpusStats, settings: &CorpusSettings) -> Result<String> {
    let CorpusSettings { held_out, document_bytes, plain, overlap } = settings;
    let mut text = String::from("# A corpus, made by `bootllm-train data`\n\n");
    for (name, part) in [(TRAIN, &corpus.train), (HELD_OUT, &corpus.held_out)] {
        let bytes = part.iter().map(String::len).sum::<usize>();
        let size = units::bytes(bytes as u64);
        writeln!(text, "- `{name}`: {} documents, {size} ({bytes} bytes)", part.len())?;
    }
    text.push_str("\nSources:\n\n");
    for source in &stats.sources {
        write!(text, "- {}: {} documents, {} bytes", source.name, source.documents, source.bytes)?;
        writeln!(text, "{}", source.licence.map(|it| format!(" ({it})")).unwrap_or_default())?;
    }
    if stats.sources.iter().any(|source| source.licence.is_none()) {
        text.push_str("\nSources without a licence here have an unknown one.\n");
    }
    writeln!(
        text,
        "\nDropped: {} documents that were cut off at the beginning or end of a file, {} duplicates, \
         {} that share at least {overlap} of their 8-grams (words) with held-out documents. {:.1} % \
         of the held-out 8-grams also occur in training documents.",
        stats.cut_off,
        stats.duplicates,
        stats.near_duplicates,
        stats.leak * 100.0
    )?;
    writeln!(
        text,
        "\nA document is held out if the first 8 bytes of the SHA-256 of its words (lower case, \
         letters and digits only, separated by a space) are, as a big-endian number, below \
         {held_out} · 2^64. Texts without separators are split into documents of up to \
         {document_bytes} bytes. Typographic punctuation is {}.",
        if *plain { "replaced by ASCII" } else { "kept" }
    )?;
    Ok(text)
}
