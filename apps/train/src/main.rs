#![forbid(unsafe_code)]
//! `bootllm-train`: trains small models.

mod commands;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Train or fine-tune a small language model for bootllm and llama2.c
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a corpus from texts, and hold out some documents
    Data(commands::data::Arguments),
    /// Train a tokenizer on a corpus
    Tokenizer(commands::tokenizer::Arguments),
    /// Train a model, or fine-tune one
    Fit(Box<commands::fit::Arguments>),
    /// Plot the losses of runs
    Plot(commands::plot::Arguments),
    /// Export a run's best model for bootllm and llama2.c
    Export(commands::export::Arguments),
    /// Measure how fast this machine trains
    Bench(commands::bench::Arguments),
}

fn main() -> ExitCode {
    // Without it, a signal would only leave an unfinished file behind.
    let _ = bootllm_host::clean_up_on_signals();
    let result = match Program::parse().command {
        Command::Data(arguments) => commands::data::run(&arguments),
        Command::Tokenizer(arguments) => commands::tokenizer::run(&arguments),
        Command::Fit(arguments) => commands::fit::run(&arguments),
        Command::Plot(arguments) => commands::plot::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            bootllm_host::eprint_line(&format!("bootllm-train: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
