//! Llama 2 (Touvron et al., 2023), in the order of llama2.c's `forward`.

use super::Architecture;
use crate::buffers::Buffers;
use crate::kv_cache::{KvCache, TILE};
use crate::load::{LoadError, Loader, out_of_memory};
use alloc::vec::Vec;
use bootllm_cores::{Cores, split_rows};
use bootllm_model_file::{Config, Part};
use bootllm_quant::{Matrix, multiply};
use bootllm_simd::{RopeTable, add, rms_norm, scale_scores, silu_times, softmax};

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
    pub(crate) fn load(loader: &mut Loader<'_>, context: usize) -> Result<Self, LoadError> {
        let config = loader.model.config;
        let rope = RopeTable::new(config.head_size(), context, config.rope_base)
            .map_err(|_| out_of_memory("RoPE", context.saturating_mul(config.head_size() * 4)))?;
        let embedding = loader.matrix(Part::TokenEmbedding, 0)?;
        let layers = loader.layers(|loader, layer| {
            Ok(Layer {
                attention_norm: loader.norm(Part::AttentionNorm, layer)?,
                query: loader.matrix(Part::Query, layer)?,
                key: loader.matrix(Part::Key, layer)?,
                value: loader.matrix(Part::Value, layer)?,
                attention_output: loader.matrix(Part::AttentionOutput, layer)?,
                feed_forward_norm: loader.norm(Part::FeedForwardNorm, layer)?,
                gate: loader.matrix(Part::Gate, layer)?,
                up: loader.matrix(Part::Up, layer)?,
                down: loader.matrix(Part::Down, layer)?,
            })
        })?;
        let output_norm = loader.norm(Part::OutputNorm, 0)?;
        let output = match config.shared_classifier {
            true => None,
            false => Some(loader.matrix(Part::Output, 0)?),
        };
        Ok(Llama { config, embedding, layers, output_norm, output, rope })
    }

    /// Adds to `x` what the positions so far say to this one.
    fn attention(
        &self,
        (index, layer): (usize, &Layer),
        b: &mut Buffers,
        cache: &mut KvCache,
        cores: &dyn Cores,
        position: usize,
    ) {
        rms_norm(&mut b.normed, &b.x, &layer.attention_norm, self.config.norm_epsilon);
        multiply(
            cores,
            &mut b.input,
            &b.normed,
            [(&layer.query, &mut b.query), (&layer.key, &mut b.key), (&layer.value, &mut b.value)],
        );
        self.rope.rotate(&mut b.query, position);
        self.rope.rotate(&mut b.key, position);
        cache.store(index, position, &b.key, &b.value);
        self.attend(index, b, cache, cores, position);
        let output = [(&layer.attention_output, b.branch.as_mut_slice())];
        multiply(cores, &mut b.input, &b.heads, output);
        add(&mut b.x, &b.branch);
    }

    /// Every head's mix of the values at the positions up to `position`: from `query` to `heads`.
    fn attend(
        &self,
        layer: usize,
        b: &mut Buffers,
        cache: &KvCache,
        cores: &dyn Cores,
        position: usize,
    ) {
        let head_size = self.config.head_size();
        let heads_per_key = self.config.heads / self.config.kv_heads;
        let scores_per_head = b.scores.len() / self.config.heads;

        let query = &b.query;
        split_rows(cores, &mut b.scores, scores_per_head, |first, scores| {
            for (head, scores) in (first..).zip(scores.chunks_exact_mut(scores_per_head)) {
                let keys = cache.keys(layer, head / heads_per_key);
                score(&query[head * head_size..][..head_size], keys, scores, position);
                let scores = &mut scores[..=position];
                scale_scores(scores, head_size);
                softmax(scores);
            }
        });

        let scores = &b.scores;
        split_rows(cores, &mut b.heads, head_size, |first, outputs| {
            for (head, output) in (first..).zip(outputs.chunks_exact_mut(head_size)) {
                let values = cache.values(layer, head / heads_per_key);
                let weights = &scores[head * scores_per_head..][..=position];
                output.fill(0.0);
                for (value, &weight) in values.chunks_exact(head_size).zip(weights) {
                    for (output, &value) in output.iter_mut().zip(value) {
                        *output += weight * value;
                    }
                }
            }
        });
    }

    /// Adds to `x` what the feed-forward block makes of it.
    fn feed_forward(&self, layer: &Layer, b: &mut Buffers, cores: &dyn Cores) {
        rms_norm(&mut b.normed, &b.x, &layer.feed_forward_norm, self.config.norm_epsilon);
        let products = [(&layer.gate, b.gate.as_mut_slice()), (&layer.up, &mut b.up)];
        multiply(cores, &mut b.input, &b.normed, products);
        silu_times(&mut b.gate, &b.up);
        multiply(cores, &mut b.input, &b.gate, [(&layer.down, &mut b.branch)]);
        add(&mut b.x, &b.branch);
    }
}

impl Architecture for Llama {
    fn forward(
        &self,
        buffers: &mut Buffers,
        cache: &mut KvCache,
        cores: &dyn Cores,
        token: u32,
        position: usize,
        logits: bool,
    ) {
        self.embedding.row(token as usize, &mut buffers.x);
        for layer in self.layers.iter().enumerate() {
            self.attention(layer, buffers, cache, cores, position);
            self.feed_forward(layer.1, buffers, cores);
        }
        if logits {
            let epsilon = self.config.norm_epsilon;
            rms_norm(&mut buffers.normed, &buffers.x, &self.output_norm, epsilon);
            let output = self.output.as_ref().unwrap_or(&self.embedding);
            let products = [(output, buffers.logits.as_mut_slice())];
            multiply(cores, &mut buffers.input, &buffers.normed, products);
        }
    }
}

/// `scores[t] = Σ query[i] · keys[t][i]`, i ascending, for whole tiles of positions up to the one
/// that holds `position`.
fn score(query: &[f32], keys: &[f32], scores: &mut [f32], position: usize) {
    let tiles = keys.chunks_exact(query.len() * TILE).take(position / TILE + 1);
    for (scores, tile) in scores.as_chunks_mut::<TILE>().0.iter_mut().zip(tiles) {
        let mut sums = [0.0f32; TILE];
        for (keys, &q) in tile.as_chunks::<TILE>().0.iter().zip(query) {
            for (sum, &key) in sums.iter_mut().zip(keys) {
                *sum += q * key;
            }
        }
        *scores = sums;
    }
}
