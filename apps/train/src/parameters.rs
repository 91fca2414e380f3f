//! The weights of a model, and what has their shape: gradients, and the moments of the optimizer.

use anyhow::{Context, Result, bail};
use bootllm_model_file::{
    Config, ModelFile, RowBuffer, RowError, TensorRole, Version, WriteError, for_each_f32_row,
};
use bootllm_platform::ReadAt;
use core::ops::Range;

/// All tensors, one behind the other in the order of llama2.c's v0.
#[derive(Clone)]
pub struct Parameters {
    config: Config,
    values: Vec<f32>,
}

/// The tensors in the order in which they lie.
fn order() -> [TensorRole; 12] {
    Version::V0.order()
}

/// Rows and columns of a tensor; none of a classifier that is the embedding.
pub fn shape(config: &Config, part: TensorRole) -> (usize, usize) {
    let (rows, columns) = part.shape(config);
    let missing = part == TensorRole::Output && config.tied_embeddings;
    (if missing { 0 } else { rows }, columns)
}

/// How many layers have the tensor.
fn copies(config: &Config, part: TensorRole) -> usize {
    if part.in_layers() { config.layers } else { 1 }
}

/// The part that turns a token's vector into logits.
pub fn classifier(config: &Config) -> TensorRole {
    if config.tied_embeddings { TensorRole::TokenEmbedding } else { TensorRole::Output }
}

/// The parameters that a model of this shape has; `usize::MAX` if that is no number of a machine.
pub fn count(config: &Config) -> usize {
    let each = |&part: &TensorRole| {
        let (rows, columns) = shape(config, part);
        // Numbers of a configuration are below 2^31.
        rows as u128 * columns as u128 * copies(config, part) as u128
    };
    usize::try_from(order().iter().map(each).sum::<u128>()).unwrap_or(usize::MAX)
}

/// Values of a tensor in one layer.
fn size(config: &Config, part: TensorRole) -> usize {
    let (rows, columns) = shape(config, part);
    rows * columns
}

impl Parameters {
    /// Zeros.
    pub fn zeros(config: &Config) -> Self {
        Parameters { config: *config, values: vec![0.0; count(config)] }
    }

    /// Weights to begin from, as llama2.c has them: a normal distribution of deviation 0.02, and of
    /// 0.02 / √(2 · layers) where a layer adds to what came before; norms at 1.
    pub fn random(config: &Config, seed: u64) -> Self {
        let mut parameters = Parameters::zeros(config);
        let mut random = Normal::new(seed);
        let added = 0.02 / (2.0 * config.layers as f32).sqrt();
        for (part, layer) in parameters.tensors() {
            let deviation = match part {
                TensorRole::AttentionOutput | TensorRole::Down => added,
                _ => 0.02,
            };
            for value in parameters.part_mut(part, layer) {
                *value = if part.is_norm() { 1.0 } else { deviation * random.next() };
            }
        }
        parameters
    }

    /// The weights of a model file.
    pub fn read(file: &ModelFile, source: &mut dyn ReadAt) -> Result<Self> {
        let mut parameters = Parameters::zeros(&Config::of(file)?);
        let mut buffer = RowBuffer::default();
        for (part, layer) in parameters.tensors() {
            let tensor = file.tensor(&part.name(layer)).context("a tensor is missing")?;
            let columns = tensor.columns();
            let values = parameters.part_mut(part, layer);
            for_each_f32_row(source, tensor, &mut buffer, |row, found| {
                values[row * columns..][..columns].copy_from_slice(found);
                Ok::<_, RowError>(())
            })?;
            if !values.iter().all(|value| value.is_finite()) {
                bail!("{part:?} of layer {layer} holds values that are no numbers");
            }
        }
        Ok(parameters)
    }

    /// The parameters as a model file.
    pub fn write(&self, version: Version, sink: &mut dyn bootllm_model_file::Sink) -> Result<()> {
        let tensors = self.tensors();
        let mut rows = |name: &str, each: &mut dyn FnMut(&[f32]) -> Result<_, _>| {
            let own = tensors.iter().find(|(part, layer)| part.name(*layer) == name);
            let &(part, layer) = own.ok_or_else(|| WriteError::Missing { tensor: name.into() })?;
            self.part(part, layer).chunks(shape(&self.config, part).1).try_for_each(each)
        };
        Ok(bootllm_model_file::write(version, &self.config, &mut rows, sink)?)
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Makes it a model of another context; no weight depends on it.
    pub fn set_context(&mut self, context: usize) {
        self.config.context = context;
    }

    /// Every tensor and its layer, in the order in which they lie.
    pub fn tensors(&self) -> Vec<(TensorRole, usize)> {
        let config = self.config;
        let each = |part: TensorRole| (0..copies(&config, part)).map(move |layer| (part, layer));
        let tensors = order().into_iter().flat_map(each);
        tensors.filter(|&(part, _)| size(&config, part) > 0).collect()
    }

    /// Every tensor, to be changed, in the order in which they lie.
    pub fn tensors_mut(&mut self) -> Vec<(TensorRole, &mut [f32])> {
        let tensors = self.tensors();
        let mut rest = self.values.as_mut_slice();
        let mut next = |(part, _)| {
            let (tensor, behind) =
                core::mem::take(&mut rest).split_at_mut(size(&self.config, part));
            rest = behind;
            (part, tensor)
        };
        tensors.into_iter().map(&mut next).collect()
    }

    /// Where a tensor lies.
    pub fn range(&self, part: TensorRole, layer: usize) -> Range<usize> {
        let before = order().into_iter().take_while(|&other| other != part);
        let before = before.map(|other| size(&self.config, other) * copies(&self.config, other));
        let size = size(&self.config, part);
        let start = before.sum::<usize>() + layer * size;
        start..start + size
    }

    /// A tensor, row by row.
    pub fn part(&self, part: TensorRole, layer: usize) -> &[f32] {
        &self.values[self.range(part, layer)]
    }

    /// A tensor to be changed.
    pub fn part_mut(&mut self, part: TensorRole, layer: usize) -> &mut [f32] {
        let range = self.range(part, layer);
        &mut self.values[range]
    }

    /// All values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

/// Numbers of a normal distribution (Box and Muller, 1958).
struct Normal(Random);

impl Normal {
    fn new(seed: u64) -> Self {
        Normal(Random::new(seed))
    }

    fn next(&mut self) -> f32 {
        // Never 0, whose logarithm is infinite.
        let [a, b] = [0; 2].map(|_| ((self.0.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64);
        ((-2.0 * a.ln()).sqrt() * (core::f64::consts::TAU * b).cos()) as f32
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): any seed is a good one, 0 as well.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends and is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // The product's upper half; the bias is at most limit / 2^64.
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    /// Puts a slice into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }
}
