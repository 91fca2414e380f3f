//! The self-test: the products of an instruction set against those of plain Rust, on this machine.

use crate::{Encoding, InputBuffer, MatrixBuilder, PANEL, Shape, input_words, multiply};
use alloc::vec;
use alloc::vec::Vec;
use bootllm_cores::OneCore;
use bootllm_simd::{Cpu, Isa};

/// Vectors that are multiplied at once: more than a tile, and a tile that is not full.
const TOKENS: usize = 13;
/// Two panels, and one of a single row.
const ROWS: usize = 2 * PANEL + 1;

/// Whether the products for an instruction set have the same bits as those of [`Isa::Scalar`]. A
/// processor, an emulator, or firmware that leaves registers half enabled may compute wrong.
///
/// It takes a few milliseconds.
pub fn self_test(cpu: Cpu, isa: Isa) -> bool {
    let int8 = [32, 6].map(|group| Encoding::Int8 { group });
    Encoding::IN_GGUF.into_iter().chain(int8).all(|encoding| {
        let products = |isa| sample_products(encoding, cpu.only(isa));
        let reference = products(Isa::Scalar);
        reference.is_some() && reference == products(isa)
    })
}

/// The bits of small products, with one vector and with several. `None` if there is no memory.
fn sample_products(encoding: Encoding, cpu: Cpu) -> Option<Vec<u32>> {
    let columns = 2 * encoding.block_len().max(10);
    let shape = Shape { rows: ROWS, columns, encoding };
    let x: Vec<f32> = sample_floats().take(TOKENS * columns).collect();
    let [values, scales] =
        shape.plane_bytes()?.map(|bytes| -> Vec<u8> { sample_rows(ROWS * bytes as usize) });
    let mut builder = MatrixBuilder::new(shape, cpu).ok()?;
    builder.push_rows(&OneCore, [&values, &scales], &mut || {}).ok()?;
    let matrix = builder.finish();
    let mut buffer = InputBuffer::new(input_words(&shape, TOKENS)).ok()?;
    let mut bits = Vec::new();
    for tokens in [1, TOKENS] {
        let mut output = vec![0.0; tokens * ROWS];
        let x = &x[..tokens * columns];
        multiply(&OneCore, &mut buffer, (tokens, x), [(&matrix, output.as_mut_slice())]);
        bits.extend(output.into_iter().map(f32::to_bits));
    }
    Some(bits)
}

/// Bytes of rows, for formats with and without encoder alike. Bit 6 is clear in all of them: no float
/// that they are part of, `f16`, `bf16` or `f32`, is infinite or NaN.
fn sample_rows(length: usize) -> Vec<u8> {
    random(1).map(|bits| (bits >> 24) as u8 & !0x40).take(length).collect()
}

/// Numbers from −1 to 1.
fn sample_floats() -> impl Iterator<Item = f32> {
    random(2).map(|bits| (bits >> 8) as f32 / (1u32 << 23) as f32 - 1.0)
}

/// Random bits (Knuth's multiplicative generator, MMIX).
fn random(seed: u64) -> impl Iterator<Item = u32> {
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    core::iter::successors(Some(seed), next).skip(1).map(|state| (state >> 32) as u32)
}
