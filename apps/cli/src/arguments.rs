//! What several commands ask for.

use anyhow::{Context, Result};
use bootllm_bench::SHAPES;
use bootllm_host::{MOST_THREADS, Threads, physical_cores};
use bootllm_model_file::Config;
use clap::Args;

/// How many threads compute.
#[derive(Args)]
pub struct ThreadCount {
    /// Threads that compute; the text is the same with any number [default: one a core]
    #[arg(long, value_name = "COUNT", value_parser = threads)]
    threads: Option<usize>,
}

impl ThreadCount {
    /// Starts them.
    pub fn start(&self) -> Result<Threads> {
        let count = self.threads.unwrap_or_else(physical_cores);
        Threads::start(count).with_context(|| format!("{count} threads cannot be started"))
    }
}

/// A count of threads.
pub fn threads(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST_THREADS).contains(count));
    count.ok_or_else(|| format!("it must be 1 to {MOST_THREADS}"))
}

/// A count of one or more.
pub fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or("it must be 1 or more".into())
}

/// A shape by its name.
pub fn shape(name: &str) -> Result<Config, String> {
    bootllm_bench::shape(name).ok_or_else(|| format!("there are {}", SHAPES.join(", ")))
}
