//! What a model writes, by the product's own engine.

use crate::parameters::Parameters;
use anyhow::Result;
use bootllm_chat::generate;
use bootllm_cores::OneCore;
use bootllm_engine::{Model, Session};
use bootllm_host::StdClock;
use bootllm_model_file::Version;
use bootllm_sampling::{Sampler, Settings};
use bootllm_tokenizer::Tokenizer;
use std::ops::ControlFlow;

/// The model as the engine loads it, from the bytes of a file.
pub fn load(weights: &Parameters) -> Result<Model> {
    let mut bytes = Vec::new();
    weights.write(Version::V0, &mut bytes)?;
    let mut source = bytes.as_slice();
    let file = bootllm_model_file::read(&mut source)?;
    let context = file.config.context;
    Ok(Model::load(&OneCore, &file, &mut source, context, &mut |_| ControlFlow::Continue(()))?)
}

/// A text of up to 200 tokens that begins with the prompt.
pub fn write(
    weights: &Parameters,
    tokenizer: &Tokenizer,
    prompt: &str,
    seed: u64,
) -> Result<String> {
    let model = load(weights)?;
    let mut session = Session::new(&model, &OneCore)?;
    let settings = Settings { temperature: 0.8, ..Settings::default() };
    let mut sampler = Sampler::new(&settings, seed.max(1), tokenizer.len())?;
    let prompt = tokenizer.encode(prompt, true, false);
    let mut text = String::new();
    let clock = StdClock::new();
    generate(&mut session, tokenizer, &mut sampler, &prompt, 200, &clock, &mut |piece| {
        text.push_str(piece);
        ControlFlow::Continue(())
    })?;
    Ok(text)
}
