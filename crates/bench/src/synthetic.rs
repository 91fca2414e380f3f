//! Models without a file.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_model_file::{Config, ModelFile};
use bootllm_platform::{ReadAt, StorageError};
use bootllm_quant::{Encoding, Shape};

/// The named shapes: llama2.c's, and TinyLlama's.
pub const SHAPES: [&str; 5] = ["260K", "15M", "42M", "110M", "1.1B"];

/// The shape with this name: Karpathy's tinyllamas, and TinyLlama 1.1B (P. Zhang et al., 2024).
pub fn shape(name: &str) -> Option<Config> {
    let (dim, hidden_dim, layers, heads, kv_heads, vocab_size, context, tied_embeddings) =
        match name {
            "260K" => (64, 172, 5, 8, 4, 512, 512, true),
            "15M" => (288, 768, 6, 6, 6, 32_000, 256, true),
            "42M" => (512, 1376, 8, 8, 8, 32_000, 1024, true),
            "110M" => (768, 2048, 12, 12, 12, 32_000, 1024, true),
            "1.1B" => (2048, 5632, 22, 32, 4, 32_000, 2048, false),
            _ => return None,
        };
    Some(Config {
        dim,
        hidden_dim,
        layers,
        heads,
        kv_heads,
        vocab_size,
        context,
        tied_embeddings,
        norm_epsilon: Config::NORM_EPSILON,
        rope_base: Config::ROPE_BASE,
    })
}

/// A model file that is not stored anywhere: the same small weights, repeated.
pub struct Synthetic {
    /// Its description.
    pub file: Arc<ModelFile>,
    /// The bytes that are repeated in each region of the file.
    regions: Vec<Vec<u8>>,
}

/// Bytes of a region: far more than any tensor has.
const REGION: u64 = 1 << 48;
/// Values that are repeated: a multiple of every block, and of no page.
const VALUES: usize = 32 * 1021;

impl Synthetic {
    /// A model of this shape with weights in this format. A matrix is F16 if the format's blocks do
    /// not divide its rows, as when a model is converted.
    pub fn new(config: &Config, encoding: Encoding) -> Self {
        let mut regions = Vec::new();
        let mut known: Vec<(Encoding, u64)> = Vec::new();
        let file = ModelFile::describe(config, |role| {
            let (_, columns) = role.shape(config);
            let encoding = match encoding {
                _ if role.is_norm() => Encoding::F32,
                encoding if columns.is_multiple_of(encoding.block_len()) => encoding,
                _ => Encoding::F16,
            };
            let first = known.iter().find(|(own, _)| *own == encoding).map(|&(_, first)| first);
            let first = first.unwrap_or_else(|| {
                let first = regions.len() as u64;
                known.push((encoding, first));
                regions.extend(planes(encoding));
                first
            });
            (encoding, [first, first + 1].map(|region| region * REGION))
        });
        Synthetic { file: Arc::new(file), regions }
    }
}

/// The two planes of [`VALUES`] small numbers.
fn planes(encoding: Encoding) -> [Vec<u8>; 2] {
    let columns = VALUES / encoding.block_len() * encoding.block_len();
    let shape = Shape { rows: 1, columns, encoding };
    let row: Vec<f32> =
        (0..columns).map(|i| ((i * 7919) % 1013) as f32 / 50_000.0 - 0.01).collect();
    let mut planes = shape.plane_bytes().unwrap_or_default().map(|n| vec![0; n as usize]);
    if let Some(encoder) = shape.encoder() {
        encoder.encode_row(&row, planes.each_mut().map(Vec::as_mut_slice));
    }
    planes
}

impl ReadAt for Synthetic {
    fn size(&self) -> u64 {
        self.regions.len() as u64 * REGION
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let repeated = &self.regions[(offset / REGION) as usize];
        let mut at = (offset % REGION % repeated.len() as u64) as usize;
        let mut rest = buffer;
        while !rest.is_empty() {
            let count = rest.len().min(repeated.len() - at);
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&repeated[at..at + count]);
            (rest, at) = (later, 0);
        }
        Ok(())
    }
}
