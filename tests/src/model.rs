//! A small model that the tests make themselves.

use bootllm_cores::OneCore;
use bootllm_engine::Model;
use bootllm_model_file::{
    Config, FileFormat, Part, Tokens, Version, largest_group, write, write_gguf,
};
use bootllm_quant::Encoding;
use core::ops::ControlFlow;

/// The formats in which the tests write models. The group of v2 is the largest that fits.
pub const VERSIONS: [fn(&Config) -> Version; 3] =
    [|_| Version::V0, |_| Version::V1, |config| Version::V2 { group: largest_group(config) }];

/// All formats in which the tests write models: those of llama2.c and GGUF's.
pub fn formats(config: &Config) -> Vec<FileFormat> {
    let llama2c = VERSIONS.iter().map(|version| version(config).into());
    let gguf = Encoding::writable().map(|weights| FileFormat::Gguf { weights });
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
    /// A model with several layers, shared key heads and a shared classifier, for
    /// [`vocabulary`](crate::vocabulary). Neither its vocabulary nor its context fills whole
    /// panels or tiles of 32.
    pub fn shared_classifier() -> Self {
        let config = Config {
            dim: 48,
            hidden_dim: 80,
            layers: 3,
            heads: 6,
            kv_heads: 2,
            vocab_size: crate::vocabulary().len(),
            context: 100,
            shared_classifier: true,
            norm_epsilon: Config::NORM_EPSILON,
            rope_base: Config::ROPE_BASE,
        };
        SmallModel { config, seed: 1 }
    }

    /// A model with a classifier of its own and one key head for every query head.
    pub fn own_classifier() -> Self {
        let config = Config {
            dim: 32,
            hidden_dim: 68,
            layers: 2,
            heads: 4,
            kv_heads: 4,
            context: 70,
            shared_classifier: false,
            ..Self::shared_classifier().config
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
            ..Self::shared_classifier().config
        };
        SmallModel { config, seed: 3 }
    }

    /// The model as a file; without a tokenizer inside.
    pub fn file(&self, format: impl Into<FileFormat>) -> Vec<u8> {
        self.file_with(format, None)
    }

    /// The model as a GGUF file with [`vocabulary`](crate::vocabulary) inside.
    pub fn gguf(&self, weights: Encoding) -> Vec<u8> {
        let tokens = crate::vocabulary_of(self.config.vocab_size);
        self.file_with(FileFormat::Gguf { weights }, Some(&tokens))
    }

    fn file_with(&self, format: impl Into<FileFormat>, tokens: Option<&dyn Tokens>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rows = |part, layer, each: &mut dyn FnMut(&[f32]) -> _| {
            let (count, columns) = self.shape(part);
            (0..count).try_for_each(|row| each(&self.row(part, layer, row, columns)))
        };
        let written = match format.into() {
            FileFormat::Llama2c(version) => write(version, &self.config, &mut rows, &mut bytes),
            FileFormat::Gguf { weights } => {
                write_gguf(weights, &self.config, tokens, &mut rows, &mut bytes)
            }
        };
        written.expect("a model that can be written");
        bytes
    }

    fn shape(&self, part: Part) -> (usize, usize) {
        let Config { dim, hidden_dim, vocab_size, .. } = self.config;
        match part {
            Part::TokenEmbedding | Part::Output => (vocab_size, dim),
            Part::AttentionNorm | Part::FeedForwardNorm | Part::OutputNorm => (1, dim),
            Part::Query | Part::AttentionOutput => (dim, dim),
            Part::Key | Part::Value => (self.config.kv_dim(), dim),
            Part::Gate | Part::Up => (hidden_dim, dim),
            Part::Down => (dim, hidden_dim),
        }
    }

    /// Weights of a size that keeps activations near 1, as training does. The embedding is smaller,
    /// or the model would only repeat its last token.
    fn row(&self, part: Part, layer: usize, row: usize, columns: usize) -> Vec<f32> {
        let place = [self.seed, part as u64, layer as u64, row as u64];
        let mut random = Random(place.iter().fold(0, |state, &n| Random(state ^ n).next()));
        let size = 2.0 / (columns as f32).sqrt();
        let value = |number: f32| match part {
            Part::TokenEmbedding => number / 4.0,
            part if part.is_norm() => 1.0 + number / 4.0,
            _ => number * size,
        };
        (0..columns).map(|_| value(random.next_f32())).collect()
    }
}

/// Reads a model file and loads it for `context` positions.
pub(crate) fn load(mut bytes: &[u8], context: usize) -> Model {
    let file = bootllm_model_file::read(&mut bytes).expect("a model");
    let progress = &mut |_| ControlFlow::Continue(());
    Model::load(&OneCore, &file, &mut bytes, context, progress).expect("a model that loads")
}

impl SmallModel {
    /// The model in memory, with its whole context.
    pub fn load(&self, format: impl Into<FileFormat>) -> Model {
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
