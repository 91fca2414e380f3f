//! `bootllm-train data`: a corpus from texts.

use anyhow::{Result, bail, ensure};
use bootllm_host::{ProgressBar, StdClock, print_line, remark};
use bootllm_platform::Clock;
use bootllm_train::corpus::{
    Corpus, Counts, HELD_OUT, KNOWN, Settings, Source, TRAIN, known, prepare, text_files,
};
use bootllm_units as units;
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What becomes a corpus.
#[derive(Args)]
pub struct Arguments {
    /// The folder to write it into
    folder: PathBuf,
    /// tinyshakespeare or TinyStories, which are fetched; files; folders of .txt and .md files
    #[arg(required = true)]
    texts: Vec<PathBuf>,
    /// The share of the documents that is never trained on
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    held_out: f64,
    /// A text that does not part its documents by <|endoftext|> is parted into some of this size
    #[arg(long, default_value_t = 2000, value_name = "BYTES")]
    document_bytes: usize,
    /// Make typographic quotes, dashes and dots ASCII's: fewer characters to learn
    #[arg(long)]
    plain: bool,
    /// Drop what has this share of its runs of 8 words in common with the held-out part
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    overlap: f64,
    /// Fetch only the beginning of a corpus
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: Option<u64>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { held_out, document_bytes, plain, overlap, megabytes, .. } = *arguments;
    ensure!((0.0..1.0).contains(&held_out), "--held-out is a share from 0 to less than 1");
    ensure!(overlap > 0.0, "--overlap is a share above 0 (above 1 nothing is dropped)");
    ensure!(document_bytes >= 100, "--document-bytes: a document needs at least 100 bytes");
    let fetched = arguments.folder.join("fetched");
    let mut sources = Vec::new();
    for text in &arguments.texts {
        read(text, &fetched, megabytes, &mut sources)?;
    }
    let settings = Settings { held_out, document_bytes, plain, overlap };
    let (clock, mut bar) = (StdClock::new(), ProgressBar::new("reading"));
    let prepared = prepare(sources, &settings, &mut |done, total| {
        bar.show(done, total, clock.now());
    });
    bar.clear();
    let (corpus, counts) = prepared?;
    let about = about(&corpus, &counts, &settings)?;
    corpus.write(&arguments.folder, &about)?;
    print_line(about.trim_end())?;
    if corpus.held_out.is_empty() {
        remark("Nothing is held out, so how well a model does on new text cannot be measured.");
    }
    Ok(())
}

/// Reads what is meant: a corpus with a name, a file, or a folder.
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
        let names = KNOWN.map(|known| known.name).join(", ");
        bail!("{}: there is no such file, and no corpus but {names} is known", text.display());
    }
    for file in text_files(text)? {
        sources.push(Source::read(&file)?);
    }
    Ok(())
}

/// What the corpus is, for a person.
fn about(corpus: &Corpus, counts: &Counts, settings: &Settings) -> Result<String> {
    let Settings { held_out, document_bytes, plain, overlap } = settings;
    let mut text = String::from("# A corpus, made by `bootllm-train data`\n\n");
    for (name, part) in [(TRAIN, &corpus.train), (HELD_OUT, &corpus.held_out)] {
        let bytes = part.iter().map(String::len).sum::<usize>();
        let size = units::bytes(bytes as u64);
        writeln!(text, "- `{name}`: {} documents, {size} ({bytes} bytes)", part.len())?;
    }
    text.push_str("\nFrom\n\n");
    for source in &counts.sources {
        write!(text, "- {}: {} documents, {} bytes", source.name, source.documents, source.bytes)?;
        writeln!(text, "{}", source.licence.map(|it| format!(" ({it})")).unwrap_or_default())?;
    }
    if counts.sources.iter().any(|source| source.licence.is_none()) {
        text.push_str("\nWhose these texts are and under which licence is not known here.\n");
    }
    writeln!(
        text,
        "\nDropped: {} documents cut off at a file's edge, {} with the words of an earlier one, \
         {} that have at least {overlap} of their runs of 8 words in common with the held-out \
         part. Of its runs of 8 words {:.1} % are still in what is trained on.",
        counts.cut_off,
        counts.duplicates,
        counts.near_duplicates,
        counts.leak * 100.0
    )?;
    writeln!(
        text,
        "\nHeld out is a document if the first 8 bytes of the SHA-256 of its words (lower case, \
         letters and digits only, parted by a space) are, as a big-endian number, below \
         {held_out} · 2^64. Texts that do not part their documents are parted into some of \
         {document_bytes} bytes. Typographic signs are {}.",
        if *plain { "made ASCII's" } else { "kept" }
    )?;
    Ok(text)
}
