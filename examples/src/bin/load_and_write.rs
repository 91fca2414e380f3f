#![forbid(unsafe_code)]
//! Loads a model and writes a text: `cargo run --release -p bootllm-examples --bin load_and_write`,
//! with a model file or its name after `--`, if not the one in the repository.

use anyhow::Result;
use bootllm_chat::{Generation, Step};
use bootllm_engine::Session;
use bootllm_host::{StdClock, Threads, physical_cores};
use bootllm_sampling::{Sampler, chain};
use std::{ops::ControlFlow, path::Path, sync::Arc};

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or("bedtime-stories".into());
    let mut source = bootllm_host::open(Path::new(&name))?;
    let threads = Threads::start(physical_cores())?;
    let model = source.load(threads.cores(), None)?;
    let tokenizer = Arc::new(source.tokenizer(None)?);
    let mut session = Session::new(&model, threads.cores())?;

    let prompt = tokenizer.encode("Once upon a time", true, false);
    let sampler = Sampler::new(chain::llama2c(0.8, 0.9, 42), tokenizer.len())?;
    let mut text = Generation::text(tokenizer, sampler, &prompt, 0, &session.sequence)?;
    let (clock, never) = (StdClock::new(), &mut || ControlFlow::Continue(()));
    print!("{}", text.prompt());
    loop {
        match text.step(&mut session.engine, &mut session.sequence, &clock, never)? {
            Step::Reading { .. } => {}
            Step::Text(piece) => print!("{piece}"),
            Step::Done(_, rest) => break println!("{rest}"),
        }
    }
    Ok(())
}
