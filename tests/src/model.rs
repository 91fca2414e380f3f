//! A small model that the tests make themselves.

use crate::{Gguf, GgufTensor, value};
use bootllm_chat::{Digest, DigestRun, DigestStep, GenerateError, Generation, Report, Step};
use bootllm_cores::OneCore;
use bootllm_engine::{Model, Plan, Session};
use bootllm_model_file::{
    Config, ModelFile, OutputFormat, TensorRole, Tokens, Version, largest_group, write, write_gguf,
};
use bootllm_platform::Clock;
use bootllm_quant::Encoding;
use bootllm_sampling::Sampler;
use bootllm_tokenizer::Tokenizer;
use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The formats in which the tests write models. The group of v2 is the largest that fits.
pub const VERSIONS: [fn(&Config) -> Version; 3] =
    [|_| Version::V0, |_| Version::V1, |config| Version::V2 { group: largest_group(config) }];

/// All formats in which the tests write models: those of llama2.c and GGUF's.
pub fn formats(config: &Config) -> Vec<OutputFormat> {
    let llama2c = VERSIONS.iter().map(|version| version(config).into());
    let gguf = Encoding::writable().map(OutputFormat::Gguf);
    llama2c.chain(gguf).collect()
}

/// A model with random weights, the same for the same shape and seed.
#[derive(Clone, Copy, Debug)]
pub struct SmallModel {
    /// Its shape.
    pub config: Config,
    /// Where its weights come from.
    pub seed: u64,
}

impl SmallModel {
    /// A model with several layers, shared key heads and tied embeddings, for
    /// [`vocabulary`](crate::vocabulary). Neither its vocabulary nor its context fills whole
    /// panels or tiles of 32.
    pub fn tied_embeddings() -> Self {
        let config = Config {
            dim: 48,
            hidden_dim: 80,
            layers: 3,
            heads: 6,
            kv_heads: 2,
            vocab_size: crate::vocabulary().len(),
            context: 100,
            tied_embeddings: true,
            norm_epsilon: Config::NORM_EPSILON,
            rope_base: Config::ROPE_BASE,
        };
        SmallModel { config, seed: 1 }
    }

    /// A model with an output projection of its own and one key head for every query head.
    pub fn untied_embeddings() -> Self {
        let config = Config {
            dim: 32,
            hidden_dim: 68,
            layers: 2,
            heads: 4,
            kv_heads: 4,
            context: 70,
            tied_embeddings: false,
            ..Self::tied_embeddings().config
        };
        SmallModel { config, seed: 2 }
    }

    /// The smallest model there is: 2 values, 1 head, 1 layer, 3 tokens, 4 positions.
    pub fn smallest() -> Self {
        let config = Config {
            dim: 2,
            hidden_dim: 1,
            layers: 1,
            heads: 1,
            kv_heads: 1,
            vocab_size: 3,
            context: 4,
            ..Self::tied_embeddings().config
        };
        SmallModel { config, seed: 3 }
    }

    /// The model as a file; without a tokenizer inside.
    pub fn file(&self, format: impl Into<OutputFormat>) -> Vec<u8> {
        self.file_with(format, None)
    }

    /// The model as a GGUF file with [`vocabulary`](crate::vocabulary) inside.
    pub fn gguf(&self, weights: Encoding) -> Vec<u8> {
        let tokens = crate::vocabulary_of(self.config.vocab_size);
        self.file_with(weights, Some(&tokens))
    }

    fn file_with(&self, format: impl Into<OutputFormat>, tokens: Option<&dyn Tokens>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let named = |(role, layer): (TensorRole, usize)| (role.name(layer), (role, layer));
        let places: BTreeMap<String, _> = TensorRole::of(&self.config).map(named).collect();
        let mut rows = |name: &str, each: &mut dyn FnMut(&[f32]) -> _| {
            let (role, layer) = places[name];
            let (count, columns) = role.shape(&self.config);
            (0..count).try_for_each(|row| each(&self.row(role, layer, row, columns)))
        };
        let written = match format.into() {
            OutputFormat::Llama2c(version) => write(version, &self.config, &mut rows, &mut bytes),
            OutputFormat::Gguf(weights) => {
                let file = ModelFile::describe(&self.config, |_| (Encoding::F32, [0; 2]));
                write_gguf(weights, &file, tokens, &mut rows, &mut bytes)
            }
        };
        written.expect("a model that can be written");
        bytes
    }

    /// Weights of a size that keeps activations near 1, as training does. The embedding is smaller,
    /// or the model would only repeat its last token.
    fn row(&self, part: TensorRole, layer: usize, row: usize, columns: usize) -> Vec<f32> {
        let place = [self.seed, part as u64, layer as u64, row as u64];
        let mut random = Random(place.iter().fold(0, |state, &n| Random(state ^ n).next()));
        let size = 2.0 / (columns as f32).sqrt();
        let value = |number: f32| match part {
            TensorRole::TokenEmbedding => number / 4.0,
            part if part.is_norm() => 1.0 + number / 4.0,
            _ => number * size,
        };
        (0..columns).map(|_| value(random.next_f32())).collect()
    }
}

/// The same model as a Qwen2 in a GGUF file, with a bias for every query, key and value.
pub fn qwen2(model: &SmallModel, weights: Encoding) -> Vec<u8> {
    let mut file = Gguf::parse(&model.gguf(weights));
    for (key, value) in &mut file.values {
        if let Some(rest) = key.strip_prefix("llama.") {
            *key = format!("qwen2.{rest}");
        } else if key == "general.architecture" {
            *value = value::text("qwen2");
        }
    }
    let mut random = Random(model.seed);
    let biases: Vec<GgufTensor> = file
        .tensors
        .iter()
        .filter_map(|tensor| {
            let name = tensor.name.strip_suffix(".weight")?;
            ["attn_q", "attn_k", "attn_v"].iter().find(|kind| name.ends_with(*kind))?;
            let rows = tensor.dimensions[1];
            let bytes = (0..rows).flat_map(|_| (random.next_f32() / 2.0).to_le_bytes()).collect();
            Some(GgufTensor {
                name: format!("{name}.bias"),
                dimensions: vec![rows],
                kind: 0,
                bytes,
            })
        })
        .collect();
    file.tensors.extend(biases);
    file.bytes()
}

/// Reads the description of a model file and plans it.
pub fn plan(mut bytes: &[u8]) -> Arc<Plan> {
    let file = bootllm_model_file::read(&mut bytes).expect("a model");
    Arc::new(Plan::new(Arc::new(file)).expect("a model that can be run"))
}

/// Reads a model file and loads it for `context` positions.
pub fn load(mut bytes: &[u8], context: usize) -> Arc<Model> {
    let progress = &mut |_| ControlFlow::Continue(());
    Model::load(&plan(bytes), &mut bytes, &OneCore, context, progress).expect("a model that loads")
}

/// A model's digest, from this token on.
pub fn digest(session: &mut Session<'_>, first: u32, positions: usize) -> Digest {
    let Session { engine, sequence, .. } = session;
    let mut run = DigestRun::new(first, positions, sequence);
    loop {
        let step = run.step(engine, sequence, &mut || ControlFlow::Continue(())).unwrap();
        if let DigestStep::Done(digest) = step {
            return digest;
        }
    }
}

/// Generates a text of up to `length` tokens; returns it with its figures.
pub fn write_text(
    session: &mut Session<'_>,
    tokenizer: &Arc<Tokenizer>,
    sampler: Sampler,
    prompt: &[u32],
    length: usize,
) -> Result<(String, Report), GenerateError> {
    session.rewind(0);
    let Session { engine, sequence, .. } = session;
    let mut text = Generation::text(tokenizer.clone(), sampler, prompt, length, sequence)?;
    let mut written = String::with_capacity(64 << 10);
    written.push_str(text.prompt());
    loop {
        match text.step(engine, sequence, &NoClock, &mut || ControlFlow::Continue(()))? {
            Step::Reading { .. } => {}
            Step::Text(piece) => written.push_str(piece),
            Step::Done(_, rest) => {
                written.push_str(rest);
                return Ok((written, text.report()));
            }
        }
    }
}

/// A clock that stands still.
pub struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl SmallModel {
    /// The model in memory, with its whole context.
    pub fn load(&self, format: impl Into<OutputFormat>) -> Arc<Model> {
        load(&self.file(format), self.config.context)
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From −1 to 1.
    fn next_f32(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}
