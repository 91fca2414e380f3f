//! `bootllm inspect`: what a model file holds and what it would need.

use anyhow::Result;
use bootllm_engine::{KvFormat, ModelShape, Plan};
use bootllm_host::{memory_available, print_line};
use bootllm_model_file::ModelFile;
use bootllm_units::{bytes, count};
use clap::Args;
use std::fmt::{Display, Write};
use std::path::PathBuf;

/// What is inspected.
#[derive(Args)]
pub struct Arguments {
    /// A model in one of llama2.c's formats, or GGUF
    model: PathBuf,
    /// The tokenizer; else what is inside the model, or NAME.tokenizer.bin or tokenizer.bin beside it
    #[arg(short = 'z', long)]
    tokenizer: Option<PathBuf>,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let opened = bootllm_host::open(&arguments.model)?;
    let file = &opened.file;
    let mut table = Table::default();
    table.row("file", arguments.model.display());
    table.row("format", file.format_name());
    table.row("size", format_args!("{} ({} bytes)", bytes(file.size), file.size));
    let plan = opened.plan()?;
    let &ModelShape { architecture, width, hidden, layers, heads, kv_heads, head_size, .. } =
        plan.shape();
    let &ModelShape { vocab_size, context, tied_embeddings, .. } = plan.shape();
    table.row("architecture", architecture);
    table.row("parameters", count(file.parameters()));
    table.row("shape", format_args!("width {width}, hidden {hidden}, {layers} layers"));
    table.row("heads", format_args!("{heads} of {head_size}, {kv_heads} for keys and values"));
    table.row("vocabulary", format_args!("{vocab_size} tokens"));
    table.row("context", format_args!("{context} tokens"));
    let output = if tied_embeddings { "tied to the token embedding" } else { "its own" };
    table.row("output", output);
    match opened.tokenizer(arguments.tokenizer.as_deref()) {
        Ok(tokenizer) => table.row(
            "tokenizer",
            format_args!("{} pieces of up to {} bytes", tokenizer.len(), tokenizer.longest()),
        ),
        Err(error) if arguments.tokenizer.is_none() => {
            table.row("tokenizer", format_args!("{error:#}"));
        }
        Err(error) => return Err(error),
    }
    table.memory(&plan);
    if arguments.tensors {
        table.tensors(file);
    }
    print_line(table.0.trim_end())
}

/// Lines of a label and a value.
#[derive(Default)]
struct Table(String);

impl Table {
    fn line(&mut self, line: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn row(&mut self, label: &str, value: impl Display) {
        self.line(format_args!("{label:<12} {value}"));
    }

    fn memory(&mut self, plan: &Plan) {
        let needed = plan.memory(plan.shape().context, KvFormat::F32);
        let free = memory_available()
            .map_or(String::new(), |free| format!("; this machine has {} free", bytes(free)));
        let total = bytes(needed.total());
        self.row("memory", format_args!("{total} with the whole context{free}"));
        for (what, size) in [
            ("weights", needed.weights),
            ("KV cache", needed.kv_cache),
            ("activations", needed.activations),
            ("loading", needed.loading),
        ] {
            self.row("", format_args!("{:>10}  {what}", bytes(size)));
        }
    }

    fn tensors(&mut self, file: &ModelFile) {
        self.line("");
        self.line(format_args!(
            "{:<26} {:>7} {:>8}  {:<6} {:>12}",
            "tensor", "rows", "columns", "format", "offset"
        ));
        for tensor in file.tensors() {
            self.line(format_args!(
                "{:<26} {:>7} {:>8}  {:<6} {:>12}",
                tensor.name,
                tensor.rows(),
                tensor.columns(),
                tensor.format_name(),
                tensor.planes[0].offset
            ));
        }
    }
}
