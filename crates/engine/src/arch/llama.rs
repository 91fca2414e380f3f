//! Llama 2 (Touvron et al., 2023), in the order of llama2.c's `forward`.

use super::Architecture;
use crate::attention::Head;
use crate::load::{LoadError, Weights, out_of_memory};
use crate::pass::Pass;
use crate::times::Stage;
use alloc::vec::Vec;
use bootllm_cores::{split_rows, split_together};
use bootllm_model_file::{Config, Part};
use bootllm_quant::{Matrix, multiply};
use bootllm_simd::RopeTable;

pub(crate) struct Llama {
    config: Config,
    embedding: Matrix,
    layers: Vec<Layer>,
    output_norm: Vec<f32>,
    /// `None`: the classifier is the embedding.
    output: Option<Matrix>,
    rope: RopeTable,
}

struct Layer {
    attention_norm: Vec<f32>,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    attention_output: Matrix,
    feed_forward_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

impl Llama {
    pub(crate) fn bind(weights: &mut Weights<'_>, context: usize) -> Result<Self, LoadError> {
        let config = weights.model.config;
        let rope = RopeTable::new(config.head_size(), context, config.rope_base)
            .map_err(|_| out_of_memory("RoPE", context.saturating_mul(config.head_size() * 4)))?;
        let embedding = weights.matrix(Part::TokenEmbedding, 0)?;
        let layers = weights.layers(|weights, layer| {
            Ok(Layer {
                attention_norm: weights.norm(Part::AttentionNorm, layer)?,
                query: weights.matrix(Part::Query, layer)?,
                key: weights.matrix(Part::Key, layer)?,
                value: weights.matrix(Part::Value, layer)?,
                attention_output: weights.matrix(Part::AttentionOutput, layer)?,
                feed_forward_norm: weights.norm(Part::FeedForwardNorm, layer)?,
                gate: weights.matrix(Part::Gate, layer)?,
                up: weights.matrix(Part::Up, layer)?,
                down: weights.matrix(Part::Down, layer)?,
            })
        })?;
        let output_norm = weights.norm(Part::OutputNorm, 0)?;
        let output = match config.shared_classifier {
            true => None,
            false => Some(weights.matrix(Part::Output, 0)?),
        };
        Ok(Llama { config, embedding, layers, output_norm, output, rope })
    }

    /// From `normed` to `query`, `key` and `value`.
    fn project(&self, layer: &Layer, pass: &mut Pass<'_>) {
        let b = &mut pass.buffers;
        let products =
            [(&layer.query, &mut *b.query), (&layer.key, b.key), (&layer.value, b.value)];
        multiply(pass.cores, b.input, (pass.tokens, b.normed), products);
    }

    /// Turns queries and keys to their positions, and keeps keys and values.
    fn keep(&self, layer: usize, pass: &mut Pass<'_>) {
        let b = &mut pass.buffers;
        for (heads, width) in [(&mut *b.query, self.config.dim), (b.key, self.config.kv_dim())] {
            split_rows(pass.cores, heads, width, |first, heads| {
                for (token, heads) in (first..).zip(heads.chunks_exact_mut(width)) {
                    pass.kernels.rotate(&self.rope, heads, pass.position + token);
                }
            });
        }
        pass.cache.store(pass.cores, layer, pass.position, b.key, b.value);
    }

    /// Every head's mix of the values of the positions so far: from `query` to `heads`.
    fn attend(&self, layer: usize, pass: &mut Pass<'_>) {
        let (dim, size) = (self.config.dim, self.config.head_size());
        let heads_per_key = self.config.heads / self.config.kv_heads;
        let Pass { kernels, cores, ref cache, position, .. } = *pass;
        let b = &mut pass.buffers;
        let all_scores = b.scores.len();
        let scores_per_head = all_scores / self.config.heads;
        let outputs = [(&mut *b.scores, all_scores, scores_per_head), (&mut *b.heads, dim, size)];
        split_together(cores, outputs, |first, [mut scores, mut output]| {
            let scores = scores.row(0).chunks_exact_mut(scores_per_head);
            for (number, scores) in scores.enumerate() {
                let head = first + number;
                let (keys, values) = cache.head(layer, head / heads_per_key);
                let head = Head {
                    queries: b.query,
                    stride: dim,
                    start: head * size,
                    size,
                    format: cache.format(),
                    keys,
                    values,
                    position,
                };
                kernels.attend(&head, scores, &mut output.slice(number * size, size));
            }
        });
    }

    /// From `normed` to `gate` and `up`.
    fn gate_and_up(&self, layer: &Layer, pass: &mut Pass<'_>) {
        let b = &mut pass.buffers;
        let products = [(&layer.gate, &mut *b.gate), (&layer.up, b.up)];
        multiply(pass.cores, b.input, (pass.tokens, b.normed), products);
    }

    /// `gate` = silu(`gate`) · `up`.
    fn activate(&self, pass: &mut Pass<'_>) {
        let (b, width) = (&mut pass.buffers, self.config.hidden_dim);
        split_rows(pass.cores, b.gate, width, |first, gate| {
            pass.kernels.silu_times(gate, &b.up[first * width..]);
        });
    }
}

impl Architecture for Llama {
    fn forward(&self, pass: &mut Pass<'_>, tokens: &[u32]) {
        let x = pass.buffers.x.chunks_exact_mut(self.config.dim);
        x.zip(tokens).for_each(|(x, &token)| self.embedding.row(token as usize, x));
        pass.done(Stage::Embedding);
        for (index, layer) in self.layers.iter().enumerate() {
            pass.norm(&layer.attention_norm, self.config.norm_epsilon);
            pass.done(Stage::Norms);
            self.project(layer, pass);
            pass.done(Stage::Projections);
            self.keep(index, pass);
            pass.done(Stage::Keeping);
            self.attend(index, pass);
            pass.done(Stage::Attention);
            let b = &mut pass.buffers;
            let output = [(&layer.attention_output, &mut *b.branch)];
            multiply(pass.cores, b.input, (pass.tokens, b.heads), output);
            pass.done(Stage::AttentionOutput);

            pass.add_branch(self.config.dim);
            pass.norm(&layer.feed_forward_norm, self.config.norm_epsilon);
            pass.done(Stage::Norms);
            self.gate_and_up(layer, pass);
            pass.done(Stage::GateAndUp);
            self.activate(pass);
            pass.done(Stage::Activation);
            let b = &mut pass.buffers;
            multiply(pass.cores, b.input, (pass.tokens, b.gate), [(&layer.down, &mut *b.branch)]);
            pass.done(Stage::Down);
            pass.add_branch(self.config.dim);
        }
        pass.done(Stage::Norms);
    }

    fn classify(&self, pass: &mut Pass<'_>, first: usize, logits: &mut [f32]) {
        let (b, dim) = (&mut pass.buffers, self.config.dim);
        let own = first * dim..(first + logits.len() / self.config.vocab_size) * dim;
        let (x, normed) = (&b.x[own.clone()], &mut b.normed[own]);
        for (x, normed) in x.chunks_exact(dim).zip(normed.chunks_exact_mut(dim)) {
            pass.kernels.rms_norm(normed, x, &self.output_norm, self.config.norm_epsilon);
        }
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        multiply(pass.cores, b.input, (normed.len() / dim, normed), [(output, logits)]);
        pass.done(Stage::Classifier);
    }
}
