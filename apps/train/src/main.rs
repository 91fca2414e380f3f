#![forbid(unsafe_code)]
//! `bootllm-train`: trains small models.

mod commands;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Train a small language model, or teach one something new, and put it on a stick.
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a corpus of texts, a part of it held out
    Data(commands::data::Arguments),
    /// Make a tokenizer for a corpus
    Tokenizer(commands::tokenizer::Arguments),
    /// Train a model, from nothing or from another
    Fit(Box<commands::fit::Arguments>),
    /// Draw how runs went
    Plot(commands::plot::Arguments),
    /// Write a run's model for bootllm and llama2.c
    Export(commands::export::Arguments),
    /// Measure how fast this machine trains
    Bench(commands::bench::Arguments),
}

fn main() -> ExitCode {
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
