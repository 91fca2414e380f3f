//! `bootllm inspect`: what a model file holds and what it would need.

use crate::model;
use crate::platform::memory_available;
use anyhow::Result;
use bootllm_chat::report::{bytes, count};
use bootllm_engine::Memory;
use bootllm_model_file::{Config, ModelFile};
use clap::Args;
use std::path::PathBuf;

/// What is inspected.
#[derive(Args)]
pub struct Arguments {
    /// A model in one of llama2.c's formats
    model: PathBuf,
    /// The tokenizer; else NAME.tokenizer.bin or tokenizer.bin beside the model
    #[arg(short = 'z', long)]
    tokenizer: Option<PathBuf>,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let opened = model::open(&arguments.model)?;
    let file = &opened.file;
    let line = |label: &str, value: String| println!("{label:<12} {value}");
    line("file", arguments.model.display().to_string());
    line("format", file.version.to_string());
    line("size", format!("{} ({} bytes)", bytes(file.size), file.size));
    let Config { dim, hidden_dim, layers, heads, kv_heads, vocab_size, context, .. } = file.config;
    line("parameters", count(file.parameters()));
    line("shape", format!("dim {dim}, hidden {hidden_dim}, {layers} layers"));
    line(
        "heads",
        format!("{heads} of {}, {kv_heads} for keys and values", file.config.head_size()),
    );
    line("vocabulary", format!("{vocab_size} tokens"));
    line("context", format!("{context} tokens"));
    let shared = file.config.shared_classifier;
    line("classifier", if shared { "the token embedding" } else { "its own" }.into());
    match opened.tokenizer(arguments.tokenizer.as_deref()) {
        Ok(tokenizer) => line(
            "tokenizer",
            format!("{} pieces of up to {} bytes", tokenizer.len(), tokenizer.longest()),
        ),
        Err(error) if arguments.tokenizer.is_none() => line("tokenizer", format!("{error:#}")),
        Err(error) => return Err(error),
    }
    memory(file);
    if arguments.tensors {
        tensors(file);
    }
    Ok(())
}

fn memory(file: &ModelFile) {
    let needed = Memory::needed(file, file.config.context);
    let free = memory_available()
        .map_or(String::new(), |free| format!("; this machine has {} free", bytes(free)));
    println!("{:<12} {} with the whole context{free}", "memory", bytes(needed.total()));
    for (what, size) in [
        ("weights", needed.weights),
        ("KV cache", needed.kv_cache),
        ("activations", needed.buffers),
        ("loading", needed.chunk),
    ] {
        println!("{:<12} {:>10}  {what}", "", bytes(size));
    }
}

fn tensors(file: &ModelFile) {
    println!();
    println!("{:<26} {:>7} {:>8}  {:<6} {:>12}", "tensor", "rows", "columns", "format", "offset");
    for tensor in file.tensors() {
        println!(
            "{:<26} {:>7} {:>8}  {:<6} {:>12}",
            tensor.to_string(),
            tensor.shape.rows,
            tensor.shape.columns,
            tensor.shape.encoding.format().name(),
            tensor.planes[0].offset
        );
    }
}
