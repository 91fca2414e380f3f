//! Packed matrices against a few plain lines: the same values, the same bits.

use bootllm_cores::{Cores, Job, OneCore};
use bootllm_quant::{Encoding, InputBuffer, MatrixBuilder, Shape, multiply, quantize_group};
use bootllm_simd::Isa;
use proptest::prelude::*;

/// Hands the units out in so many parts, one after the other: the division without the threads.
struct InTurn(usize);

// SAFETY: the parts do not overlap, and each call is over when `run` returns.
unsafe impl Cores for InTurn {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, units: usize, job: Job<'_>) {
        let part = units.div_ceil(self.0).max(1);
        for start in (0..units).step_by(part) {
            job(start..units.min(start + part));
        }
    }
}

/// A matrix as a file holds it: its shape and the planes of each row.
struct Rows {
    shape: Shape,
    planes: Vec<[Vec<u8>; 2]>,
}

impl Rows {
    fn encode(shape: Shape, values: &[f32]) -> Self {
        let format = shape.encoding.format();
        let bytes = format.plane_bytes(&shape).unwrap();
        let rows = values.chunks_exact(shape.columns).map(|row| {
            let mut planes = bytes.map(|bytes| vec![0; bytes as usize]);
            format.encode_row(&shape, row, planes.each_mut().map(Vec::as_mut_slice));
            planes
        });
        Rows { shape, planes: rows.collect() }
    }

    fn planes(&self, row: usize) -> [&[u8]; 2] {
        self.planes[row].each_ref().map(Vec::as_slice)
    }

    /// llama2.c's `matmul`, from the file's bytes, one row after the other.
    fn product(&self, x: &[f32]) -> Vec<f32> {
        (0..self.shape.rows).map(|row| self.row_product(self.planes(row), x)).collect()
    }

    fn row_product(&self, planes: [&[u8]; 2], x: &[f32]) -> f32 {
        let mut sum = 0.0f32;
        match self.shape.encoding {
            Encoding::F32 => {
                for (w, x) in planes[0].chunks_exact(4).zip(x) {
                    sum += f32::from_le_bytes(w.try_into().unwrap()) * x;
                }
            }
            Encoding::Int8 { group } => {
                let groups = planes[0].chunks_exact(group).zip(planes[1].chunks_exact(4));
                for ((w, scale), x) in groups.zip(x.chunks_exact(group)) {
                    let mut q = vec![0i8; group];
                    let x_scale = quantize_group(x, &mut q, f32::round);
                    let integer: i32 =
                        w.iter().zip(&q).map(|(&w, &q)| i32::from(w as i8) * i32::from(q)).sum();
                    let scale = f32::from_le_bytes(scale.try_into().unwrap());
                    sum += integer as f32 * scale * x_scale;
                }
            }
        }
        sum
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let rows = prop_oneof![Just(1usize), Just(2), Just(31), Just(32), Just(33), 1..100usize];
    let encoding = prop_oneof![
        (1..80usize).prop_map(|columns| (columns, Encoding::F32)),
        (1..70usize, 1..5usize)
            .prop_map(|(group, groups)| (group * groups, Encoding::Int8 { group })),
    ];
    (rows, encoding).prop_map(|(rows, (columns, encoding))| Shape { rows, columns, encoding })
}

fn values(count: usize) -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        8 => -4.0f32..4.0,
        1 => Just(0.0),
        1 => Just(-1e30f32),
        1 => Just(1e-40f32),
    ];
    proptest::collection::vec(value, count)
}

fn cases() -> impl Strategy<Value = (Shape, Vec<f32>, Vec<f32>, usize)> {
    shapes().prop_flat_map(|shape| {
        (Just(shape), values(shape.rows * shape.columns), values(shape.columns), 1..5usize)
    })
}

fn bits(values: &[f32]) -> Vec<u32> {
    // All NaNs are one: which payload comes out of an operation is the processor's choice.
    values.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

proptest! {
    #[test]
    fn a_packed_product_has_the_bits_of_the_plain_one((shape, weights, x, cores) in cases()) {
        let rows = Rows::encode(shape, &weights);
        let mut builder = MatrixBuilder::new(shape, Isa::detect()).unwrap();
        (0..shape.rows).for_each(|row| builder.push_row(rows.planes(row)));
        let matrix = builder.finish();
        let mut buffer = InputBuffer::new(shape.columns).unwrap();

        let expected = rows.product(&x);
        for cores in [&OneCore as &dyn Cores, &InTurn(cores)] {
            let mut output = vec![f32::NAN; shape.rows];
            multiply(cores, &mut buffer, &x, [(&matrix, &mut output)]);
            prop_assert_eq!(bits(&output), bits(&expected));
        }
    }

    #[test]
    fn a_packed_row_comes_back_as_the_file_has_it((shape, weights, ..) in cases()) {
        let rows = Rows::encode(shape, &weights);
        let mut builder = MatrixBuilder::new(shape, Isa::detect()).unwrap();
        (0..shape.rows).for_each(|row| builder.push_row(rows.planes(row)));
        let matrix = builder.finish();
        for row in 0..shape.rows {
            let (mut packed, mut decoded) = (vec![0.0; shape.columns], vec![0.0; shape.columns]);
            matrix.row(row, &mut packed);
            shape.encoding.format().decode_row(&shape, rows.planes(row), &mut decoded);
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
fn matrices_that_share_an_input_may_differ_in_format() {
    let weights: Vec<f32> = (0..64 * 8).map(|i| (i % 13) as f32 - 6.0).collect();
    let x: Vec<f32> = (0..8).map(|i| i as f32 * 0.25 - 1.0).collect();
    let encodings = [Encoding::Int8 { group: 4 }, Encoding::F32, Encoding::Int8 { group: 8 }];
    let rows =
        encodings.map(|encoding| Rows::encode(Shape { rows: 64, columns: 8, encoding }, &weights));
    let matrices = rows.each_ref().map(|rows| {
        let mut builder = MatrixBuilder::new(rows.shape, Isa::detect()).unwrap();
        (0..64).for_each(|row| builder.push_row(rows.planes(row)));
        builder.finish()
    });
    let mut outputs = [vec![0.0; 64], vec![0.0; 64], vec![0.0; 64]];
    let [a, b, c] = &mut outputs;
    let mut buffer = InputBuffer::new(8).unwrap();
    let [ma, mb, mc] = &matrices;
    multiply(&OneCore, &mut buffer, &x, [(ma, a), (mb, b), (mc, c)]);
    for (rows, output) in rows.iter().zip(&outputs) {
        assert_eq!(bits(&rows.product(&x)), bits(output));
    }
}
