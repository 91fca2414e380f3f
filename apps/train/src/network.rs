//! llama2.c's network, forward and backward: each layer's backward pass follows its forward pass, as
//! in llm.c.
//!
//! A batch is a number of consecutive sequences of any lengths, with `n` tokens in total. Matrix
//! products run over all tokens at once, attention within each sequence.

use crate::error::TrainError;
use crate::ops::attention::{self, Heads};
use crate::ops::dropout::{Dropout, Site};
use crate::ops::loss::{self, Gradients};
use crate::ops::product::{Store, linear};
use crate::ops::rope::{Rotation, merge_heads, split_heads};
use crate::ops::{Sequences, rms_norm, swiglu};
use crate::parameters::{Parameters, output_projection};
use anyhow::{Context, Result};
use bootllm_model_file::{Config, TensorRole};
use bootllm_simd::RopeTable;
use rayon::prelude::*;

/// Sequences of tokens, and the token that follows each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The tokens of all sequences.
    pub tokens: Vec<u32>,
    /// The token that follows each token.
    pub targets: Vec<u32>,
    /// The number of tokens of each sequence.
    pub lengths: Vec<usize>,
}

/// Activations of a layer that its backward pass needs.
#[derive(Default)]
struct LayerActivations {
    /// Input (n, d).
    x: Vec<f32>,
    attention_norm: Vec<f32>,
    attention_scale: Vec<f32>,
    /// [sequence][head][position][s], after RoPE.
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// Attention weights [sequence][head][query][key].
    weights: Vec<f32>,
    /// Weighted values of all heads (n, d).
    weighted_values: Vec<f32>,
    /// Residual after attention (n, d).
    residual: Vec<f32>,
    feed_forward_norm: Vec<f32>,
    feed_forward_scale: Vec<f32>,
    /// (n, hidden) each.
    gate: Vec<f32>,
    up: Vec<f32>,
    activated: Vec<f32>,
}

/// Buffers that no later step reads.
#[derive(Default)]
struct Scratch {
    /// (n, d)
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    /// (n, kv)
    d: Vec<f32>,
    e: Vec<f32>,
    /// (n, hidden)
    f: Vec<f32>,
    logits: Vec<f32>,
}

/// A network and its activations, which grow to the largest batch.
pub struct Network {
    config: Config,
    rope: RopeTable,
    layers: Vec<LayerActivations>,
    /// Output of the last layer (n, d), before and after the norm, and the norm's scale.
    x: Vec<f32>,
    norm: Vec<f32>,
    scale: Vec<f32>,
    scratch: Scratch,
}

/// Resizes a buffer whose values will be overwritten.
fn resized(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    // Only growth writes anything.
    buffer.resize(length, 0.0);
    buffer
}

/// `to = from`.
fn copy(to: &mut [f32], from: &[f32]) {
    to.par_chunks_mut(1 << 14).zip(from.par_chunks(1 << 14)).for_each(|(to, from)| {
        to.copy_from_slice(from);
    });
}

/// `to += from`.
fn add(to: &mut [f32], from: &[f32]) {
    to.par_chunks_mut(1 << 14).zip(from.par_chunks(1 << 14)).for_each(|(to, from)| {
        add_row(to, from);
    });
}

impl Network {
    /// A network of this shape.
    pub fn new(config: &Config) -> Result<Self> {
        let rope = RopeTable::new(config.head_size(), config.context, Config::ROPE_BASE);
        Ok(Network {
            config: *config,
            rope: rope.ok().context(TrainError::RopeTable)?,
            layers: (0..config.layers).map(|_| LayerActivations::default()).collect(),
            x: Vec::new(),
            norm: Vec::new(),
            scale: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// Bytes that the activations of batches of up to `tokens` tokens need, at most.
    pub fn bytes(config: &Config, tokens: usize) -> u64 {
        // Floating point, because users may give any numbers and integers would overflow.
        let wide = |number: usize| number as f64;
        let (n, d, kv) = (wide(tokens), wide(config.dim), wide(config.kv_dim()));
        let (hidden, vocabulary) = (wide(config.hidden_dim), wide(config.vocab_size));
        let weights = wide(config.heads) * wide(tokens.min(config.context));
        let layer = 6.0 * d + 2.0 * kv + 3.0 * hidden + 2.0 + weights;
        let around = 2.0 * d + 1.0;
        let scratch = 4.0 * d + 2.0 * kv + hidden;
        let activations = n * (wide(config.layers) * layer + around + scratch);
        let logits = wide(tokens.min(loss::TOKENS)) * vocabulary;
        let rope = RopeTable::bytes(config.head_size(), config.context).unwrap_or(u64::MAX);
        rope.saturating_add((4.0 * (activations + logits)) as u64)
    }

    fn heads(&self) -> Heads {
        let Config { heads, kv_heads, .. } = self.config;
        Heads { heads, kv_heads, size: self.config.head_size() }
    }

    /// The loss of a batch: the sum of −ln p(target) over its tokens, in nats.
    pub fn loss(&mut self, parameters: &Parameters, batch: &Batch) -> f64 {
        self.forward(parameters, batch, Dropout::NONE);
        self.cross_entropy(parameters, batch, None)
    }

    /// The logits of all tokens of a batch (n, vocabulary).
    pub fn logits(&mut self, parameters: &Parameters, batch: &Batch) -> Vec<f32> {
        self.forward(parameters, batch, Dropout::NONE);
        let projection = parameters.tensor(output_projection(&self.config), 0);
        let mut logits = vec![0.0; batch.tokens.len() * self.config.vocab_size];
        linear::forward(&mut logits, &self.norm, projection, self.config.dim);
        logits
    }

    /// Returns the loss of a batch like [`Network::loss`], but with dropout, and adds `scale` times its
    /// gradients to `gradients`.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &mut Parameters,
        batch: &Batch,
        dropout: Dropout,
        scale: f32,
    ) -> f64 {
        let sequences = self.forward(parameters, batch, dropout);
        let loss = self.cross_entropy(parameters, batch, Some((gradients, scale)));
        self.backward(parameters, gradients, batch, &sequences, dropout);
        loss
    }

    /// From tokens to the normalized output of the last layer.
    fn forward(&mut self, w: &Parameters, batch: &Batch, dropout: Dropout) -> Sequences {
        let sequences = Sequences::new(batch.lengths.iter().copied());
        let (n, d) = (sequences.tokens(), self.config.dim);
        let x = resized(&mut self.layers[0].x, n * d);
        let embedding = w.tensor(TensorRole::TokenEmbedding, 0);
        x.par_chunks_mut(d).zip(&batch.tokens).with_min_len(64).for_each(|(x, &token)| {
            x.copy_from_slice(&embedding[token as usize * d..][..d]);
        });
        if let Some(mask) = dropout.mask(Site::Embedding) {
            mask.apply(x);
        }
        for layer in 0..self.config.layers {
            self.attention_forward(w, layer, &sequences, dropout);
            self.feed_forward_forward(w, layer, n, dropout);
        }
        let (norm, scale) = (resized(&mut self.norm, n * d), resized(&mut self.scale, n));
        rms_norm::forward(norm, scale, &self.x, w.tensor(TensorRole::OutputNorm, 0));
        sequences
    }

    /// `residual = x + attention(norm(x))`.
    fn attention_forward(
        &mut self,
        w: &Parameters,
        layer: usize,
        sequences: &Sequences,
        dropout: Dropout,
    ) {
        let heads = self.heads();
        let (n, d, kv) = (sequences.tokens(), self.config.dim, self.config.kv_dim());
        let (l, scratch, rope) = (&mut self.layers[layer], &mut self.scratch, &self.rope);
        let normed = resized(&mut l.attention_norm, n * d);
        let scale = resized(&mut l.attention_scale, n);
        rms_norm::forward(normed, scale, &l.x, w.tensor(TensorRole::AttentionNorm, layer));

        let rows = resized(&mut scratch.a, n * d);
        for (role, heads_of, width, rotation) in [
            (TensorRole::Query, &mut l.q, d, Rotation::Forward(rope)),
            (TensorRole::Key, &mut l.k, kv, Rotation::Forward(rope)),
            (TensorRole::Value, &mut l.v, kv, Rotation::None),
        ] {
            let rows = &mut rows[..n * width];
            linear::forward(rows, normed, w.tensor(role, layer), d);
            split_heads(resized(heads_of, n * width), rows, heads.size, sequences, rotation);
        }
        let weights = resized(&mut l.weights, sequences.squares() * heads.heads);
        let mask = dropout.mask(Site::Attention(layer));
        attention::forward(rows, weights, [&l.q, &l.k, &l.v], heads, sequences, mask);
        let weighted_values = resized(&mut l.weighted_values, n * d);
        merge_heads(weighted_values, rows, heads.size, sequences, Rotation::None);

        let residual = resized(&mut l.residual, n * d);
        linear::forward(residual, weighted_values, w.tensor(TensorRole::AttentionOutput, layer), d);
        if let Some(mask) = dropout.mask(Site::AttentionOutput(layer)) {
            mask.apply(residual);
        }
        add(residual, &l.x);
    }

    /// The backward pass of [`Network::attention_forward`]. `dx` is the gradient of `residual` before
    /// and that of `x` after.
    fn attention_backward(
        &mut self,
        w: &Parameters,
        dw: &mut Parameters,
        layer: usize,
        dx: &mut [f32],
        sequences: &Sequences,
        dropout: Dropout,
    ) {
        let heads = self.heads();
        let (n, d, kv) = (sequences.tokens(), self.config.dim, self.config.kv_dim());
        let (l, scratch, rope) = (&self.layers[layer], &mut self.scratch, &self.rope);
        let dbranch = resized(&mut scratch.a, n * d);
        copy(dbranch, dx);
        if let Some(mask) = dropout.mask(Site::AttentionOutput(layer)) {
            mask.apply(dbranch);
        }
        let dout = dw.tensor_mut(TensorRole::AttentionOutput, layer);
        linear::backward_weights(dout, dbranch, &l.weighted_values, d);
        let rows = resized(&mut scratch.b, n * d);
        let out = w.tensor(TensorRole::AttentionOutput, layer);
        linear::backward_input(rows, dbranch, out, d, Store::Set);

        let (dout, dq) = (dbranch, resized(&mut scratch.c, n * d));
        let (dk, dv) = (resized(&mut scratch.d, n * kv), resized(&mut scratch.e, n * kv));
        split_heads(dout, rows, heads.size, sequences, Rotation::None);
        let mask = dropout.mask(Site::Attention(layer));
        let gradients = [&mut *dq, &mut *dk, &mut *dv];
        let inputs = [l.q.as_slice(), &l.k, &l.v];
        attention::backward(gradients, dout, &l.weights, inputs, heads, sequences, mask);

        let dnorm = dout;
        for (role, dheads, width, rotation, store) in [
            (TensorRole::Query, dq, d, Rotation::Inverse(rope), Store::Set),
            (TensorRole::Key, dk, kv, Rotation::Inverse(rope), Store::Add),
            (TensorRole::Value, dv, kv, Rotation::None, Store::Add),
        ] {
            let rows = &mut rows[..n * width];
            merge_heads(rows, dheads, heads.size, sequences, rotation);
            linear::backward_weights(dw.tensor_mut(role, layer), rows, &l.attention_norm, d);
            linear::backward_input(dnorm, rows, w.tensor(role, layer), d, store);
        }
        let (role, scale) = (TensorRole::AttentionNorm, &l.attention_scale);
        rms_norm::backward(
            dx,
            dw.tensor_mut(role, layer),
            dnorm,
            &l.x,
            scale,
            w.tensor(role, layer),
        );
    }

    /// The next layer's `x = residual + feed_forward(norm(residual))`.
    fn feed_forward_forward(&mut self, w: &Parameters, layer: usize, n: usize, dropout: Dropout) {
        let (d, hidden) = (self.config.dim, self.config.hidden_dim);
        let (layers, next) = self.layers.split_at_mut(layer + 1);
        let l = &mut layers[layer];
        let normed = resized(&mut l.feed_forward_norm, n * d);
        let scale = resized(&mut l.feed_forward_scale, n);
        rms_norm::forward(normed, scale, &l.residual, w.tensor(TensorRole::FeedForwardNorm, layer));
        let (gate, up) = (resized(&mut l.gate, n * hidden), resized(&mut l.up, n * hidden));
        linear::forward(gate, normed, w.tensor(TensorRole::Gate, layer), d);
        linear::forward(up, normed, w.tensor(TensorRole::Up, layer), d);
        let activated = resized(&mut l.activated, n * hidden);
        swiglu::forward(activated, gate, up);

        let x = resized(next.first_mut().map_or(&mut self.x, |next| &mut next.x), n * d);
        linear::forward(x, activated, w.tensor(TensorRole::Down, layer), hidden);
        if let Some(mask) = dropout.mask(Site::FeedForwardOutput(layer)) {
            mask.apply(x);
        }
        add(x, &l.residual);
    }

    /// The backward pass of [`Network::feed_forward_forward`]. `dx` is the gradient of the next layer's
    /// `x` before and that of `residual` after. Overwrites the layer's `gate` and `up`.
    fn feed_forward_backward(
        &mut self,
        w: &Parameters,
        dw: &mut Parameters,
        layer: usize,
        dx: &mut [f32],
        dropout: Dropout,
    ) {
        let (d, hidden) = (self.config.dim, self.config.hidden_dim);
        let (l, scratch) = (&mut self.layers[layer], &mut self.scratch);
        let dbranch = resized(&mut scratch.a, dx.len());
        copy(dbranch, dx);
        if let Some(mask) = dropout.mask(Site::FeedForwardOutput(layer)) {
            mask.apply(dbranch);
        }
        linear::backward_weights(
            dw.tensor_mut(TensorRole::Down, layer),
            dbranch,
            &l.activated,
            hidden,
        );
        let dactivated = resized(&mut scratch.f, l.activated.len());
        linear::backward_input(
            dactivated,
            dbranch,
            w.tensor(TensorRole::Down, layer),
            hidden,
            Store::Set,
        );

        swiglu::backward(&mut l.gate, &mut l.up, dactivated);
        let (dgate, dup, dnorm) = (&l.gate, &l.up, dbranch);
        linear::backward_weights(
            dw.tensor_mut(TensorRole::Gate, layer),
            dgate,
            &l.feed_forward_norm,
            d,
        );
        linear::backward_weights(
            dw.tensor_mut(TensorRole::Up, layer),
            dup,
            &l.feed_forward_norm,
            d,
        );
        linear::backward_input(dnorm, dgate, w.tensor(TensorRole::Gate, layer), d, Store::Set);
        linear::backward_input(dnorm, dup, w.tensor(TensorRole::Up, layer), d, Store::Add);
        let (role, scale) = (TensorRole::FeedForwardNorm, &l.feed_forward_scale);
        let (w, dw) = (w.tensor(role, layer), dw.tensor_mut(role, layer));
        rms_norm::backward(dx, dw, dnorm, &l.residual, scale, w);
    }

    /// The output projection and the loss. With gradients, `scratch.b` gets that of the normalized
    /// output.
    fn cross_entropy(
        &mut self,
        w: &Parameters,
        batch: &Batch,
        gradients: Option<(&mut Parameters, f32)>,
    ) -> f64 {
        let role = output_projection(&self.config);
        let dx = resized(&mut self.scratch.b, self.norm.len());
        let gradients =
            gradients.map(|(dw, scale)| Gradients { dx, dw: dw.tensor_mut(role, 0), scale });
        let (x, w, logits) = (&self.norm, w.tensor(role, 0), &mut self.scratch.logits);
        loss::cross_entropy(x, w, self.config.dim, &batch.targets, logits, gradients)
    }

    /// From the gradient of the normalized output to that of the embedding.
    fn backward(
        &mut self,
        w: &Parameters,
        dw: &mut Parameters,
        batch: &Batch,
        sequences: &Sequences,
        dropout: Dropout,
    ) {
        let d = self.config.dim;
        let mut dx = vec![0.0; sequences.tokens() * d];
        let (role, dnorm) = (TensorRole::OutputNorm, &self.scratch.b);
        rms_norm::backward(
            &mut dx,
            dw.tensor_mut(role, 0),
            dnorm,
            &self.x,
            &self.scale,
            w.tensor(role, 0),
        );
        for layer in (0..self.config.layers).rev() {
            self.feed_forward_backward(w, dw, layer, &mut dx, dropout);
            self.attention_backward(w, dw, layer, &mut dx, sequences, dropout);
        }
        if let Some(mask) = dropout.mask(Site::Embedding) {
            mask.apply(&mut dx);
        }
        let embedding = dw.tensor_mut(TensorRole::TokenEmbedding, 0);
        for (&token, dx) in batch.tokens.iter().zip(dx.chunks(d)) {
            add_row(&mut embedding[token as usize * d..][..d], dx);
        }
    }
}

fn add_row(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_was_announced() {
        let config = Config {
            dim: 24,
            hidden_dim: 40,
            layers: 3,
            heads: 6,
            kv_heads: 2,
            vocab_size: 30,
            context: 16,
            tied_embeddings: true,
            norm_epsilon: Config::NORM_EPSILON,
            rope_base: Config::ROPE_BASE,
        };
        let batch = Batch {
            tokens: vec![1; 640],
            targets: vec![2; 640],
            lengths: vec![config.context; 40],
        };
        let mut network = Network::new(&config).unwrap();
        let (weights, mut gradients) = (Parameters::random(&config, 1), Parameters::zeros(&config));
        network.step(&weights, &mut gradients, &batch, Dropout::NONE, 1.0);
        let Network { layers, x, norm, scale, scratch, .. } = &network;
        let Scratch { a, b, c, d, e, f, logits } = scratch;
        // `dx` of the backward pass has been freed.
        let mut values = 640 * config.dim;
        values += [x, norm, scale, a, b, c, d, e, f, logits].iter().map(|v| v.len()).sum::<usize>();
        for l in layers {
            let norms = [&l.attention_norm, &l.attention_scale, &l.feed_forward_norm];
            let attention = [&l.x, &l.q, &l.k, &l.v, &l.weights, &l.weighted_values, &l.residual];
            let feed_forward = [&l.feed_forward_scale, &l.gate, &l.up, &l.activated];
            let all = norms.iter().chain(&attention).chain(&feed_forward);
            values += all.map(|values| values.len()).sum::<usize>();
        }
        let rope = RopeTable::bytes(config.head_size(), config.context).unwrap();
        // So have the logits of all chunks but the last.
        values += (loss::TOKENS - 640 % loss::TOKENS) * config.vocab_size;
        assert_eq!(Network::bytes(&config, 640), 4 * values as u64 + rope);
        assert_eq!(Network::bytes(&Config { context: 1 << 62, ..config }, 1 << 62), u64::MAX);
    }
}
