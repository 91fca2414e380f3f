//! Qwen2 and Qwen2.5 (Qwen team, 2024): a Llama whose queries, keys and values have biases, and whose
//! RoPE rotates the halves of a head.
//!
//! Keys and tensor names are those of llama.cpp (`llama-arch.cpp`).

use super::Architecture;
use crate::blocks::{Activation, Attention, Linear, Pairing, RopeConfig};
use crate::pass::{Pass, Stopped};
use crate::plan::{Buffer, MatrixId, ModelShape, PlanError, Planner, RopeId, VectorId};
use crate::times::Stage;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

struct Qwen2 {
    epsilon: f32,
    head_size: usize,
    rope: RopeId,
    embedding: MatrixId,
    layers: Vec<Layer>,
    output_norm: VectorId,
    output: MatrixId,
    buffers: Buffers,
}

struct Layer {
    attention_norm: VectorId,
    query: Linear,
    key: Linear,
    value: Linear,
    attention: Attention,
    attention_out: Linear,
    feed_forward_norm: VectorId,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Activations per row, and their widths.
struct Buffers {
    /// The residual stream (width).
    x: Buffer,
    /// `x` after a norm (width).
    normed: Buffer,
    /// What a block adds to `x` (width).
    branch: Buffer,
    /// Queries (width).
    query: Buffer,
    /// Keys (key heads × head size).
    key: Buffer,
    /// Values (key heads × head size).
    value: Buffer,
    /// What the heads found (width).
    attended: Buffer,
    /// The gate of the feed-forward block (hidden).
    gate: Buffer,
    /// Its other input (hidden).
    up: Buffer,
}

/// Reads the hyperparameters and asks for everything that the model needs.
pub(super) fn plan(p: &mut Planner<'_>) -> Result<(Box<dyn Architecture>, ModelShape), PlanError> {
    let width = p.count("embedding_length")?;
    let hidden = p.count("feed_forward_length")?;
    let layers = p.count("block_count")?;
    let context = p.count("context_length")?;
    let heads = p.count("attention.head_count")?;
    let kv_heads = p.optional_count("attention.head_count_kv")?.unwrap_or(heads);
    let epsilon = p.norm_epsilon()?;
    if heads % kv_heads != 0 {
        return Err(p.bad("attention.head_count_kv", kv_heads, "a divisor of the heads"));
    }
    if width % heads != 0 {
        return Err(p.bad("attention.head_count", heads, "a divisor of the width"));
    }
    let head_size = width / heads;
    let rope = rope(p, head_size)?;

    let vocab_size = p.rows_of("token_embd.weight")?;
    let vocabulary = (vocab_size, width);
    let (embedding, output) = p.embeddings("token_embd.weight", "output.weight", vocabulary)?;
    let kv_width = kv_heads * head_size;
    let layer = |index| {
        let matrix = |p: &mut Planner<'_>, name: &str, rows, columns| {
            p.matrix(&format!("blk.{index}.{name}.weight"), (rows, columns))
        };
        let biased = |p: &mut Planner<'_>, name: &str, rows| {
            let bias = Some(p.vector(&format!("blk.{index}.{name}.bias"), rows)?);
            Ok::<_, PlanError>(Linear { matrix: matrix(p, name, rows, width)?, bias })
        };
        Ok(Layer {
            attention_norm: p.vector(&format!("blk.{index}.attn_norm.weight"), width)?,
            query: biased(p, "attn_q", width)?,
            key: biased(p, "attn_k", kv_width)?,
            value: biased(p, "attn_v", kv_width)?,
            attention: Attention::new(p, heads, kv_heads, head_size),
            attention_out: matrix(p, "attn_output", width, width)?.into(),
            feed_forward_norm: p.vector(&format!("blk.{index}.ffn_norm.weight"), width)?,
            gate: matrix(p, "ffn_gate", hidden, width)?.into(),
            up: matrix(p, "ffn_up", hidden, width)?.into(),
            down: matrix(p, "ffn_down", width, hidden)?.into(),
        })
    };
    let model = Qwen2 {
        epsilon,
        head_size,
        layers: (0..layers).map(layer).collect::<Result<_, PlanError>>()?,
        rope: p.rope(rope),
        embedding,
        output_norm: p.vector("output_norm.weight", width)?,
        output,
        buffers: Buffers {
            x: p.buffer(width),
            normed: p.buffer(width),
            branch: p.buffer(width),
            query: p.buffer(width),
            key: p.buffer(kv_width),
            value: p.buffer(kv_width),
            attended: p.buffer(width),
            gate: p.buffer(hidden),
            up: p.buffer(hidden),
        },
    };
    let shape = ModelShape {
        architecture: "qwen2",
        width,
        hidden,
        layers,
        heads,
        kv_heads,
        head_size,
        vocab_size,
        context,
        tied_embeddings: embedding == output,
    };
    Ok((Box::new(model), shape))
}

/// The rotary embedding, which may be scaled linearly.
fn rope(p: &mut Planner<'_>, head_size: usize) -> Result<RopeConfig, PlanError> {
    let dimensions = p.optional_count("rope.dimension_count")?.unwrap_or(head_size);
    if dimensions > head_size || dimensions % 2 != 0 {
        return Err(p.bad("rope.dimension_count", dimensions, "even, and at most a head's size"));
    }
    let base = p.optional_float("rope.freq_base", 1.0..f32::INFINITY, "1 or more")?;
    let base = base.unwrap_or(10_000.0);
    let divisor = p.rope_factor("rope.scaling.factor")?.unwrap_or(1.0);
    p.refuse_unless("rope.scaling.type", |kind| {
        kind.as_text() == Some("linear") || kind.as_text() == Some("none") && divisor == 1.0
    })?;
    Ok(RopeConfig { dimensions, base, pairing: Pairing::Halves, divisor, factors: None })
}

impl Architecture for Qwen2 {
    fn forward(&self, pass: &mut Pass<'_>) -> Result<(), Stopped> {
        let b = &self.buffers;
        pass.embed(self.embedding, b.x);
        for layer in &self.layers {
            pass.rms_norm(layer.attention_norm, self.epsilon, b.x, b.normed);
            let products = [(layer.query, b.query), (layer.key, b.key), (layer.value, b.value)];
            pass.project(Stage::Qkv, b.normed, products);
            pass.rope(self.rope, self.head_size, b.query);
            pass.rope(self.rope, self.head_size, b.key);
            pass.store_kv(&layer.attention, b.key, b.value);
            pass.attention(&layer.attention, b.query, b.attended);
            pass.project(Stage::AttentionOut, b.attended, [(layer.attention_out, b.branch)]);
            pass.residual(b.branch, b.x);

            pass.rms_norm(layer.feed_forward_norm, self.epsilon, b.x, b.normed);
            pass.project(Stage::GateAndUp, b.normed, [(layer.gate, b.gate), (layer.up, b.up)]);
            pass.gate(Activation::Silu, b.gate, b.up);
            pass.project(Stage::Down, b.gate, [(layer.down, b.branch)]);
            pass.residual(b.branch, b.x);
            pass.poll()?;
        }
        Ok(())
    }

    fn output_logits(&self, pass: &mut Pass<'_>, wanted: &[usize], logits: &mut [f32]) {
        let (norm, b) = ((self.output_norm, self.epsilon), &self.buffers);
        pass.norm_and_project(norm, (b.x, b.normed), self.output, (wanted, logits));
    }
}
