//! 8-bit integers in groups: the weights of llama2.c's v2.
//!
//! A weight is `q · scale` with q an `i8` and one `f32` scale for each group of consecutive values
//! of a row. In a file the values of all rows come first, then the scales of all rows.
//!
//! A panel is, group after group: the 32 rows' scales (`f32`), then `[quad][row][4]`, the values
//! in quads of 4 consecutive columns, a group's last quad filled up with zeros. Values are kept
//! with their sign bit flipped, as unsigned numbers 128 too large: the byte products of x86
//! (`pmaddubsw`, `vpdpbusd`) take one unsigned factor. A product is put right by 128·Σx.

use crate::PANEL;
use crate::format::{Format, NotFinite, PlaneBytes, Shape, Twin};
use crate::input::{Groups, Input, Rounding, quantize_group};
use crate::pack::interleave;
use crate::product::{Blocks, IntegerWeights, Product, Strip, product};
use alloc::boxed::Box;
use alloc::vec;
use bootllm_simd::{Cpu, Isa, LANES, Simd, round_half_even};

/// The format itself; see the module's page.
pub struct Int8;

/// Bytes of a scale.
const SCALE: usize = size_of::<f32>();
/// Columns whose bytes lie together in a panel.
const QUAD: usize = 4;
/// What turns an `i8`'s bits into the same number plus 128, unsigned, and back.
pub(crate) const SIGN: u8 = 0x80;
/// The largest group: its sum of products, 32,768 · 128 · 127, still fits an `i32`.
pub const LARGEST_GROUP: usize = 1 << 15;

/// Where in a panel the parts of a group lie.
struct Group {
    /// Values in it.
    values: usize,
    /// Bytes of it in a panel.
    bytes: usize,
}

impl Group {
    fn of(shape: &Shape) -> Self {
        let values = shape.encoding.group();
        Group { values, bytes: PANEL * (SCALE + values.next_multiple_of(QUAD)) }
    }

    /// Where in the group the value `index` of row `row` lies.
    fn position(index: usize, row: usize) -> usize {
        PANEL * SCALE + (index / QUAD * PANEL + row) * QUAD + index % QUAD
    }
}

impl Format for Int8 {
    fn name(&self) -> &'static str {
        "int8"
    }

    fn plane_bytes(&self, shape: &Shape) -> Option<PlaneBytes> {
        let columns = shape.columns as u64;
        Some([columns, (columns / shape.encoding.group() as u64).checked_mul(SCALE as u64)?])
    }

    fn panel_bytes(&self, shape: &Shape) -> Option<usize> {
        let values = shape.encoding.group().checked_next_multiple_of(QUAD)?;
        let group = values.checked_add(SCALE)?.checked_mul(PANEL)?;
        group.checked_mul(shape.columns / shape.encoding.group())
    }

    fn pack_panel(&self, shape: &Shape, planes: [&[u8]; 2], panel: &mut [u8]) {
        let group = Group::of(shape);
        let values = planes[0].chunks_exact(shape.columns);
        let scales = planes[1].chunks_exact(shape.columns / group.values * SCALE);
        for (number, packed) in panel.chunks_exact_mut(group.bytes).enumerate() {
            let (packed_scales, packed_values) = packed.split_at_mut(PANEL * SCALE);
            let own_scales = scales.clone().map(|row| &row[number * SCALE..][..SCALE]);
            interleave::<SCALE>(own_scales, packed_scales, 0);
            let own_values =
                values.clone().map(|row| &row[number * group.values..][..group.values]);
            interleave::<QUAD>(own_values, packed_values, SIGN);
        }
    }

    fn unpack_row(&self, shape: &Shape, panel: &[u8], row_in_panel: usize, output: &mut [f32]) {
        let group = Group::of(shape);
        for (output, packed) in
            output.chunks_exact_mut(group.values).zip(panel.chunks_exact(group.bytes))
        {
            let scale = f32::from_le_bytes(packed.as_chunks().0[row_in_panel]);
            for (index, output) in output.iter_mut().enumerate() {
                let value = packed[Group::position(index, row_in_panel)] ^ SIGN;
                *output = f32::from(value as i8) * scale;
            }
        }
    }

    fn decode_row(&self, shape: &Shape, planes: [&[u8]; 2], output: &mut [f32]) {
        let group = shape.encoding.group();
        let scales = planes[1].as_chunks().0;
        for ((output, values), &scale) in
            output.chunks_exact_mut(group).zip(planes[0].chunks_exact(group)).zip(scales)
        {
            let scale = f32::from_le_bytes(scale);
            for (output, &value) in output.iter_mut().zip(values) {
                *output = f32::from(value as i8) * scale;
            }
        }
    }

    /// Halves go to the even neighbour, as by the `torch.round` of llama2.c's `export.py`.
    fn encode_row(&self, shape: &Shape, row: &[f32], [values, scales]: [&mut [u8]; 2]) {
        let group = shape.encoding.group();
        let mut quantized = vec![0i8; group];
        for ((row, values), scale) in row
            .chunks_exact(group)
            .zip(values.chunks_exact_mut(group))
            .zip(scales.as_chunks_mut().0)
        {
            *scale = quantize_group(row, &mut quantized, round_half_even).to_le_bytes();
            for (value, quantized) in values.iter_mut().zip(&quantized) {
                *value = *quantized as u8;
            }
        }
    }

    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite> {
        NotFinite::check_f32(planes[1])
    }

    /// llama2.c's `runq` calls C's `round`.
    fn input_groups(&self, shape: &Shape) -> Option<Groups> {
        Some(Groups { values: shape.encoding.group(), rounding: Rounding::HalfAway })
    }

    fn twin(&self) -> Twin {
        multiply_scalar
    }

    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
        product::<Blocks<Self>>(cpu, isa)
    }
}

impl IntegerWeights for Int8 {
    const ROUNDING: Rounding = Rounding::HalfAway;
    const SCALE: usize = SCALE;

    fn values(shape: &Shape) -> usize {
        shape.encoding.group()
    }

    fn lines(shape: &Shape) -> usize {
        shape.encoding.group().div_ceil(QUAD)
    }

    fn words<S: Simd>() -> usize {
        S::WORDS
    }

    #[inline(always)]
    fn prepare<S: Simd>(block: &[i8], mut put: impl FnMut(u32)) {
        for &quad in block.as_chunks().0 {
            S::words(quad).as_ref().iter().for_each(|&word| put(word));
        }
    }

    #[inline(always)]
    fn start<S: Simd>(sum: i32) -> i32 {
        -S::EXCESS * sum
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, strip: Strip, scales: &[u8]) -> S::Floats {
        simd.load_bytes(strip.own(scales))
    }

    #[inline(always)]
    fn dot<S: Simd>(
        simd: S,
        sums: S::Integers,
        weights: &[u8; LANES * QUAD],
        words: impl Fn(usize) -> u32,
    ) -> S::Integers {
        let mut x = S::Words::default();
        x.as_mut().iter_mut().enumerate().for_each(|(i, word)| *word = words(i));
        simd.dot(sums, weights, x)
    }
}

/// The scalar twin: `matmul` of llama2.c's `runq.c` for 32 rows at once. A group's integer sum is
/// exact; it is converted once and scaled by the weight's scale, then by the input's.
fn multiply_scalar(shape: &Shape, panel: &[u8], input: &Input<'_>, output: &mut [f32; PANEL]) {
    let group = Group::of(shape);
    let mut sums = [0.0f32; PANEL];
    for ((packed, x), &x_scale) in panel
        .chunks_exact(group.bytes)
        .zip(input.quantized.chunks_exact(group.values))
        .zip(input.scales)
    {
        let (scales, values) = packed.split_at(PANEL * SCALE);
        let integers = integer_sums(values, x);
        let scales = scales.as_chunks().0;
        for ((sum, integer), &scale) in sums.iter_mut().zip(integers).zip(scales) {
            *sum += integer as f32 * f32::from_le_bytes(scale) * x_scale;
        }
    }
    *output = sums;
}

/// Σ value · x of one group for each of the 32 rows, exact.
pub(crate) fn integer_sums(values: &[u8], x: &[i8]) -> [i32; PANEL] {
    let excess = 128 * x.iter().map(|&x| i32::from(x)).sum::<i32>();
    let mut sums = [-excess; PANEL];
    let quads = values.as_chunks::<{ PANEL * QUAD }>().0;
    for (quad, x) in quads.iter().zip(x.chunks(QUAD)) {
        let mut factors = [0i16; QUAD];
        for (factor, &x) in factors.iter_mut().zip(x) {
            *factor = i16::from(x);
        }
        for (sum, values) in sums.iter_mut().zip(quad.as_chunks::<QUAD>().0) {
            for (&value, factor) in values.iter().zip(factors) {
                *sum += i32::from(i16::from(value)) * i32::from(factor);
            }
        }
    }
    sums
}
