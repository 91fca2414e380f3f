//! `bootllm-train`: trains small models.

mod commands;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Train a small language model, or teach one something new, and put it on a stick.
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {}

fn main() -> Result<()> {
    match Program::parse().command {}
}
