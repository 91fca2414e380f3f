//! `bootllm-train data`: a corpus from texts.

use anyhow::{Result, ensure};
use bootllm_host::{print_line, remark};
use bootllm_train::corpus::{Corpus, Counts, HELD_OUT, Settings, TRAIN, prepare, read_sources};
use clap::Args;
use std::fmt::Write;
use std::path::PathBuf;

/// What becomes a corpus.
#[derive(Args)]
pub struct Arguments {
    /// The folder to write it into
    folder: PathBuf,
    /// Texts: files, or folders of .txt and .md files
    #[arg(required = true)]
    texts: Vec<PathBuf>,
    /// The share of the documents that is never trained on
    #[arg(long, default_value_t = 0.05)]
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
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { held_out, document_bytes, plain, overlap, .. } = *arguments;
    ensure!((0.0..1.0).contains(&held_out), "--held-out is a share from 0 to less than 1");
    ensure!(overlap > 0.0, "--overlap is a share above 0; 1 and more drops nothing");
    ensure!(document_bytes >= 100, "--document-bytes: documents need at least 100 bytes");
    let sources = read_sources(&arguments.texts)?;
    let settings = Settings { held_out, document_bytes, plain, overlap };
    let (corpus, counts) = prepare(&sources, &settings)?;
    let report = report(&corpus, &counts, &settings)?;
    corpus.write(&arguments.folder, &report)?;
    print_line(report.trim_end())?;
    if corpus.held_out.is_empty() {
        remark("Nothing is held out: how well a model does on new text cannot be measured.");
    }
    Ok(())
}

/// What the corpus is, for a person.
fn report(corpus: &Corpus, counts: &Counts, settings: &Settings) -> Result<String> {
    let mut text = String::from("# A corpus\n\n");
    let bytes = |part: &[String]| part.iter().map(String::len).sum::<usize>();
    for (name, part) in [(TRAIN, &corpus.train), (HELD_OUT, &corpus.held_out)] {
        writeln!(text, "- {name}: {} documents, {} bytes", part.len(), bytes(part))?;
    }
    writeln!(text, "\nFrom:\n")?;
    for (name, bytes, documents) in &counts.sources {
        writeln!(text, "- {name}: {bytes} bytes, {documents} documents")?;
    }
    writeln!(
        text,
        "\nDropped: {} documents cut off at a file's edge, {} with the words of an earlier one, \
         {} that share {} % of their runs of 8 words with the held-out part.",
        counts.cut_off,
        counts.duplicates,
        counts.near_duplicates,
        settings.overlap * 100.0
    )?;
    writeln!(
        text,
        "Of the runs of 8 words in the held-out part, {:.1} % also occur in what is trained on.",
        counts.leak * 100.0
    )?;
    Ok(text)
}
