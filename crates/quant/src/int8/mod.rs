//! 8-bit integers in groups: the weights of llama2.c's v2.
//!
//! A weight is `q · scale` with q an `i8` and one `f32` scale for each group of consecutive values
//! of a row. In a file the values of all rows come first, then the scales of all rows.
//!
//! A panel is, group after group, the 32 rows' scales (`f32`), then `[quad][row][4]`, the values
//! in quads of 4 consecutive columns, a group's last quad padded with zeros. Values are stored
//! with their sign bit flipped, as value + 128, because `vpdpbusd` takes one unsigned factor. A
//! product is corrected by 128·Σx (see [`Simd::WEIGHT_BIAS`]).

use crate::PANEL;
use crate::format::{Encode, Format, NotFinite, PlaneBytes, RowLayout};
use crate::input::{Rounding, quantize_group};
use crate::pack::interleave;
use crate::product::{HalfPanel, IntegerWeights, Integers, Product, product};
use alloc::boxed::Box;
use alloc::vec;
use bootllm_simd::{Cpu, Isa, Simd, VECTOR_BYTES, round_half_even};

/// The format.
pub struct Int8;

/// Bytes of a scale.
const SCALE: usize = size_of::<f32>();
/// Columns whose bytes are adjacent in a panel.
const QUAD: usize = 4;
/// Flipping this bit converts an `i8` to the same number plus 128, as a `u8`, and back.
pub(crate) const SIGN_BIT: u8 = 0x80;
/// The largest group: its sum of products, at most 32,768 · 128 · 127, fits an `i32`.
pub const LARGEST_GROUP: usize = 1 << 15;

/// Where the parts of a group are in a panel.
struct Group {
    /// Its values.
    values: usize,
    /// Its bytes in a panel.
    bytes: usize,
}

impl Group {
    fn of(row: RowLayout) -> Self {
        let values = row.block;
        Group { values, bytes: PANEL * (SCALE + values.next_multiple_of(QUAD)) }
    }

    /// The byte of the group that is value `index` of row `row`.
    fn position(index: usize, row: usize) -> usize {
        PANEL * SCALE + (index / QUAD * PANEL + row) * QUAD + index % QUAD
    }
}

impl Format for Int8 {
    fn plane_bytes(&self, row: RowLayout) -> Option<PlaneBytes> {
        Some([row.columns as u64, (row.blocks() as u64).checked_mul(SCALE as u64)?])
    }

    fn panel_bytes(&self, row: RowLayout) -> Option<usize> {
        let values = row.block.checked_next_multiple_of(QUAD)?;
        let group = values.checked_add(SCALE)?.checked_mul(PANEL)?;
        group.checked_mul(row.blocks())
    }

    fn pack_panel(&self, row: RowLayout, planes: [&[u8]; 2], panel: &mut [u8]) {
        let group = Group::of(row);
        let values = planes[0].chunks_exact(row.columns);
        let scales = planes[1].chunks_exact(row.blocks() * SCALE);
        for (number, packed) in panel.chunks_exact_mut(group.bytes).enumerate() {
            let (packed_scales, packed_values) = packed.split_at_mut(PANEL * SCALE);
            let own_scales = scales.clone().map(|row| &row[number * SCALE..][..SCALE]);
            interleave::<SCALE>(own_scales, packed_scales, 0);
            let own_values =
                values.clone().map(|row| &row[number * group.values..][..group.values]);
            interleave::<QUAD>(own_values, packed_values, SIGN_BIT);
        }
    }

    fn unpack_row(&self, row: RowLayout, panel: &[u8], row_in_panel: usize, output: &mut [f32]) {
        let group = Group::of(row);
        for (output, packed) in
            output.chunks_exact_mut(group.values).zip(panel.chunks_exact(group.bytes))
        {
            let scale = f32::from_le_bytes(packed.as_chunks().0[row_in_panel]);
            for (index, output) in output.iter_mut().enumerate() {
                let value = packed[Group::position(index, row_in_panel)] ^ SIGN_BIT;
                *output = f32::from(value.cast_signed()) * scale;
            }
        }
    }

    fn decode_row(&self, row: RowLayout, planes: [&[u8]; 2], output: &mut [f32]) {
        let group = row.block;
        let scales = planes[1].as_chunks().0;
        for ((output, values), &scale) in
            output.chunks_exact_mut(group).zip(planes[0].chunks_exact(group)).zip(scales)
        {
            let scale = f32::from_le_bytes(scale);
            for (output, &value) in output.iter_mut().zip(values) {
                *output = f32::from(value.cast_signed()) * scale;
            }
        }
    }

    fn check_row(&self, planes: [&[u8]; 2]) -> Result<(), NotFinite> {
        NotFinite::check_f32(planes[1])
    }

    fn product(&self, cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
        product::<Integers<Self>>(cpu, isa)
    }

    fn encoder(&self) -> Option<&dyn Encode> {
        Some(self)
    }
}

impl Encode for Int8 {
    /// Ties go to even, as by the `torch.round` of llama2.c's `export.py`.
    fn encode_row(&self, row: RowLayout, values: &[f32], [bytes, scales]: [&mut [u8]; 2]) {
        let mut quantized = vec![0i8; row.block];
        for ((values, bytes), scale) in values
            .chunks_exact(row.block)
            .zip(bytes.chunks_exact_mut(row.block))
            .zip(scales.as_chunks_mut().0)
        {
            *scale = quantize_group(values, &mut quantized, round_half_even).to_le_bytes();
            for (byte, quantized) in bytes.iter_mut().zip(&quantized) {
                *byte = quantized.cast_unsigned();
            }
        }
    }
}

impl IntegerWeights for Int8 {
    /// llama2.c's `runq` calls C's `round`.
    const ROUNDING: Rounding = Rounding::HalfAway;
    const SCALE: usize = SCALE;

    type Line<S: Simd> = S::Bytes;

    fn block_len(row: RowLayout) -> usize {
        row.block
    }

    fn lines(row: RowLayout) -> usize {
        row.block.div_ceil(QUAD)
    }

    fn line_words<S: Simd>() -> usize {
        S::QUAD_WORDS
    }

    #[inline(always)]
    fn pack_input<S: Simd>(block: &[i8], mut put: impl FnMut(u32)) {
        for &quad in block.as_chunks().0 {
            S::pack_input(quad).as_ref().iter().for_each(|&word| put(word));
        }
    }

    #[inline(always)]
    fn correction<S: Simd>(input_sum: i32) -> i32 {
        -S::WEIGHT_BIAS * input_sum
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, half: HalfPanel, scales: &[u8]) -> S::Floats {
        simd.load_f32(half.of(scales))
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, line: &[u8; VECTOR_BYTES]) -> S::Bytes {
        simd.load_u8(line)
    }

    #[inline(always)]
    fn dot<S: Simd>(
        simd: S,
        sums: S::Integers,
        line: S::Bytes,
        words: impl Fn(usize) -> u32,
    ) -> S::Integers {
        let mut x = S::PackedQuad::default();
        x.as_mut().iter_mut().enumerate().for_each(|(i, word)| *word = words(i));
        simd.dot(sums, line, x)
    }
}
