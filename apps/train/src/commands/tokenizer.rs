//! `bootllm-train tokenizer`: train a tokenizer on a corpus.

use crate::commands::next;
use anyhow::Result;
use bootllm_host::{ProgressBar, StdClock, print_line, write_whole};
use bootllm_platform::Clock;
use bootllm_train::corpus::Corpus;
use bootllm_train::vocabulary::{TrainedTokenizer, train};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// The corpus and the vocabulary size.
#[derive(Args)]
pub struct Arguments {
    /// The folder of the corpus, made by `bootllm-train data`
    corpus: PathBuf,
    /// Number of tokens: 259 reserved ones, the text's characters, and merges
    #[arg(long, default_value_t = 2048)]
    vocab_size: usize,
    /// The file to write [default: tokenizer.bin in the corpus]
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let corpus = Corpus::read(&arguments.corpus)?;
    let (clock, mut bar) = (StdClock::new(), ProgressBar::new("counting words"));
    let total = corpus.train.iter().map(String::len).sum::<usize>() as u64;
    let mut done = 0;
    let documents = corpus.train.iter().map(|document| {
        done += document.len() as u64;
        bar.show(done, total, clock.now());
        document.as_str()
    });
    let trained = train(documents, arguments.vocab_size);
    bar.clear();
    let trained = trained?;
    let output = arguments.output.clone();
    let output = output.unwrap_or_else(|| arguments.corpus.join("tokenizer.bin"));
    write_whole(&output, |file| Ok(file.write_all(&trained.tokenizer.write())?))?;
    let name = output.display();
    print_line(&format!("{name}: {} tokens", trained.tokenizer.len()))?;
    for (name, documents) in [("trained on", &corpus.train), ("held out", &corpus.held_out)] {
        if let Some(ratio) = bytes_per_token(&trained, documents) {
            print_line(&format!("{name}: {ratio:.2} bytes per token"))?;
        }
    }
    if arguments.output.is_none() {
        let run = arguments.corpus.with_file_name("run");
        next::show(&[next::own("fit", &[&arguments.corpus, &run])]);
    }
    Ok(())
}

/// Bytes of text per token; `None` without text.
fn bytes_per_token(trained: &TrainedTokenizer, documents: &[String]) -> Option<f64> {
    // Looking up words is faster than encoding.
    let tokens = |document: &String| {
        let known = trained.encode(document);
        known.unwrap_or_else(|| trained.tokenizer.encode(document, false, false)).len()
    };
    let bytes: usize = documents.iter().map(String::len).sum();
    (bytes > 0).then(|| bytes as f64 / documents.iter().map(tokens).sum::<usize>() as f64)
}
