//! Packed matrices against the definitions of their products in a few plain lines, bit for bit.

use bootllm_cores::{Cores, Idle, Job, OneCore, Signal, Team};
use bootllm_quant::{
    BadRow, Encoding, InputBuffer, Matrix, MatrixBuilder, NotFinite, PANEL, Shape, input_words,
    multiply, quantize_group, self_test,
};
use bootllm_simd::{Cpu, Isa, is_available};
use core::ops::Range;
use proptest::prelude::*;
use std::thread;

/// Workers that never sleep: a product ends before one could be woken.
struct Awake;

impl Idle for Awake {
    const TURNS: u32 = u32::MAX;

    fn pause(&self, _: u32) {
        thread::yield_now();
    }

    fn sleep(&self, _: &Signal<'_>) {}

    fn wake(&self) {}
}

/// A team whose members yield before they compute, so that all of them get work.
struct Polite<'a>(&'a Team<Awake>);

// SAFETY: the team keeps the contract, and the job is called with the units that the team hands out.
unsafe impl Cores for Polite<'_> {
    fn count(&self) -> usize {
        self.0.count()
    }

    fn run(&self, units: usize, job: Job<'_>) {
        self.0.run(units, &|units| {
            thread::yield_now();
            job(units);
        });
    }
}

/// Calls `work` with `count` threads, all of which have joined.
fn with_threads<R>(count: usize, work: impl FnOnce(&dyn Cores) -> R) -> R {
    struct Dismiss<'a>(&'a Team<Awake>);
    impl Drop for Dismiss<'_> {
        fn drop(&mut self) {
            self.0.dismiss();
        }
    }
    let team = &Team::new(count, Awake);
    thread::scope(|scope| {
        let _dismiss = Dismiss(team);
        for place in 1..count {
            scope.spawn(move || team.work(place));
        }
        while team.count() < count {
            thread::yield_now();
        }
        work(&Polite(team))
    })
}

/// A matrix as in a file: its shape and the planes of each row.
struct Rows {
    shape: Shape,
    planes: Vec<[Vec<u8>; 2]>,
}

impl Rows {
    fn encode(shape: Shape, values: &[f32]) -> Self {
        let (encoder, bytes) = (shape.encoder().unwrap(), shape.plane_bytes().unwrap());
        let rows = values.chunks_exact(shape.columns).map(|row| {
            let mut planes = bytes.map(|bytes| vec![0; bytes as usize]);
            encoder.encode_row(row, planes.each_mut().map(Vec::as_mut_slice));
            planes
        });
        Rows { shape, planes: rows.collect() }
    }

    /// Rows as they follow each other in the planes of a file.
    fn planes_of(&self, rows: Range<usize>) -> [Vec<u8>; 2] {
        [0, 1]
            .map(|plane| self.planes[rows.clone()].iter().flat_map(|p| p[plane].clone()).collect())
    }

    fn planes(&self, row: usize) -> [&[u8]; 2] {
        self.planes[row].each_ref().map(Vec::as_slice)
    }

    /// llama2.c's `matmul`, from the file's bytes, row after row.
    fn product(&self, x: &[f32]) -> Vec<f32> {
        (0..self.shape.rows).map(|row| self.row_product(self.planes(row), x)).collect()
    }

    /// The definition of a product: floats `acc += w * x`, columns ascending; integers
    /// `acc += (isum * w_scale) * x_scale`, blocks ascending.
    fn row_product(&self, planes: [&[u8]; 2], x: &[f32]) -> f32 {
        match self.shape.encoding {
            Encoding::F32 | Encoding::F16 | Encoding::Bf16 => {
                let mut weights = vec![0.0; self.shape.columns];
                self.shape.decode_row(planes, &mut weights);
                weights.iter().zip(x).fold(0.0, |sum, (w, x)| sum + w * x)
            }
            encoding => {
                let blocks = integer_blocks(encoding, planes);
                let x = x.chunks_exact(encoding.block_len());
                blocks.zip(x).fold(0.0, |sum, ((weights, scale), x)| {
                    let mut q = vec![0i8; x.len()];
                    let ties = if matches!(encoding, Encoding::Int8 { .. }) {
                        f32::round
                    } else {
                        f32::round_ties_even
                    };
                    let x_scale = quantize_group(x, &mut q, ties);
                    let integer: i32 = weights.iter().zip(&q).map(|(w, &q)| w * i32::from(q)).sum();
                    sum + integer as f32 * scale * x_scale
                })
            }
        }
    }

    /// Rows of any bytes, among them the smallest and the largest integers, in which no scale or
    /// float is infinite or NaN.
    fn random(shape: Shape, seed: u64) -> Self {
        let mut state = seed;
        let mut byte = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let extremes = [0x00, 0x80, 0x7f, 0xff, 0x08, 0xf0];
        let bytes = shape.plane_bytes().unwrap().map(|bytes| bytes as usize);
        let planes = (0..shape.rows).map(|_| {
            let fill = extremes.get(usize::from(byte() % 12)).copied();
            let mut planes =
                bytes.map(|n| (0..n).map(|_| fill.unwrap_or_else(&mut byte)).collect());
            finite(shape.encoding, &mut planes);
            planes
        });
        Rows { shape, planes: planes.collect() }
    }
}

/// Clears a bit of the exponent of every float in a row.
fn finite(encoding: Encoding, [values, scales]: &mut [Vec<u8>; 2]) {
    let clear = |bytes: &mut [u8]| *bytes.last_mut().unwrap() &= !0x40;
    match encoding {
        Encoding::F32 => values.chunks_exact_mut(4).for_each(clear),
        Encoding::F16 | Encoding::Bf16 => values.chunks_exact_mut(2).for_each(clear),
        Encoding::Q8_0 => values.chunks_exact_mut(34).for_each(|block| clear(&mut block[..2])),
        Encoding::Q4_0 => values.chunks_exact_mut(18).for_each(|block| clear(&mut block[..2])),
        Encoding::Int8 { .. } => scales.chunks_exact_mut(4).for_each(clear),
    }
}

/// The integers and the scale of each block of a row, from the file's bytes.
fn integer_blocks<'a>(
    encoding: Encoding,
    [values, scales]: [&'a [u8]; 2],
) -> Box<dyn Iterator<Item = (Vec<i32>, f32)> + 'a> {
    let signed = |bytes: &[u8]| bytes.iter().map(|&byte| i32::from(byte as i8)).collect();
    match encoding {
        Encoding::Q8_0 => {
            Box::new(values.chunks_exact(34).map(move |b| (signed(&b[2..]), f16(&b[..2]))))
        }
        Encoding::Q4_0 => Box::new(values.chunks_exact(18).map(|b| {
            let nibble = |k: usize| i32::from((b[2 + k % 16] >> (k / 16 * 4)) & 15) - 8;
            ((0..32).map(nibble).collect(), f16(&b[..2]))
        })),
        Encoding::Int8 { group } => {
            let scales = scales.chunks_exact(4).map(|s| f32::from_le_bytes(s.try_into().unwrap()));
            Box::new(values.chunks_exact(group).map(signed).zip(scales))
        }
        _ => unreachable!("floats"),
    }
}

/// The definition of binary16: sign, exponent, fraction.
fn f16(bytes: &[u8]) -> f32 {
    let bits = u16::from_le_bytes([bytes[0], bytes[1]]);
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction) * 2f32.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let awkward = proptest::sample::select(vec![1usize, 2, 3, 5, 7, 31, 32, 33]);
    // Enough panels for every core.
    let rows = prop_oneof![2 => awkward, 1 => 34..130usize];
    // Some panels are longer than a slice.
    let columns = || prop_oneof![9 => 1..80usize, 1 => 120..300usize];
    let blocks = || prop_oneof![9 => 1..5usize, 1 => 14..33usize];
    let encoding = prop_oneof![
        columns().prop_map(|columns| (columns, Encoding::F32)),
        columns().prop_map(|columns| (columns, Encoding::F16)),
        columns().prop_map(|columns| (columns, Encoding::Bf16)),
        blocks().prop_map(|blocks| (32 * blocks, Encoding::Q8_0)),
        blocks().prop_map(|blocks| (32 * blocks, Encoding::Q4_0)),
        (1..70usize, blocks())
            .prop_map(|(group, groups)| (group * groups, Encoding::Int8 { group })),
    ];
    (rows, encoding).prop_map(|(rows, (columns, encoding))| Shape { rows, columns, encoding })
}

/// Values of a usual size, and in some vectors extreme ones too.
fn values(count: usize) -> impl Strategy<Value = Vec<f32>> {
    let usual = prop_oneof![8 => -4.0f32..4.0, 1 => Just(0.0f32)];
    let any = prop_oneof![
        8 => -4.0f32..4.0,
        1 => Just(0.0),
        1 => Just(-1e30f32),
        1 => Just(6e4f32),
        1 => Just(3e-7f32),
        1 => Just(1e-40f32),
    ];
    prop_oneof![proptest::collection::vec(usual, count), proptest::collection::vec(any, count)]
}

fn cases() -> impl Strategy<Value = (Shape, Vec<f32>, Vec<f32>, usize)> {
    let tokens = prop_oneof![Just(1usize), 1..14usize, 14..=97usize];
    (shapes(), tokens).prop_flat_map(|(shape, tokens)| {
        let (weights, x) = (shape.rows * shape.columns, tokens * shape.columns);
        // Numbers too large for 16 bits become infinite, and infinite weights are refused.
        let largest = match shape.encoding {
            Encoding::F32 | Encoding::Bf16 | Encoding::Int8 { .. } => f32::MAX,
            Encoding::F16 | Encoding::Q8_0 | Encoding::Q4_0 => 6e4,
        };
        let weights = values(weights).prop_map(move |mut weights| {
            weights.iter_mut().for_each(|weight| *weight = weight.clamp(-largest, largest));
            weights
        });
        (Just(shape), weights, values(x), Just(tokens))
    })
}

fn bits(values: &[f32]) -> Vec<u32> {
    // All NaNs are equal here: processors differ in the payload that they give one.
    values.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

/// Every instruction set that this CPU can run code for.
fn instruction_sets() -> impl Iterator<Item = Cpu> {
    let cpu = Cpu::detect();
    let isas = Isa::ALL.into_iter().filter(move |&isa| is_available(cpu, isa));
    isas.map(move |isa| cpu.only(isa))
}

fn pack(rows: &Rows, cpu: Cpu) -> Matrix {
    pack_on(&OneCore, rows, cpu, usize::MAX)
}

/// Packs `panels` panels at a time.
fn pack_on(cores: &dyn Cores, rows: &Rows, cpu: Cpu, panels: usize) -> Matrix {
    let mut builder = MatrixBuilder::new(rows.shape, cpu).unwrap();
    let (all, most) = (rows.shape.rows, panels.saturating_mul(PANEL));
    for first in (0..all).step_by(most) {
        let [values, scales] = rows.planes_of(first..all.min(first.saturating_add(most)));
        builder.push_rows(cores, [&values, &scales], &mut || {}).unwrap();
    }
    builder.finish()
}

/// The index in a panel of byte `byte` of a row of a plane, and which of its bits are flipped: what
/// the formats' pages describe.
fn place(shape: &Shape, plane: usize, byte: usize, row: usize) -> (usize, u8) {
    // In groups of `n` bytes of 32 rows.
    let interleaved = |n: usize, byte: usize| (byte / n * PANEL + row) * n + byte % n;
    let block = |size: usize, flip: u8| {
        let (start, within) = (byte / size * size * PANEL, byte % size);
        match within {
            0..2 => (start + interleaved(2, within), 0),
            _ => (start + 2 * PANEL + interleaved(4, within - 2), flip),
        }
    };
    match shape.encoding {
        Encoding::F32 => (interleaved(4, byte), 0),
        Encoding::F16 | Encoding::Bf16 => (interleaved(2, byte), 0),
        Encoding::Q8_0 => block(34, 0x80),
        Encoding::Q4_0 => block(18, 0),
        Encoding::Int8 { group } => {
            let bytes = PANEL * (4 + group.next_multiple_of(4));
            match plane {
                0 => {
                    let (start, within) = (byte / group * bytes, byte % group);
                    (start + 4 * PANEL + interleaved(4, within), 0x80)
                }
                _ => (byte / 4 * bytes + interleaved(4, byte % 4), 0),
            }
        }
    }
}

proptest! {
    #[test]
    fn packed_products_have_the_bits_of_the_definition((shape, weights, x, tokens) in cases(), threads in 1..=4usize) {
        let rows = Rows::encode(shape, &weights);
        let expected: Vec<f32> = x.chunks(shape.columns).flat_map(|x| rows.product(x)).collect();
        let mut wrong = None;
        with_threads(threads, |cores| for cpu in instruction_sets() {
            let matrix = pack(&rows, cpu);
            let mut buffer = InputBuffer::new(input_words(&shape, tokens)).unwrap();
            for cores in [&OneCore as &dyn Cores, cores] {
                let mut output = vec![f32::NAN; tokens * shape.rows];
                multiply(cores, &mut buffer, (tokens, &x), [(&matrix, &mut output)]);
                if bits(&output) != bits(&expected) {
                    wrong = Some((matrix.isa(), cores.count()));
                }
            }
        });
        prop_assert_eq!(wrong, None, "the instruction set and the threads");
    }

    /// Formats of integers with all of their bytes, and inputs that are all largest or smallest.
    #[test]
    fn products_of_any_bytes_have_the_bits_of_the_definition(
        shape in shapes(),
        seed in any::<u64>(),
        tokens in 1..14usize,
    ) {
        let rows = Rows::random(shape, seed);
        let x: Vec<f32> = (0..tokens * shape.columns)
            .map(|i| match (seed >> (i / shape.columns % 60)) % 4 {
                0 => 1.0,
                1 => -1.0,
                _ => ((i * 7919) % 1013) as f32 / 400.0 - 1.25,
            })
            .collect();
        let expected: Vec<f32> = x.chunks(shape.columns).flat_map(|x| rows.product(x)).collect();
        for cpu in instruction_sets() {
            let matrix = pack(&rows, cpu);
            let mut buffer = InputBuffer::new(input_words(&shape, tokens)).unwrap();
            let mut output = vec![f32::NAN; tokens * shape.rows];
            multiply(&OneCore, &mut buffer, (tokens, &x), [(&matrix, &mut output)]);
            prop_assert_eq!(bits(&output), bits(&expected), "{}", matrix.isa());
        }
    }

    #[test]
    fn a_panel_has_every_byte_of_its_rows_at_its_index(
        shape in shapes(),
        filled in any::<u8>(),
        seed in any::<u64>(),
    ) {
        let rows = shape.rows.min(PANEL);
        let one_panel = Shape { rows, ..shape };
        let row_bytes = shape.plane_bytes().unwrap().map(|bytes| bytes as usize);
        let mut state = seed;
        let planes = row_bytes.map(|bytes| -> Vec<u8> {
            let byte = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            (0..rows * bytes).map(byte).collect()
        });
        let mut expected = vec![filled; one_panel.packed_bytes().unwrap()];
        let mut panel = expected.clone();
        for (plane, bytes) in planes.iter().enumerate() {
            for (index, &byte) in bytes.iter().enumerate() {
                let (row, within) = (index / row_bytes[plane], index % row_bytes[plane]);
                let (place, flip) = place(&shape, plane, within, row);
                expected[place] = byte ^ flip;
            }
        }
        shape.pack_panel([&planes[0], &planes[1]], &mut panel);
        prop_assert!(panel == expected);
    }

    #[test]
    fn unpacked_rows_equal_those_of_the_file(
        (shape, weights, ..) in cases(),
        threads in 1..=4usize,
        panels in 1..5usize,
    ) {
        let rows = Rows::encode(shape, &weights);
        let matrix =
            with_threads(threads, |cores| pack_on(cores, &rows, Cpu::detect(), panels));
        for row in 0..shape.rows {
            let (mut packed, mut decoded) = (vec![0.0; shape.columns], vec![0.0; shape.columns]);
            matrix.row(row, &mut packed);
            shape.decode_row(rows.planes(row), &mut decoded);
            prop_assert_eq!(bits(&packed), bits(&decoded));
        }
    }

    #[test]
    fn quantizing_is_off_by_at_most_half_a_step(values in values(40)) {
        let mut quantized = vec![0i8; 40];
        let scale = quantize_group(&values, &mut quantized, f32::round_ties_even);
        for (value, q) in values.iter().zip(quantized) {
            prop_assert!((value - f32::from(q) * scale).abs() <= scale * 0.501);
        }
    }
}

#[test]
fn every_instruction_set_of_this_cpu_passes_the_self_test() {
    for isa in Isa::ALL {
        assert!(self_test(Cpu::detect(), isa), "{isa}");
    }
}

#[test]
fn matrices_that_share_an_input_may_differ_in_format() {
    let weights: Vec<f32> = (0..64 * 32).map(|i| (i % 13) as f32 - 6.0).collect();
    // Quantized they are ties: int8 rounds them away from zero, Q8_0 to the even neighbour.
    let x: Vec<f32> = (0..32).map(|i| if i == 0 { 127.0 } else { i as f32 * 0.5 - 8.0 }).collect();
    let int8 = |group| Encoding::Int8 { group };
    let encodings = [int8(4), Encoding::F32, int8(32), Encoding::Q8_0, Encoding::F16];
    let rows =
        encodings.map(|encoding| Rows::encode(Shape { rows: 64, columns: 32, encoding }, &weights));
    let matrices = rows.each_ref().map(|rows| pack(rows, Cpu::detect()));
    let mut outputs = [const { Vec::new() }; 5];
    outputs.iter_mut().for_each(|output| output.resize(64, 0.0));
    let [a, b, c, d, e] = &mut outputs;
    let mut buffer = InputBuffer::new(128).unwrap();
    let [ma, mb, mc, md, me] = &matrices;
    multiply(&OneCore, &mut buffer, (1, &x), [(ma, a), (mb, b), (mc, c), (md, d), (me, e)]);
    for (rows, output) in rows.iter().zip(&outputs) {
        assert_eq!(bits(&rows.product(&x)), bits(output));
    }
}

/// Bytes that the quantizers of llama.cpp's own package `gguf` (0.19, `quants.py`, which
/// says that it is bit-exact with ggml's) made of the same numbers.
#[test]
fn quantized_weights_have_the_bytes_of_ggml() {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let mut row: Vec<f32> = (0..64 * 32)
        .map(|i| (next() as f32 / 8_388_608.0 - 1.0) * 2f32.powi(i / 32 % 40 - 20))
        .collect();
    // A block of zeros, one with halves, one whose greatest magnitudes differ in sign.
    row[..32].fill(0.0);
    row[32..64].iter_mut().enumerate().for_each(|(i, v)| *v = i as f32 * 0.5 - 8.0);
    (row[32], row[70], row[71]) = (127.0, 3.0, -3.0);
    for (encoding, expected) in [
        (Encoding::F16, 0xf7c6_afa1_9bc9_21c1),
        (Encoding::Bf16, 0xbd31_af53_caba_8066),
        (Encoding::Q8_0, 0xab77_221b_edc4_403f),
        (Encoding::Q4_0, 0xdec5_eb83_c425_6e03),
    ] {
        let rows = Rows::encode(Shape { rows: 1, columns: row.len(), encoding }, &row);
        let hash = rows.planes(0)[0].iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, expected, "{encoding:?}: {hash:#x}");
    }
}

#[test]
fn infinities_and_nan_are_found() {
    for encoding in Encoding::IN_GGUF {
        let shape = Shape { rows: 1, columns: 96, encoding };
        let rows = Rows::random(shape, 1);
        assert_eq!(shape.check_row(rows.planes(0)), Ok(()));
        let mut row = rows.planes[0][0].clone();
        // The last value, or the scale of the last block.
        let (place, width) = match encoding {
            Encoding::F32 => (95 * 4, 4),
            Encoding::F16 | Encoding::Bf16 => (95 * 2, 2),
            Encoding::Q8_0 => (2 * 34, 2),
            _ => (2 * 18, 2),
        };
        let index = if encoding.block_len() == 1 { 95 } else { 2 };
        let infinite: &[u8] = match (encoding, width) {
            (_, 4) => &[0, 0, 0x80, 0xff],
            (Encoding::Bf16, _) => &[0x80, 0xff],
            _ => &[0, 0xfc],
        };
        row[place..place + width].copy_from_slice(infinite);
        let check = |row: &[u8]| shape.check_row([row, &[]]);
        assert_eq!(check(&row), Err(NotFinite { index, nan: false }), "{encoding:?}");
        row[place] |= 1;
        assert_eq!(check(&row), Err(NotFinite { index, nan: true }), "{encoding:?}");
    }
}

/// Magnitudes so small that their scale is zero or far from their 127th part, infinities and NaN.
#[test]
fn inputs_without_a_usable_scale_have_the_bits_of_the_definition() {
    let tiny = [1, 40, 63, 64, 100, 190, 191].map(f32::from_bits);
    let none = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for encoding in [Encoding::Q8_0, Encoding::Q4_0, Encoding::Int8 { group: 64 }] {
        let shape = Shape { rows: 5, columns: 64, encoding };
        let weights: Vec<f32> = (0..5 * 64).map(|i| i as f32 / 7.0 - 20.0).collect();
        let rows = Rows::encode(shape, &weights);
        for value in tiny.into_iter().chain(none) {
            let x: Vec<f32> = (0..64).map(|i| [value, 0.0, -value, value / 2.0][i % 4]).collect();
            let expected = rows.product(&x);
            for cpu in instruction_sets() {
                let mut buffer = InputBuffer::new(input_words(&shape, 1)).unwrap();
                let (matrix, mut output) = (pack(&rows, cpu), vec![0.0; 5]);
                multiply(&OneCore, &mut buffer, (1, &x), [(&matrix, &mut output)]);
                let isa = matrix.isa();
                assert_eq!(bits(&output), bits(&expected), "{encoding:?}, {value:e}, {isa}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "more rows than the matrix has")]
fn rows_beyond_the_last_are_refused() {
    let shape = Shape { rows: 33, columns: 3, encoding: Encoding::F32 };
    let mut builder = MatrixBuilder::new(shape, Cpu::detect()).unwrap();
    // They would fit into the last panel.
    let _ = builder.push_rows(&OneCore, [&[0; 34 * 12], &[]], &mut || {});
}

#[test]
fn the_first_bad_row_is_reported_whichever_core_found_it() {
    let shape = Shape { rows: 200, columns: 3, encoding: Encoding::F32 };
    let mut values = vec![1.0; 600];
    (values[3 * 170 + 2], values[3 * 130 + 1], values[3 * 131]) =
        (f32::NAN, f32::INFINITY, f32::NAN);
    let rows = Rows::encode(shape, &values);
    let error = NotFinite { index: 1, nan: false };
    for threads in 1..8 {
        with_threads(threads, |cores| {
            let mut builder = MatrixBuilder::new(shape, Cpu::detect()).unwrap();
            let mut push = |part: Range<usize>| {
                let [values, _] = rows.planes_of(part);
                builder.push_rows(cores, [&values, &[]], &mut || {})
            };
            assert_eq!(push(0..64), Ok(()));
            assert_eq!(push(64..200), Err(BadRow { row: 130, error }));
        });
    }
}

#[test]
fn a_panel_of_blocks_has_the_bytes_that_the_kernels_expect() {
    let shape = |encoding| Shape { rows: 1, columns: 64, encoding };
    let bytes = |encoding: Encoding| shape(encoding).packed_bytes();
    assert_eq!(bytes(Encoding::F16), Some(64 * 64));
    assert_eq!(bytes(Encoding::Bf16), Some(64 * 64));
    assert_eq!(bytes(Encoding::Q8_0), Some(2 * 1088));
    assert_eq!(bytes(Encoding::Q4_0), Some(2 * 576));

    // Row 5 of the second block: its scale, and what its byte 9 is (quad 2, the second of 4).
    for (encoding, block_bytes, flip) in [(Encoding::Q8_0, 34, 0x80), (Encoding::Q4_0, 18, 0)] {
        let row: Vec<u8> = (0..2 * block_bytes as u8).collect();
        let mut rows = vec![0; 5 * row.len()];
        rows.extend(&row);
        let mut panel = vec![0; bytes(encoding).unwrap()];
        shape(encoding).pack_panel([&rows, &[]], &mut panel);
        let packed = &panel[32 * block_bytes..];
        assert_eq!(packed[10..12], row[block_bytes..][..2]);
        assert_eq!(packed[64 + (2 * 32 + 5) * 4 + 1], row[block_bytes + 2 + 9] ^ flip);
    }
}
