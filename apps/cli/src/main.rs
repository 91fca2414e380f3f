#![forbid(unsafe_code)]
//! `bootllm`: runs, inspects and converts language models.
//!
//! Standard output has the result and nothing else; progress and figures go to standard error. The
//! exit status is 1 after an error.

mod arguments;
mod bench;
mod convert;
mod format;
mod inspect;
mod logits;
mod perplexity;
mod repl;
mod run;
mod stop;
mod synthesize;
mod windows;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Weights are in large pages.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[global_allocator]
static HEAP: bootllm_host::Heap = bootllm_host::Heap::new();

/// Runs, inspects and converts language models.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a text, or chat
    Run(run::Arguments),
    /// Run the boot image's interactive program in this terminal
    Repl(repl::Arguments),
    /// Show what a model file contains and how much memory it needs
    Inspect(inspect::Arguments),
    /// Show, save or compare a model's logits
    Logits(logits::Arguments),
    /// Measure how well models predict a text
    Perplexity(perplexity::Arguments),
    /// Write a model in another format
    Convert(convert::Arguments),
    /// Write a model with random weights, to measure speed with
    Synthesize(synthesize::Arguments),
    /// Measure how fast a model runs on this machine, and how fast it could
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            let _ = message.print();
            return if message.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    // Without handlers everything else still works.
    let _ = bootllm_host::clean_up_on_signals();
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Repl(arguments) => repl::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Logits(arguments) => logits::run(&arguments),
        Command::Perplexity(arguments) => perplexity::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Synthesize(arguments) => synthesize::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            bootllm_host::eprint_line(&format!("bootllm: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
