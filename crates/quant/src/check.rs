//! Every product against its twin, on this machine.

use crate::{
    Encoding, InputBuffer, MatrixBuilder, PANEL, PlainInput, Shape, input_words, multiply,
};
use alloc::vec;
use alloc::vec::Vec;
use bootllm_cores::OneCore;
use bootllm_simd::{Cpu, Isa};

/// Whether the products for an instruction set have the bits of their plainest form: a processor,
/// an emulator, or firmware that leaves registers half switched on may be wrong.
///
/// It takes a few thousandths of a second.
pub fn agrees(cpu: Cpu, isa: Isa) -> bool {
    let int8 = [32, 6].map(|group| Encoding::Int8 { group });
    let mut samples = Encoding::IN_GGUF.into_iter().chain(int8);
    samples.all(|encoding| product_agrees(encoding, cpu.only(isa)))
}

/// Whether a small product has the bits of its twin, for one vector and for many.
fn product_agrees(encoding: Encoding, cpu: Cpu) -> bool {
    const ROWS: usize = 2 * PANEL + 1;
    const TOKENS: usize = 13;
    let columns = 2 * encoding.group().max(10);
    let shape = Shape { rows: ROWS, columns, encoding };
    let format = encoding.format();
    let weights: Vec<f32> = some_numbers(1).take(ROWS * columns).collect();
    let x: Vec<f32> = some_numbers(2).take(TOKENS * columns).collect();

    let (Some([first, second]), Some(panel_bytes)) =
        (format.plane_bytes(&shape), format.panel_bytes(&shape))
    else {
        return false;
    };
    let mut panels = vec![0; shape.panels() * panel_bytes];
    let (Ok(mut matrix), Ok(mut input), Ok(mut buffer)) = (
        MatrixBuilder::new(shape, cpu),
        PlainInput::new(columns),
        InputBuffer::new(input_words(&shape, TOKENS)),
    ) else {
        return false;
    };
    let (first, second) = (first as usize, second as usize);
    let (mut values, mut scales) = (vec![0; ROWS * first], vec![0; ROWS * second]);
    for (row, weights) in weights.chunks_exact(columns).enumerate() {
        let planes = [&mut values[row * first..][..first], &mut scales[row * second..][..second]];
        format.encode_row(&shape, weights, planes);
    }
    for (number, panel) in panels.chunks_exact_mut(panel_bytes).enumerate() {
        let rows = number * PANEL..ROWS.min((number + 1) * PANEL);
        let values = &values[rows.start * first..rows.end * first];
        let scales = &scales[rows.start * second..rows.end * second];
        format.pack_panel(&shape, [values, scales], panel);
    }
    if matrix.push_rows(&OneCore, [&values, &scales], &mut || {}).is_err() {
        return false;
    }
    let matrix = matrix.finish();

    let mut expected = vec![0.0; TOKENS * ROWS];
    for (x, expected) in x.chunks_exact(columns).zip(expected.chunks_exact_mut(ROWS)) {
        let input = input.prepare(x, format.input_groups(&shape));
        for (panel, expected) in panels.chunks_exact(panel_bytes).zip(expected.chunks_mut(PANEL)) {
            let mut sums = [0.0; PANEL];
            format.twin()(&shape, panel, &input, &mut sums);
            expected.copy_from_slice(&sums[..expected.len()]);
        }
    }
    [1, TOKENS].into_iter().all(|tokens| {
        let mut output = vec![0.0; tokens * ROWS];
        let x = &x[..tokens * columns];
        multiply(&OneCore, &mut buffer, (tokens, x), [(&matrix, output.as_mut_slice())]);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        bits(&output) == bits(&expected[..tokens * ROWS])
    })
}

/// Numbers from −1 to 1 without order (Knuth's multiplicative generator, MMIX).
fn some_numbers(seed: u64) -> impl Iterator<Item = f32> {
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    core::iter::successors(Some(seed), next).skip(1).map(|state| {
        let number = (state >> 40) as f32 / (1u32 << 23) as f32;
        number - 1.0
    })
}
