//! Generates samples with the product's own engine.

use crate::parameters::Parameters;
use anyhow::Result;
use bootllm_chat::{Generation, Step};
use bootllm_cores::OneCore;
use bootllm_engine::{Model, Plan, Session};
use bootllm_host::StdClock;
use bootllm_model_file::Version;
use bootllm_sampling::{Sampler, SamplerSettings};
use bootllm_tokenizer::Tokenizer;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Loads weights into the engine, through the bytes of a model file.
pub fn load(weights: &Parameters) -> Result<Arc<Model>> {
    let mut bytes = Vec::new();
    weights.write(Version::V0, &mut bytes)?;
    let mut source = bytes.as_slice();
    let plan = Arc::new(Plan::new(Arc::new(bootllm_model_file::read(&mut source)?))?);
    let context = plan.shape().context;
    let go_on = &mut |_| ControlFlow::Continue(());
    Ok(Model::load(&plan, &mut source, &OneCore, context, go_on)?)
}

/// Generates a text of up to 200 tokens, which begins with the prompt.
pub fn generate(
    weights: &Parameters,
    tokenizer: &Arc<Tokenizer>,
    prompt: &str,
    seed: u64,
) -> Result<String> {
    let mut session = Session::new(&load(weights)?, &OneCore)?;
    let settings = SamplerSettings { temperature: 0.8, ..SamplerSettings::default() };
    let sampler = Sampler::new(settings.chain(seed.max(1)), tokenizer.len())?;
    let prompt = tokenizer.encode(prompt, true, false);
    let clock = StdClock::new();
    let Session { engine, sequence, .. } = &mut session;
    let mut text = Generation::text(tokenizer.clone(), sampler, &prompt, 200, sequence)?;
    let mut written = String::from(text.prompt());
    loop {
        let go_on = &mut || ControlFlow::Continue(());
        match text.step(engine, sequence, &clock, go_on)? {
            Step::Reading { .. } => {}
            Step::Text(piece) => written.push_str(piece),
            Step::Done(_, rest) => return Ok(written + rest),
        }
    }
}
