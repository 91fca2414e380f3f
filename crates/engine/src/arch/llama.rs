//! Llama (Touvron et al., 2023), in the order of llama2.c's `forward`; Llama 3, TinyLlama, SmolLM2
//! and Mistral are of this architecture too.
//!
//! Keys and tensor names are those of llama.cpp (`llama-arch.cpp`). Converters permute queries and
//! keys so that the two values of a pair that RoPE rotates are neighbours.

use super::Architecture;
use crate::blocks::{Activation, Attention, Linear};
use crate::kernels::Pairing;
use crate::pass::{Pass, Stopped};
use crate::planner::{
    Buffer, MatrixId, ModelShape, PlanError, Planner, RopeConfig, RopeId, VectorId,
};
use crate::times::Stage;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use bootllm_model_file::Value;

struct Llama {
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
    /// Queries (heads × head size).
    query: Buffer,
    /// Keys (key heads × head size).
    key: Buffer,
    /// Values (key heads × head size).
    value: Buffer,
    /// The heads' outputs (heads × head size).
    attended: Buffer,
    /// The gate of the feed-forward block (hidden).
    gate: Buffer,
    /// The up projection, which the gate multiplies (hidden).
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
    let head_size = match p.optional_count("attention.key_length")? {
        Some(size) => size,
        None if width % heads == 0 => width / heads,
        None => return Err(p.bad("attention.head_count", heads, "a divisor of the width")),
    };
    if let Some(size) =
        p.optional_count("attention.value_length")?.filter(|&size| size != head_size)
    {
        return Err(p.bad("attention.value_length", size, "the length of a key"));
    }
    p.refuse_unless("expert_count", |value| *value == Value::Integer(0))?;
    p.refuse_unless("expert_used_count", |value| *value == Value::Integer(0))?;
    let rope = rope(p, head_size)?;

    let vocab_size = p.rows_of("token_embd.weight")?;
    let vocabulary = (vocab_size, width);
    let (embedding, output) = p.embeddings("token_embd.weight", "output.weight", vocabulary)?;
    let (query_width, kv_width) = (heads * head_size, kv_heads * head_size);
    let layer = |index| {
        let linear = |p: &mut Planner<'_>, name: &str, rows, columns| {
            let matrix = p.matrix(&format!("blk.{index}.{name}.weight"), (rows, columns))?;
            let bias = p.optional_vector(&format!("blk.{index}.{name}.bias"), rows)?;
            Ok::<_, PlanError>(Linear { matrix, bias })
        };
        Ok(Layer {
            attention_norm: p.vector(&format!("blk.{index}.attn_norm.weight"), width)?,
            query: linear(p, "attn_q", query_width, width)?,
            key: linear(p, "attn_k", kv_width, width)?,
            value: linear(p, "attn_v", kv_width, width)?,
            attention: Attention::new(p, heads, kv_heads, head_size),
            attention_out: linear(p, "attn_output", width, query_width)?,
            feed_forward_norm: p.vector(&format!("blk.{index}.ffn_norm.weight"), width)?,
            gate: linear(p, "ffn_gate", hidden, width)?,
            up: linear(p, "ffn_up", hidden, width)?,
            down: linear(p, "ffn_down", width, hidden)?,
        })
    };
    let model = Llama {
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
            query: p.buffer(query_width),
            key: p.buffer(kv_width),
            value: p.buffer(kv_width),
            attended: p.buffer(query_width),
            gate: p.buffer(hidden),
            up: p.buffer(hidden),
        },
    };
    let shape = ModelShape {
        architecture: "llama",
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

/// The rotary embedding: Llama 2's, scaled linearly, or with Llama 3's factors per pair.
fn rope(p: &mut Planner<'_>, head_size: usize) -> Result<RopeConfig, PlanError> {
    let dimensions = p.optional_count("rope.dimension_count")?.unwrap_or(head_size);
    if dimensions > head_size || dimensions % 2 != 0 {
        return Err(p.bad("rope.dimension_count", dimensions, "even, and at most a head's size"));
    }
    let base = p.optional_float("rope.freq_base", 1.0..f32::INFINITY, "1 or more")?;
    // The second key is its name of 2023.
    let factor = p.rope_factor("rope.scaling.factor")?.or(p.rope_factor("rope.scale_linear")?);
    let factor = factor.unwrap_or(1.0);
    let divisor = match p.optional_text("rope.scaling.type")? {
        Some("none") => 1.0,
        Some("linear") | None => factor,
        Some(_) => {
            p.refuse_unless("rope.scaling.type", |_| false)?;
            1.0
        }
    };
    p.refuse_unless("rope.scaling.attn_factor", |value| value.as_float() == Some(1.0))?;
    let factors = p.optional_vector("rope_freqs.weight", dimensions / 2)?;
    let base = base.unwrap_or(10_000.0);
    Ok(RopeConfig { dimensions, base, pairing: Pairing::Adjacent, divisor, factors })
}

impl Architecture for Llama {
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
