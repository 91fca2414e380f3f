#![no_std]
//! Weight formats: how a matrix lies in a file, how it is packed in memory, and its product with
//! a vector.
//!
//! A weight matrix has one row an output. In a file rows follow each other; in memory they are
//! *packed*: [`PANEL`] rows side by side, so that vector registers run across rows, each of which
//! is one independent sum. No sum is ever reordered, so a product has the same bits whatever the
//! registers' width (see `ARCHITECTURE.md`, "One arithmetic").
//!
//! A format is a folder of this crate and a line in [`Encoding::format`]:
//!
//! | format | in a file | used by |
//! |---|---|---|
//! | [`Encoding::F32`] | little-endian `f32` | llama2.c v0 and v1, GGUF |
//! | [`Encoding::F16`], [`Encoding::Bf16`] | little-endian 16-bit floating point | GGUF |
//! | [`Encoding::Q8_0`], [`Encoding::Q4_0`] | blocks of 32: one `f16` scale, then 8-bit or 4-bit integers | GGUF |
//! | [`Encoding::Int8`] | `i8` values, then one `f32` scale for every group of values in a row | llama2.c v2 |

extern crate alloc;

mod aligned;
mod bf16;
mod blocks;
mod check;
mod f16;
mod f32;
mod format;
mod half;
mod input;
mod int8;
mod matrix;
mod pack;
mod product;
mod q4_0;
mod q8_0;
mod two_bytes;

pub use aligned::{AlignedBytes, NoMemory};
pub use check::agrees;
pub use format::{Encoding, Format, GgufType, NotFinite, PlaneBytes, Shape, Twin};
pub use half::{bf16_from_f32, f16_from_f32};
pub use input::{Groups, Input, PlainInput, Rounding, quantize_group};
pub use int8::LARGEST_GROUP;
pub use matrix::{BadRow, InputBuffer, Matrix, MatrixBuilder, PackError, input_words, multiply};
pub use product::Product;

/// Rows that are packed side by side: 2 registers of 512 bits, 4 of 256 or 8 of 128.
pub const PANEL: usize = 32;
