//! The forward pass with Burn's tensors. Burn derives the backward pass.
//!
//! Shapes in the comments: `b` sequences in a batch, `l` positions in each, `n = b · l`.

use crate::error::TrainError;
use crate::network::Batch;
use crate::ops::dropout::Dropout;
use crate::ops::rms_norm::EPSILON;
use crate::parameters::{Parameters, output_projection, shape};
use anyhow::{Context, Result};
use bootllm_model_file::{Config, TensorRole};
use bootllm_simd::RopeTable;
use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor, TensorData, Transaction};

/// The score of masked positions. Finite, because GPU code may assume that there are no infinities.
const MASKED: f32 = -1e30;

/// The tensors of [`Parameters`] on a device, in the same order.
#[derive(Clone)]
pub struct Tensors {
    config: Config,
    roles: Vec<(TensorRole, usize)>,
    /// (rows, columns); a norm has one row.
    pub tensors: Vec<Tensor<2>>,
}

impl Tensors {
    /// Copies parameters to a device.
    pub fn upload(parameters: &Parameters, device: &Device) -> Self {
        let config = *parameters.config();
        let roles = parameters.tensors();
        let upload = |&(role, layer): &(TensorRole, usize)| {
            let (rows, columns) = shape(&config, role);
            let values = parameters.tensor(role, layer).to_vec();
            Tensor::from_data(TensorData::new(values, [rows, columns]), device)
        };
        let tensors = roles.iter().map(upload).collect();
        Tensors { config, roles, tensors }
    }

    /// Copies them back.
    pub fn download(&self) -> Result<Parameters> {
        let read =
            |transaction: Transaction, tensor: &Tensor<2>| transaction.register(tensor.clone());
        let data = self.tensors.iter().fold(Transaction::default(), read).try_execute()?;
        let mut parameters = Parameters::zeros(&self.config);
        for ((_, values), data) in parameters.tensors_mut().into_iter().zip(data) {
            values.copy_from_slice(&data.try_into_vec::<f32>()?);
        }
        Ok(parameters)
    }

    /// The role of each tensor.
    pub fn tensor_roles(&self) -> impl Iterator<Item = TensorRole> {
        self.roles.iter().map(|&(role, _)| role)
    }

    /// The same weights, tracked for automatic differentiation.
    pub fn tracked(&self) -> Self {
        let tracked = |tensor: &Tensor<2>| tensor.clone().autodiff().require_grad();
        Tensors { tensors: self.tensors.iter().map(tracked).collect(), ..self.clone() }
    }

    fn of(&self, role: TensorRole, layer: usize) -> Tensor<2> {
        let index = self.roles.iter().position(|&place| place == (role, layer));
        self.tensors[index.expect("every tensor of the shape is here")].clone()
    }
}

/// A batch padded to a rectangle. Padding is at the end of a sequence, where the causal mask hides it
/// from the tokens.
struct PaddedBatch {
    /// `b` and `l`.
    size: [usize; 2],
    /// (n)
    tokens: Tensor<1, Int>,
    /// (n, 1)
    targets: Tensor<2, Int>,
    /// 1 for a token, 0 for padding (n, 1).
    real: Tensor<2>,
}

impl PaddedBatch {
    fn new(batch: &Batch, device: &Device) -> Self {
        let (count, length) =
            (batch.lengths.len(), batch.lengths.iter().copied().max().unwrap_or(0));
        let n = count * length;
        let (mut tokens, mut targets, mut real) = (vec![0; n], vec![0; n], vec![0f32; n]);
        let mut from = 0;
        for (sequence, &length_here) in batch.lengths.iter().enumerate() {
            for place in sequence * length..sequence * length + length_here {
                // Tokens are below 2^31, like all hyperparameters.
                tokens[place] = batch.tokens[from] as i32;
                targets[place] = batch.targets[from] as i32;
                real[place] = 1.0;
                from += 1;
            }
        }
        PaddedBatch {
            size: [count, length],
            tokens: Tensor::from_data(TensorData::new(tokens, [n]), device),
            targets: Tensor::from_data(TensorData::new(targets, [n, 1]), device),
            real: Tensor::from_data(TensorData::new(real, [n, 1]), device),
        }
    }
}

/// A network's shape and RoPE table.
pub struct Network {
    config: Config,
    device: Device,
    /// (1, context, s / 2, 1) each.
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Network {
    /// A network of this shape.
    pub fn new(config: &Config, device: &Device) -> Result<Self> {
        let (context, pairs) = (config.context, config.head_size() / 2);
        let table = RopeTable::new(config.head_size(), context, Config::ROPE_BASE);
        let table = table.ok().context(TrainError::RopeTable)?;
        let turns = (0..context).flat_map(|position| table.turns(position));
        let (cos, sin): (Vec<f32>, Vec<f32>) = turns.copied().unzip();
        let tensor =
            |values| Tensor::from_data(TensorData::new(values, [1, context, pairs, 1]), device);
        Ok(Network { config: *config, device: device.clone(), cos: tensor(cos), sin: tensor(sin) })
    }

    /// The loss of a batch: the sum of −ln p(target) over its tokens, in nats.
    pub fn loss(&self, w: &Tensors, batch: &Batch, dropout: Dropout) -> Tensor<1> {
        let PaddedBatch { size, tokens, targets, real } = PaddedBatch::new(batch, &self.device);
        let rate = dropout.rate();
        let mut x = dropped(w.of(TensorRole::TokenEmbedding, 0).select(0, tokens), rate);
        for layer in 0..self.config.layers {
            x = x.clone() + dropped(self.attention(w, layer, x, size, rate), rate);
            x = x.clone() + dropped(feed_forward(w, layer, x), rate);
        }
        let normed = rms_norm(x, w.of(TensorRole::OutputNorm, 0));
        let logits = linear(normed, w.of(output_projection(&self.config), 0));
        (log_softmax(logits, 1).gather(1, targets) * real).sum().neg()
    }

    /// The attention output (n, d).
    fn attention(
        &self,
        w: &Tensors,
        layer: usize,
        x: Tensor<2>,
        [b, l]: [usize; 2],
        dropout: f32,
    ) -> Tensor<2> {
        let Config { dim, heads, kv_heads, .. } = self.config;
        let s = self.config.head_size();
        let normed = rms_norm(x, w.of(TensorRole::AttentionNorm, layer));
        let split = |role, heads| {
            let rows = linear(normed.clone(), w.of(role, layer));
            rows.reshape([b, l, heads, s]).swap_dims(1, 2)
        };
        let q = self.rope(split(TensorRole::Query, heads));
        let k = self.rope(split(TensorRole::Key, kv_heads));
        let v = split(TensorRole::Value, kv_heads);
        // Query heads that share a key head are adjacent, so they are rows of one product.
        let shared = heads / kv_heads;
        let q = q.reshape([b, kv_heads, shared * l, s]);
        let scores = q.matmul(k.transpose()) * (1.0 / (s as f32).sqrt());
        let future = Tensor::<2, Bool>::tril_mask([l, l], 0, &self.device);
        let scores = scores.reshape([b, heads, l, l]);
        let scores = scores.mask_fill(future.reshape([1, 1, l, l]), MASKED);
        let weights = dropped(softmax(scores, 3), dropout);
        let attended = weights.reshape([b, kv_heads, shared * l, l]).matmul(v);
        let attended = attended.reshape([b, heads, l, s]).swap_dims(1, 2).reshape([b * l, dim]);
        linear(attended, w.of(TensorRole::AttentionOutput, layer))
    }

    /// Rotates adjacent pairs by their position: (b, heads, l, s) to the same.
    fn rope(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, heads, l, s] = x.dims();
        let pairs = x.reshape([b * heads, l, s / 2, 2]);
        let (first, second) = (pairs.clone().narrow(3, 0, 1), pairs.narrow(3, 1, 1));
        let (cos, sin) = (self.cos.clone().narrow(1, 0, l), self.sin.clone().narrow(1, 0, l));
        let turned = vec![
            first.clone() * cos.clone() - second.clone() * sin.clone(),
            first * sin + second * cos,
        ];
        Tensor::cat(turned, 3).reshape([b, heads, l, s])
    }
}

/// The feed-forward output (n, d).
fn feed_forward(w: &Tensors, layer: usize, x: Tensor<2>) -> Tensor<2> {
    let normed = rms_norm(x, w.of(TensorRole::FeedForwardNorm, layer));
    let gate = linear(normed.clone(), w.of(TensorRole::Gate, layer));
    let up = linear(normed, w.of(TensorRole::Up, layer));
    linear(silu(gate) * up, w.of(TensorRole::Down, layer))
}

/// `x · wᵀ`.
fn linear(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    x.matmul(w.transpose())
}

/// `w ∘ x / √(mean(x²) + ε)`, row by row.
fn rms_norm(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    let scale = (x.clone().square().mean_dim(1) + EPSILON).sqrt().recip();
    x * scale * w
}

/// Dropout: sets a share of the values to zero and scales the others.
fn dropped<const D: usize>(x: Tensor<D>, rate: f32) -> Tensor<D> {
    if rate == 0.0 {
        return x;
    }
    let kept = x.random_like(Distribution::Bernoulli(f64::from(1.0 - rate)));
    x * kept * (1.0 / (1.0 - rate))
}
