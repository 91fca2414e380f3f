#![forbid(unsafe_code)]
//! Writes two texts at once: `cargo run --release -p bootllm-examples --bin two_sequences`, with a
//! model file or its name after `--`, if not the one in the repository.
//!
//! Each pass of the engine takes the rows of both sequences, so the weights are read once for the two.
//! A row's bits do not depend on the other rows: each text is the one that it would be alone.

use anyhow::Result;
use bootllm_chat::{Generation, Step};
use bootllm_engine::{Engine, KvFormat, Sequence};
use bootllm_host::{StdClock, Threads, physical_cores};
use bootllm_platform::Clock;
use bootllm_sampling::{Sampler, chain};
use std::{path::Path, sync::Arc};

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or("bedtime-stories".into());
    let mut source = bootllm_host::open(Path::new(&name))?;
    let threads = Threads::start(physical_cores())?;
    let model = source.load(threads.cores(), None)?;
    let tokenizer = Arc::new(source.tokenizer(None)?);
    let mut engine = Engine::new(&model, threads.cores())?;
    let clock = StdClock::new();

    let (mut sequences, mut users) = (Vec::new(), Vec::new());
    for beginning in ["Once upon a time", "The little dog wanted"] {
        let sequence = Sequence::new(&model, model.context(), KvFormat::F32)?;
        let prompt = tokenizer.encode(beginning, true, false);
        let sampler = Sampler::new(chain::llama2c(0.8, 0.9, 42), tokenizer.len())?;
        let text = Generation::text(tokenizer.clone(), sampler, &prompt, 0, &sequence)?;
        users.push(User { written: text.prompt().into(), text, rows: 0, is_done: false });
        sequences.push(sequence);
    }

    let mut rows = Vec::new();
    while users.iter().any(|user| !user.is_done) {
        rows.clear();
        for (number, (user, sequence)) in users.iter_mut().zip(&sequences).enumerate() {
            let before = rows.len();
            if !user.is_done {
                user.text.push_rows(number, sequence.position(), &mut rows);
            }
            user.rows = rows.len() - before;
        }
        if rows.is_empty() {
            // Texts that reached their length want nothing more; they only have to say so.
            for user in &mut users {
                user.advance(0, None, clock.now())?;
            }
            continue;
        }
        // One pass may take fewer rows than there are: the others come again in the next one.
        let mut pass = engine.run(&mut sequences, &rows, None)?;
        let mut done = pass.rows();
        for user in &mut users {
            let fed = user.rows.min(done);
            done -= fed;
            let wants_logits = fed > 0 && rows[pass.rows() - done - 1].logits;
            let logits = if wants_logits { pass.next_logits() } else { None };
            if fed > 0 {
                user.advance(fed, logits.map(|(_, logits)| logits), clock.now())?;
            }
        }
    }
    for user in users {
        println!("{}\n", user.written);
    }
    Ok(())
}

/// Whoever a text is written for.
struct User {
    text: Generation,
    written: String,
    /// Rows that it wants in the next pass.
    rows: usize,
    is_done: bool,
}

impl User {
    fn advance(
        &mut self,
        fed: usize,
        logits: Option<&mut [f32]>,
        now: std::time::Duration,
    ) -> Result<()> {
        match self.text.advance(fed, logits, now)? {
            Step::Reading { .. } => {}
            Step::Text(piece) => self.written += piece,
            Step::Done(_, rest) => {
                self.written += rest;
                self.is_done = true;
            }
        }
        Ok(())
    }
}
