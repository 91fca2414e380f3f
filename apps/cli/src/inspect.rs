//! `bootllm inspect`: what a model file contains, and what it would need.

use anyhow::Result;
use bootllm_engine::{KvFormat, ModelShape, Plan};
use bootllm_host::{ModelSource, memory_available, print_line};
use bootllm_model_file::ModelFile;
use bootllm_units::{bytes, count};
use clap::Args;
use std::fmt::{Display, Write};
use std::path::PathBuf;

/// What is inspected.
#[derive(Args)]
pub struct Arguments {
    /// A model file, or the name of one in models/ or target/models/
    model: PathBuf,
    /// The tokenizer [default: the one inside the model, or NAME.tokenizer.bin or tokenizer.bin
    /// beside it]
    #[arg(short = 'z', long)]
    tokenizer: Option<PathBuf>,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
}

/// Runs the command. A model that cannot be run is described too, with the reasons.
pub fn run(arguments: &Arguments) -> Result<()> {
    let opened = bootllm_host::open(&arguments.model)?;
    let file = &opened.file;
    let mut table = Table::default();
    table.row("file", opened.path.display());
    table.row("format", file.format_name());
    table.row("size", format_args!("{} ({} bytes)", bytes(file.size), file.size));
    match Plan::new(file.clone()) {
        Ok(plan) => {
            table.model(&plan);
            table.tokenizer(&opened, arguments)?;
            table.memory(&plan);
        }
        Err(reason) => {
            table.unplanned(file);
            table.row("can be run", format_args!("no: {reason}"));
            for (format, tensors) in unknown_formats(file) {
                table.row("", format_args!("no: {tensors} tensors are in {format}"));
            }
        }
    }
    if arguments.tensors {
        table.tensors(file);
    }
    print_line(table.0.trim_end())
}

/// The formats that cannot be computed with, and how many tensors have them.
fn unknown_formats(file: &ModelFile) -> Vec<(&'static str, usize)> {
    let mut formats: Vec<(&str, usize)> = Vec::new();
    for unknown in file.tensors().iter().filter_map(|tensor| tensor.encoding.err()) {
        match formats.iter_mut().find(|(name, _)| *name == unknown.name) {
            Some((_, tensors)) => *tensors += 1,
            None => formats.push((unknown.name, 1)),
        }
    }
    formats
}

/// Lines with a label and a value.
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

    fn model(&mut self, plan: &Plan) {
        let &ModelShape { architecture, width, hidden, layers, heads, .. } = plan.shape();
        let &ModelShape { kv_heads, head_size, vocab_size, context, tied_embeddings, .. } =
            plan.shape();
        self.row("architecture", architecture);
        self.row("parameters", count(plan.file().parameters()));
        self.row("shape", format_args!("width {width}, hidden {hidden}, {layers} layers"));
        self.row("heads", format_args!("{heads} of {head_size}, {kv_heads} for keys and values"));
        self.row("vocabulary", format_args!("{vocab_size} tokens"));
        self.row("context", format_args!("{context} tokens"));
        self.row("output", if tied_embeddings { "tied to the token embedding" } else { "its own" });
    }

    /// What is known of a model that cannot be run.
    fn unplanned(&mut self, file: &ModelFile) {
        if let Some(architecture) = file.architecture() {
            self.row("architecture", architecture);
        }
        self.row("parameters", count(file.parameters()));
        self.row("tensors", file.tensors().len());
        if let Some(vocab_size) = file.vocab_size() {
            self.row("vocabulary", format_args!("{vocab_size} tokens"));
        }
        if let Some(context) = file.context() {
            self.row("context", format_args!("{context} tokens"));
        }
    }

    /// Fails only for a tokenizer that was named.
    fn tokenizer(&mut self, opened: &ModelSource, arguments: &Arguments) -> Result<()> {
        match opened.tokenizer(arguments.tokenizer.as_deref()) {
            Ok(tokenizer) => {
                let (pieces, longest) = (tokenizer.len(), tokenizer.longest());
                self.row("tokenizer", format_args!("{pieces} pieces of up to {longest} bytes"));
            }
            Err(error) if arguments.tokenizer.is_none() => {
                self.row("tokenizer", format_args!("{error:#}"));
            }
            Err(error) => return Err(error),
        }
        Ok(())
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
