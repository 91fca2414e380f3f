//! `bootllm repl`: the program of the stick, in a terminal, with a folder as its volume.

use crate::arguments::{Arithmetic, ThreadCount};
use anyhow::{Context, Result};
use bootllm_host::{Folder, StdClock, SystemEntropy, SystemMachine, open_console};
use bootllm_repl::{Options, Platform, STORY_PACE};
use clap::Args;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Where the models lie.
#[derive(Args)]
pub struct Arguments {
    /// The folder that takes the stick's place
    #[arg(default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    arithmetic: Arithmetic,
    #[command(flatten)]
    threads: ThreadCount,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.folder;
    std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let threads = arguments.threads.start()?;
    let mut console = open_console()?;
    let platform = Platform {
        console: &mut *console,
        storage: &mut Folder::new(folder),
        clock: &StdClock::new(),
        entropy: &mut SystemEntropy,
        machine: &mut SystemMachine,
        cores: threads.cores(),
    };
    let (kv, cpu) = (arguments.arithmetic.kv, Some(arguments.arithmetic.cpu()));
    // A file needs no time to read.
    let is_read = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let story_pace = is_read.then_some(STORY_PACE);
    bootllm_repl::run(platform, &Options { kv, cpu, story_pace, ..Options::default() });
    Ok(())
}
