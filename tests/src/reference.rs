//! A naive forward pass, the reference for the engine.

use crate::Gguf;
use bootllm_model_file::{Config, OutputFormat, Version};
use bootllm_simd::{RopeTable, exp};

/// A model's forward pass in llama2.c's order, straight from the bytes of its file: loops over
/// one number at a time, no packing, no tiles. It finds the tensors by itself. Only the functions of
/// C's library (exp, sin, cos) come from `bootllm-simd`.
pub struct Reference {
    config: Config,
    weights: Weights,
    rope: RopeTable,
    /// Whether RoPE rotates the halves of a head (Qwen2), not neighbours.
    halves: bool,
    /// (layer, position): keys and values.
    cache: Vec<Vec<[Vec<f32>; 2]>>,
}

/// Matrices by layer, each row after row.
#[derive(Default)]
struct Weights {
    embedding: Matrix,
    attention_norm: Vec<Vec<f32>>,
    query: Vec<Matrix>,
    key: Vec<Matrix>,
    value: Vec<Matrix>,
    attention_output: Vec<Matrix>,
    feed_forward_norm: Vec<Vec<f32>>,
    w1: Vec<Matrix>,
    w2: Vec<Matrix>,
    w3: Vec<Matrix>,
    output_norm: Vec<f32>,
    output: Matrix,
    /// Per layer, the biases of queries, keys and values (Qwen2); empty: none.
    biases: Vec<[Vec<f32>; 3]>,
}

/// Weights as the file has them.
#[derive(Clone, Default)]
struct Matrix {
    /// `f32`, or whole numbers that a scale belongs to.
    values: Vec<f32>,
    scales: Vec<f32>,
    /// Values that share a scale; 0 if there are none.
    group: usize,
    /// Where halves of the input go.
    round: Option<fn(f32) -> f32>,
}

impl Reference {
    /// Reads a file of this shape and format.
    pub fn new(file: &[u8], config: Config, format: impl Into<OutputFormat>) -> Self {
        let rope = RopeTable::new(config.head_size(), config.context, config.rope_base);
        let weights = match format.into() {
            OutputFormat::Llama2c(version) => Weights::read(file, &config, version),
            OutputFormat::Gguf(_) => Weights::of_gguf(&Gguf::parse(file), &config),
        };
        Reference {
            halves: !weights.biases.is_empty(),
            weights,
            rope: rope.expect("memory for a small table"),
            cache: vec![Vec::new(); config.layers],
            config,
        }
    }

    /// Feeds the token of the next position; returns the logits of the one after it.
    pub fn forward(&mut self, token: u32) -> Vec<f32> {
        let Reference { config, weights, rope, cache, halves } = self;
        let (head_size, heads_per_key) = (config.head_size(), config.heads / config.kv_heads);
        let mut x = weights.embedding.row(token as usize, config.dim);
        for (layer, cache) in cache.iter_mut().enumerate() {
            let normed = rms_norm(&x, &weights.attention_norm[layer], config.norm_epsilon);
            let mut query = weights.query[layer].multiply(&normed);
            let mut key = weights.key[layer].multiply(&normed);
            let mut value = weights.value[layer].multiply(&normed);
            if let Some([q, k, v]) = weights.biases.get(layer) {
                add(&mut query, q);
                add(&mut key, k);
                add(&mut value, v);
            }
            let turns = rope.turns(cache.len());
            let rotate = if *halves { rotate_halves } else { rotate };
            rotate(&mut query, turns);
            rotate(&mut key, turns);
            cache.push([key, value]);

            let mut heads = vec![0.0f32; config.dim];
            for head in 0..config.heads {
                let start = head / heads_per_key * head_size;
                let own = |vector: &[f32], i: usize| vector[start + i];
                let mut scores = Vec::new();
                for [key, _] in cache.iter() {
                    let mut score = 0.0f32;
                    for i in 0..head_size {
                        score += query[head * head_size + i] * own(key, i);
                    }
                    scores.push(score / (head_size as f32).sqrt());
                }
                softmax(&mut scores);
                for ([_, value], score) in cache.iter().zip(scores) {
                    for i in 0..head_size {
                        heads[head * head_size + i] += score * own(value, i);
                    }
                }
            }
            add(&mut x, &weights.attention_output[layer].multiply(&heads));

            let normed = rms_norm(&x, &weights.feed_forward_norm[layer], config.norm_epsilon);
            let mut hidden = weights.w1[layer].multiply(&normed);
            let up = weights.w3[layer].multiply(&normed);
            for (gate, up) in hidden.iter_mut().zip(up) {
                *gate *= 1.0 / (1.0 + exp(-*gate));
                *gate *= up;
            }
            add(&mut x, &weights.w2[layer].multiply(&hidden));
        }
        weights.output.multiply(&rms_norm(&x, &weights.output_norm, config.norm_epsilon))
    }
}

impl Matrix {
    fn row(&self, row: usize, columns: usize) -> Vec<f32> {
        let indices = row * columns..(row + 1) * columns;
        match self.group {
            0 => self.values[indices].to_vec(),
            group => indices.map(|i| self.values[i] * self.scales[i / group]).collect(),
        }
    }

    fn multiply(&self, x: &[f32]) -> Vec<f32> {
        let rows = self.values.chunks(x.len());
        if self.group == 0 {
            return rows
                .map(|row| row.iter().zip(x).fold(0.0, |sum, (w, x)| sum + w * x))
                .collect();
        }
        let (integers, x_scales) = quantize(x, self.group, self.round.unwrap_or(f32::round));
        let scales = self.scales.chunks(x.len() / self.group);
        let product = |(row, scales): (&[f32], &[f32])| {
            let groups = row.chunks(self.group).zip(integers.chunks(self.group));
            let mut sum = 0.0f32;
            for ((weights, x), (scale, x_scale)) in groups.zip(scales.iter().zip(&x_scales)) {
                let exact: i32 = weights.iter().zip(x).map(|(w, x)| *w as i32 * x).sum();
                sum += exact as f32 * scale * x_scale;
            }
            sum
        };
        rows.zip(scales).map(product).collect()
    }
}

/// `quantize` of llama2.c's `runq.c`.
fn quantize(x: &[f32], group: usize, round: fn(f32) -> f32) -> (Vec<i32>, Vec<f32>) {
    let (mut integers, mut scales) = (Vec::new(), Vec::new());
    for values in x.chunks(group) {
        let scale = values.iter().fold(0.0f32, |max, value| max.max(value.abs())) / 127.0;
        integers.extend(values.iter().map(|value| round(value / scale) as i32));
        scales.push(scale);
    }
    (integers, scales)
}

fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let sum = x.iter().fold(0.0f32, |sum, value| sum + value * value);
    let scale = 1.0 / (sum / x.len() as f32 + epsilon).sqrt();
    x.iter().zip(weight).map(|(value, weight)| weight * (scale * value)).collect()
}

fn softmax(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f32;
    for value in x.iter_mut() {
        *value = exp(*value - max);
        sum += *value;
    }
    for value in x {
        *value /= sum;
    }
}

fn rotate(heads: &mut [f32], turns: &[(f32, f32)]) {
    for (pair, (cos, sin)) in heads.chunks_mut(2).zip(turns.iter().cycle()) {
        let (a, b) = (pair[0], pair[1]);
        pair[0] = a * cos - b * sin;
        pair[1] = a * sin + b * cos;
    }
}

fn rotate_halves(heads: &mut [f32], turns: &[(f32, f32)]) {
    for head in heads.chunks_mut(2 * turns.len()) {
        for (i, (cos, sin)) in turns.iter().enumerate() {
            let (a, b) = (head[i], head[i + turns.len()]);
            head[i] = a * cos - b * sin;
            head[i + turns.len()] = a * sin + b * cos;
        }
    }
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// The tensors in the order of `memory_map_weights` in `run.c`, and of the one in `runq.c`.
impl Weights {
    fn read(file: &[u8], config: &Config, version: Version) -> Self {
        let &Config { dim, hidden_dim, layers, vocab_size, .. } = config;
        let (kv_dim, vocabulary) = (config.kv_dim(), vocab_size * dim);
        let start = if version == Version::V0 { 28 } else { 256 };
        let group = if let Version::V2 { group } = version { group } else { 0 };
        let mut r = Reader { bytes: &file[start..], group };
        let mut w = Weights::default();
        if version == Version::V0 {
            w.embedding = r.matrix(vocabulary);
            w.attention_norm = r.norms(layers, dim);
            w.query = r.matrices(layers, dim * dim);
            w.key = r.matrices(layers, kv_dim * dim);
            w.value = r.matrices(layers, kv_dim * dim);
            w.attention_output = r.matrices(layers, dim * dim);
            w.feed_forward_norm = r.norms(layers, dim);
            w.w1 = r.matrices(layers, hidden_dim * dim);
            w.w2 = r.matrices(layers, dim * hidden_dim);
            w.w3 = r.matrices(layers, hidden_dim * dim);
            w.output_norm = r.norms(1, dim).remove(0);
            r.norms(2, config.context * config.head_size() / 2);
        } else {
            w.attention_norm = r.norms(layers, dim);
            w.feed_forward_norm = r.norms(layers, dim);
            w.output_norm = r.norms(1, dim).remove(0);
            w.embedding = r.matrix(vocabulary);
            w.query = r.matrices(layers, dim * dim);
            w.key = r.matrices(layers, kv_dim * dim);
            w.value = r.matrices(layers, kv_dim * dim);
            w.attention_output = r.matrices(layers, dim * dim);
            w.w1 = r.matrices(layers, hidden_dim * dim);
            w.w2 = r.matrices(layers, dim * hidden_dim);
            w.w3 = r.matrices(layers, hidden_dim * dim);
        }
        w.output = if config.tied_embeddings { w.embedding.clone() } else { r.matrix(vocabulary) };
        assert!(r.bytes.is_empty(), "{} bytes are left", r.bytes.len());
        w
    }
}

/// The tensors by name.
impl Weights {
    fn of_gguf(file: &Gguf, config: &Config) -> Self {
        let matrix = |name: &str| Matrix::of_gguf(file, &format!("{name}.weight"));
        let layers = |name: &str| -> Vec<Matrix> {
            (0..config.layers).map(|layer| matrix(&format!("blk.{layer}.{name}"))).collect()
        };
        let norms = |name: &str| layers(name).into_iter().map(|norm| norm.values).collect();
        let own = file.tensor("output.weight").map(|_| matrix("output"));
        let biased = file.tensor("blk.0.attn_q.bias").is_some();
        let bias = |name: String| Matrix::of_gguf(file, &name).values;
        let of_layer = |layer| ["q", "k", "v"].map(|p| bias(format!("blk.{layer}.attn_{p}.bias")));
        let biases = (0..config.layers).take_while(|_| biased).map(of_layer);
        Weights {
            embedding: matrix("token_embd"),
            attention_norm: norms("attn_norm"),
            query: layers("attn_q"),
            key: layers("attn_k"),
            value: layers("attn_v"),
            attention_output: layers("attn_output"),
            feed_forward_norm: norms("ffn_norm"),
            w1: layers("ffn_gate"),
            w2: layers("ffn_down"),
            w3: layers("ffn_up"),
            output_norm: matrix("output_norm").values,
            output: own.unwrap_or_else(|| matrix("token_embd")),
            biases: biases.collect(),
        }
    }
}

impl Matrix {
    fn of_gguf(file: &Gguf, name: &str) -> Self {
        let tensor = file.tensor(name).expect(name);
        let pairs = tensor.bytes.as_chunks().0.iter();
        let (mut values, mut scales) = (Vec::new(), Vec::new());
        match tensor.kind {
            0 => values.extend(tensor.bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
            1 => values.extend(pairs.map(|&[low, high]| half(low, high))),
            30 => values.extend(pairs.map(|&[low, high]| f32::from_le_bytes([0, 0, low, high]))),
            8 => {
                for block in tensor.bytes.chunks(34) {
                    scales.push(half(block[0], block[1]));
                    values.extend(block[2..].iter().map(|&value| f32::from(value as i8)));
                }
            }
            2 => {
                for block in tensor.bytes.chunks(18) {
                    scales.push(half(block[0], block[1]));
                    values.extend(block[2..].iter().map(|value| f32::from(value & 15) - 8.0));
                    values.extend(block[2..].iter().map(|value| f32::from(value >> 4) - 8.0));
                }
            }
            kind => panic!("format {kind}"),
        }
        let group = if scales.is_empty() { 0 } else { 32 };
        Matrix { values, scales, group, round: Some(f32::round_ties_even) }
    }
}

/// A half by its definition: sign, exponent, fraction.
fn half(low: u8, high: u8) -> f32 {
    let fraction = f32::from(u16::from_le_bytes([low, high]) & 1023) / 1024.0;
    let magnitude = match i32::from(high >> 2 & 31) {
        0 => fraction * 2f32.powi(-14),
        exponent => (1.0 + fraction) * 2f32.powi(exponent - 15),
    };
    if high >> 7 == 1 { -magnitude } else { magnitude }
}

struct Reader<'a> {
    bytes: &'a [u8],
    group: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        taken
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        let bytes = self.take(4 * count).as_chunks().0;
        bytes.iter().map(|&number| f32::from_le_bytes(number)).collect()
    }

    fn norms(&mut self, count: usize, length: usize) -> Vec<Vec<f32>> {
        (0..count).map(|_| self.floats(length)).collect()
    }

    fn matrix(&mut self, length: usize) -> Matrix {
        let group = self.group;
        if group == 0 {
            return Matrix { values: self.floats(length), ..Matrix::default() };
        }
        let values = self.take(length).iter().map(|&value| f32::from(value as i8)).collect();
        Matrix { values, scales: self.floats(length / group), group, round: None }
    }

    fn matrices(&mut self, count: usize, length: usize) -> Vec<Matrix> {
        (0..count).map(|_| self.matrix(length)).collect()
    }
}
