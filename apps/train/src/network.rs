//! llama2.c's network, forward and backward: each layer's way back stands beside its way there, in
//! the manner of llm.c.
//!
//! A batch is some sequences, one behind the other, of any lengths; `n` is the number of their
//! tokens. Products run over all tokens at once, attention within each sequence.

use crate::ops::attention::{self, Heads};
use crate::ops::dropout::{Dropout, Site};
use crate::ops::loss::{self, Gradients};
use crate::ops::product::{Into, linear};
use crate::ops::rope::{Turn, merge_heads, split_heads};
use crate::ops::{Sequences, rms_norm, swiglu};
use crate::parameters::{Parameters, classifier};
use anyhow::{Context, Result};
use bootllm_model_file::{Config, TensorRole};
use bootllm_simd::RopeTable;
use rayon::prelude::*;

/// Sequences of tokens and what follows each of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The sequences, one behind the other.
    pub tokens: Vec<u32>,
    /// For each token, the one that follows.
    pub targets: Vec<u32>,
    /// How many tokens each sequence has.
    pub lengths: Vec<usize>,
}

/// What a layer computed on the way there, which the way back needs.
#[derive(Default)]
struct Layer {
    /// What comes in (n, d).
    x: Vec<f32>,
    attention_norm: Vec<f32>,
    attention_scale: Vec<f32>,
    /// As [sequence][head][position][s], turned.
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// [sequence][head][query][key].
    weights: Vec<f32>,
    /// Attention's result (n, d).
    attended: Vec<f32>,
    /// After attention (n, d).
    middle: Vec<f32>,
    feed_forward_norm: Vec<f32>,
    feed_forward_scale: Vec<f32>,
    /// (n, hidden) each.
    gate: Vec<f32>,
    up: Vec<f32>,
    activated: Vec<f32>,
}

/// What is needed between the steps, to be used again and again.
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

/// A network's memory: activations for batches of any size, which grow as they must.
pub struct Network {
    config: Config,
    rope: RopeTable,
    layers: Vec<Layer>,
    /// What comes out of the last layer (n, d), normed, and the norm's scale.
    x: Vec<f32>,
    norm: Vec<f32>,
    scale: Vec<f32>,
    scratch: Scratch,
}

/// A buffer of `length` values; what they are does not matter.
fn sized(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    // Growing fills with zeros, once; shrinking costs nothing.
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
            rope: rope.ok().context("no memory for the table of rotary positions")?,
            layers: (0..config.layers).map(|_| Layer::default()).collect(),
            x: Vec::new(),
            norm: Vec::new(),
            scale: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// Bytes that a network of this shape needs for batches of so many tokens, at most.
    pub fn bytes(config: &Config, tokens: usize) -> u64 {
        // Not in whole numbers: people may ask for anything, and these do not overflow.
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

    /// The loss of a batch: the sum over its tokens of −ln p(target), in nats.
    pub fn loss(&mut self, parameters: &Parameters, batch: &Batch) -> f64 {
        self.forward(parameters, batch, Dropout::NONE);
        self.cross_entropy(parameters, batch, None)
    }

    /// The logits of every token of a batch (n, vocabulary).
    pub fn logits(&mut self, parameters: &Parameters, batch: &Batch) -> Vec<f32> {
        self.forward(parameters, batch, Dropout::NONE);
        let classifier = parameters.part(classifier(&self.config), 0);
        let mut logits = vec![0.0; batch.tokens.len() * self.config.vocab_size];
        linear::forward(&mut logits, &self.norm, classifier, self.config.dim);
        logits
    }

    /// The loss of a batch, as [`Network::loss`] has it but with dropout, and its gradients times
    /// `scale`, which are added to `gradients`.
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

    /// From tokens to the normed output of the last layer.
    fn forward(&mut self, w: &Parameters, batch: &Batch, dropout: Dropout) -> Sequences {
        let sequences = Sequences::new(batch.lengths.iter().copied());
        let (n, d) = (sequences.tokens(), self.config.dim);
        let x = sized(&mut self.layers[0].x, n * d);
        let embedding = w.part(TensorRole::TokenEmbedding, 0);
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
        let (norm, scale) = (sized(&mut self.norm, n * d), sized(&mut self.scale, n));
        rms_norm::forward(norm, scale, &self.x, w.part(TensorRole::OutputNorm, 0));
        sequences
    }

    /// `middle = x + attention(norm(x))`.
    fn attention_forward(
        &mut self,
        w: &Parameters,
        layer: usize,
        sequences: &Sequences,
        dropout: Dropout,
    ) {
        let heads = self.heads();
        let (n, d, kv) = (sequences.tokens(), self.config.dim, self.config.kv_dim());
        let (l, scratch, turn) = (&mut self.layers[layer], &mut self.scratch, &self.rope);
        let normed = sized(&mut l.attention_norm, n * d);
        let scale = sized(&mut l.attention_scale, n);
        rms_norm::forward(normed, scale, &l.x, w.part(TensorRole::AttentionNorm, layer));

        let rows = sized(&mut scratch.a, n * d);
        for (part, heads_of, width, turn) in [
            (TensorRole::Query, &mut l.q, d, Turn::Forward(turn)),
            (TensorRole::Key, &mut l.k, kv, Turn::Forward(turn)),
            (TensorRole::Value, &mut l.v, kv, Turn::None),
        ] {
            let rows = &mut rows[..n * width];
            linear::forward(rows, normed, w.part(part, layer), d);
            split_heads(sized(heads_of, n * width), rows, heads.size, sequences, turn);
        }
        let weights = sized(&mut l.weights, sequences.squares() * heads.heads);
        let mask = dropout.mask(Site::Attention(layer));
        attention::forward(rows, weights, [&l.q, &l.k, &l.v], heads, sequences, mask);
        let attended = sized(&mut l.attended, n * d);
        merge_heads(attended, rows, heads.size, sequences, Turn::None);

        let middle = sized(&mut l.middle, n * d);
        linear::forward(middle, attended, w.part(TensorRole::AttentionOutput, layer), d);
        if let Some(mask) = dropout.mask(Site::AttentionOutput(layer)) {
            mask.apply(middle);
        }
        add(middle, &l.x);
    }

    /// `dx += ` the way back of [`Network::attention_forward`]; `dx` comes in as the gradient of
    /// `middle`.
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
        let (l, scratch, turn) = (&self.layers[layer], &mut self.scratch, &self.rope);
        let added = sized(&mut scratch.a, n * d);
        copy(added, dx);
        if let Some(mask) = dropout.mask(Site::AttentionOutput(layer)) {
            mask.apply(added);
        }
        let dout = dw.part_mut(TensorRole::AttentionOutput, layer);
        linear::backward_weights(dout, added, &l.attended, d);
        let rows = sized(&mut scratch.b, n * d);
        let out = w.part(TensorRole::AttentionOutput, layer);
        linear::backward_input(rows, added, out, d, Into::Set);

        let (dout, dq) = (added, sized(&mut scratch.c, n * d));
        let (dk, dv) = (sized(&mut scratch.d, n * kv), sized(&mut scratch.e, n * kv));
        split_heads(dout, rows, heads.size, sequences, Turn::None);
        let mask = dropout.mask(Site::Attention(layer));
        let gradients = [&mut *dq, &mut *dk, &mut *dv];
        let inputs = [l.q.as_slice(), &l.k, &l.v];
        attention::backward(gradients, dout, &l.weights, inputs, heads, sequences, mask);

        let dnorm = dout;
        for (part, dheads, width, turn, into) in [
            (TensorRole::Query, dq, d, Turn::Back(turn), Into::Set),
            (TensorRole::Key, dk, kv, Turn::Back(turn), Into::Add),
            (TensorRole::Value, dv, kv, Turn::None, Into::Add),
        ] {
            let rows = &mut rows[..n * width];
            merge_heads(rows, dheads, heads.size, sequences, turn);
            linear::backward_weights(dw.part_mut(part, layer), rows, &l.attention_norm, d);
            linear::backward_input(dnorm, rows, w.part(part, layer), d, into);
        }
        let (part, scale) = (TensorRole::AttentionNorm, &l.attention_scale);
        rms_norm::backward(dx, dw.part_mut(part, layer), dnorm, &l.x, scale, w.part(part, layer));
    }

    /// The next layer's `x = middle + feed_forward(norm(middle))`.
    fn feed_forward_forward(&mut self, w: &Parameters, layer: usize, n: usize, dropout: Dropout) {
        let (d, hidden) = (self.config.dim, self.config.hidden_dim);
        let (layers, next) = self.layers.split_at_mut(layer + 1);
        let l = &mut layers[layer];
        let normed = sized(&mut l.feed_forward_norm, n * d);
        let scale = sized(&mut l.feed_forward_scale, n);
        rms_norm::forward(normed, scale, &l.middle, w.part(TensorRole::FeedForwardNorm, layer));
        let (gate, up) = (sized(&mut l.gate, n * hidden), sized(&mut l.up, n * hidden));
        linear::forward(gate, normed, w.part(TensorRole::Gate, layer), d);
        linear::forward(up, normed, w.part(TensorRole::Up, layer), d);
        let activated = sized(&mut l.activated, n * hidden);
        swiglu::forward(activated, gate, up);

        let x = sized(next.first_mut().map_or(&mut self.x, |next| &mut next.x), n * d);
        linear::forward(x, activated, w.part(TensorRole::Down, layer), hidden);
        if let Some(mask) = dropout.mask(Site::FeedForwardOutput(layer)) {
            mask.apply(x);
        }
        add(x, &l.middle);
    }

    /// `dx += ` the way back of [`Network::feed_forward_forward`]; `dx` comes in as the gradient of
    /// the next layer's `x` and leaves as that of `middle`. The layer's `gate` and `up` are gone.
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
        let added = sized(&mut scratch.a, dx.len());
        copy(added, dx);
        if let Some(mask) = dropout.mask(Site::FeedForwardOutput(layer)) {
            mask.apply(added);
        }
        linear::backward_weights(dw.part_mut(TensorRole::Down, layer), added, &l.activated, hidden);
        let dactivated = sized(&mut scratch.f, l.activated.len());
        linear::backward_input(
            dactivated,
            added,
            w.part(TensorRole::Down, layer),
            hidden,
            Into::Set,
        );

        swiglu::backward(&mut l.gate, &mut l.up, dactivated);
        let (dgate, dup, dnorm) = (&l.gate, &l.up, added);
        linear::backward_weights(
            dw.part_mut(TensorRole::Gate, layer),
            dgate,
            &l.feed_forward_norm,
            d,
        );
        linear::backward_weights(dw.part_mut(TensorRole::Up, layer), dup, &l.feed_forward_norm, d);
        linear::backward_input(dnorm, dgate, w.part(TensorRole::Gate, layer), d, Into::Set);
        linear::backward_input(dnorm, dup, w.part(TensorRole::Up, layer), d, Into::Add);
        let (part, scale) = (TensorRole::FeedForwardNorm, &l.feed_forward_scale);
        let (w, dw) = (w.part(part, layer), dw.part_mut(part, layer));
        rms_norm::backward(dx, dw, dnorm, &l.middle, scale, w);
    }

    /// The classifier and the loss. With gradients, that of the normed output is left in `norm`'s
    /// place of the scratch memory.
    fn cross_entropy(
        &mut self,
        w: &Parameters,
        batch: &Batch,
        gradients: Option<(&mut Parameters, f32)>,
    ) -> f64 {
        let part = classifier(&self.config);
        let dx = sized(&mut self.scratch.b, self.norm.len());
        let gradients =
            gradients.map(|(dw, scale)| Gradients { dx, dw: dw.part_mut(part, 0), scale });
        let (x, w, logits) = (&self.norm, w.part(part, 0), &mut self.scratch.logits);
        loss::cross_entropy(x, w, self.config.dim, &batch.targets, logits, gradients)
    }

    /// From the gradient of the normed output to that of the embedding.
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
        let (part, dnorm) = (TensorRole::OutputNorm, &self.scratch.b);
        rms_norm::backward(
            &mut dx,
            dw.part_mut(part, 0),
            dnorm,
            &self.x,
            &self.scale,
            w.part(part, 0),
        );
        for layer in (0..self.config.layers).rev() {
            self.feed_forward_backward(w, dw, layer, &mut dx, dropout);
            self.attention_backward(w, dw, layer, &mut dx, sequences, dropout);
        }
        if let Some(mask) = dropout.mask(Site::Embedding) {
            mask.apply(&mut dx);
        }
        let embedding = dw.part_mut(TensorRole::TokenEmbedding, 0);
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
    fn the_memory_is_what_was_announced() {
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
        // The gradient on its way back is gone by now.
        let mut values = 640 * config.dim;
        values += [x, norm, scale, a, b, c, d, e, f, logits].iter().map(|v| v.len()).sum::<usize>();
        for l in layers {
            let norms = [&l.attention_norm, &l.attention_scale, &l.feed_forward_norm];
            let attention = [&l.x, &l.q, &l.k, &l.v, &l.weights, &l.attended, &l.middle];
            let feed_forward = [&l.feed_forward_scale, &l.gate, &l.up, &l.activated];
            let all = norms.iter().chain(&attention).chain(&feed_forward);
            values += all.map(|values| values.len()).sum::<usize>();
        }
        let rope = RopeTable::bytes(config.head_size(), config.context).unwrap();
        // The logits of all tokens but the last chunk's are gone, too.
        values += (loss::TOKENS - 640 % loss::TOKENS) * config.vocab_size;
        assert_eq!(Network::bytes(&config, 640), 4 * values as u64 + rope);
        assert_eq!(Network::bytes(&Config { context: 1 << 62, ..config }, 1 << 62), u64::MAX);
    }
}
