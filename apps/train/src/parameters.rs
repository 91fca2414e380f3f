//! The weights of a model, and values of the same shape: gradients and optimizer moments.

use crate::error::TrainError;
use anyhow::{Context, Result, bail};
use bootllm_model_file::{
    Config, ModelFile, RowBuffer, RowError, TensorRole, Version, WriteError, for_each_f32_row,
};
use bootllm_platform::ReadAt;
use core::ops::Range;

/// All tensors of a model in one vector, in the order of llama2.c's v0.
#[derive(Clone)]
pub struct Parameters {
    config: Config,
    values: Vec<f32>,
}

/// The tensors in the order of their storage.
fn order() -> [TensorRole; 12] {
    Version::V0.order()
}

/// Rows and columns of a tensor. A tied output projection has no rows.
pub fn shape(config: &Config, role: TensorRole) -> (usize, usize) {
    let (rows, columns) = role.shape(config);
    let missing = role == TensorRole::Output && config.tied_embeddings;
    (if missing { 0 } else { rows }, columns)
}

/// The number of layers that have the tensor.
fn copies(config: &Config, role: TensorRole) -> usize {
    if role.in_layers() { config.layers } else { 1 }
}

/// The tensor that computes the logits: the token embedding, if the two are tied.
pub fn output_projection(config: &Config) -> TensorRole {
    if config.tied_embeddings { TensorRole::TokenEmbedding } else { TensorRole::Output }
}

/// The number of parameters of a model, or `usize::MAX` if it does not fit into a `usize`.
pub fn count(config: &Config) -> usize {
    let each = |&role: &TensorRole| {
        let (rows, columns) = shape(config, role);
        // Hyperparameters are below 2^31, so the product fits.
        rows as u128 * columns as u128 * copies(config, role) as u128
    };
    usize::try_from(order().iter().map(each).sum::<u128>()).unwrap_or(usize::MAX)
}

/// The number of values of a tensor in one layer.
fn size(config: &Config, role: TensorRole) -> usize {
    let (rows, columns) = shape(config, role);
    rows * columns
}

impl Parameters {
    /// All zeros.
    pub fn zeros(config: &Config) -> Self {
        Parameters { config: *config, values: vec![0.0; count(config)] }
    }

    /// Initial weights as in llama2.c: normally distributed with standard deviation 0.02, or
    /// 0.02 / √(2 · layers) for projections into the residual; norms are 1.
    pub fn random(config: &Config, seed: u64) -> Self {
        let mut parameters = Parameters::zeros(config);
        let mut random = Normal::new(seed);
        let residual = 0.02 / (2.0 * config.layers as f32).sqrt();
        for (role, layer) in parameters.tensors() {
            let deviation = match role {
                TensorRole::AttentionOutput | TensorRole::Down => residual,
                _ => 0.02,
            };
            for value in parameters.tensor_mut(role, layer) {
                *value = if role.is_norm() { 1.0 } else { deviation * random.next() };
            }
        }
        parameters
    }

    /// The weights of a model file.
    pub fn read(file: &ModelFile, source: &mut dyn ReadAt) -> Result<Self> {
        let mut parameters = Parameters::zeros(&Config::of(file)?);
        let mut buffer = RowBuffer::default();
        for (role, layer) in parameters.tensors() {
            let name = role.name(layer);
            let tensor =
                file.tensor(&name).with_context(|| TrainError::MissingTensor(name.clone()))?;
            let columns = tensor.columns();
            let values = parameters.tensor_mut(role, layer);
            for_each_f32_row(source, tensor, &mut buffer, |row, found| {
                values[row * columns..][..columns].copy_from_slice(found);
                Ok::<_, RowError>(())
            })?;
            if !values.iter().all(|value| value.is_finite()) {
                bail!(TrainError::NotFinite(name));
            }
        }
        Ok(parameters)
    }

    /// Writes a model file.
    pub fn write(&self, version: Version, sink: &mut dyn bootllm_model_file::Sink) -> Result<()> {
        let tensors = self.tensors();
        let mut rows = |name: &str, each: &mut dyn FnMut(&[f32]) -> Result<_, _>| {
            let own = tensors.iter().find(|(role, layer)| role.name(*layer) == name);
            let &(role, layer) = own.ok_or_else(|| WriteError::Missing { tensor: name.into() })?;
            self.tensor(role, layer).chunks(shape(&self.config, role).1).try_for_each(each)
        };
        Ok(bootllm_model_file::write(version, &self.config, &mut rows, sink)?)
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes the context length, on which no weight depends.
    pub fn set_context(&mut self, context: usize) {
        self.config.context = context;
    }

    /// Every tensor and its layer, in the order of their storage.
    pub fn tensors(&self) -> Vec<(TensorRole, usize)> {
        let config = self.config;
        let each = |role: TensorRole| (0..copies(&config, role)).map(move |layer| (role, layer));
        let tensors = order().into_iter().flat_map(each);
        tensors.filter(|&(role, _)| size(&config, role) > 0).collect()
    }

    /// Every tensor's values, mutable, in the order of their storage.
    pub fn tensors_mut(&mut self) -> Vec<(TensorRole, &mut [f32])> {
        let tensors = self.tensors();
        let mut rest = self.values.as_mut_slice();
        let mut next = |(role, _)| {
            let (tensor, after) = core::mem::take(&mut rest).split_at_mut(size(&self.config, role));
            rest = after;
            (role, tensor)
        };
        tensors.into_iter().map(&mut next).collect()
    }

    /// The range of a tensor in [`Parameters::values`].
    pub fn range(&self, role: TensorRole, layer: usize) -> Range<usize> {
        let before = order().into_iter().take_while(|&other| other != role);
        let before = before.map(|other| size(&self.config, other) * copies(&self.config, other));
        let size = size(&self.config, role);
        let start = before.sum::<usize>() + layer * size;
        start..start + size
    }

    /// The values of a tensor, row by row.
    pub fn tensor(&self, role: TensorRole, layer: usize) -> &[f32] {
        &self.values[self.range(role, layer)]
    }

    /// The values of a tensor, mutable.
    pub fn tensor_mut(&mut self, role: TensorRole, layer: usize) -> &mut [f32] {
        let range = self.range(role, layer);
        &mut self.values[range]
    }

    /// All values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, mutable.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

/// Normally distributed numbers (Box and Muller, 1958).
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

/// SplitMix64 (Steele, Lea and Flood, 2014). Any seed is good, 0 too.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it is infinite and no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A uniform number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // The product's upper half; the bias is at most limit / 2^64.
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    /// Shuffles a slice (Fisher and Yates).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }
}
