#![no_std]
//! Weight formats: how a matrix is stored in a file, how it is packed in memory, and its products
//! with vectors.
//!
//! A weight matrix has one row per output. In a file rows follow each other. In memory they are
//! *packed*: [`PANEL`] rows side by side, so that vector registers run across rows, each of which is
//! an independent sum. No sum is ever reordered, so a product has the same bits with every register
//! width (see `ARCHITECTURE.md`, "One arithmetic").
//!
//! A format is a folder of this crate and a line in the table of [`Encoding`]. Its folder describes
//! the bytes of a row and of a packed panel (`format.rs`) and its kernel, written once on the
//! vectors of [`bootllm_simd::Simd`] (`product/`). A format that is only read has no encoder.
//!
//! ```
//! use bootllm_cores::OneCore;
//! use bootllm_quant::{Encoding, InputBuffer, MatrixBuilder, Shape, input_words, multiply};
//! use bootllm_simd::Cpu;
//!
//! // Two rows of three columns.
//! let shape = Shape { rows: 2, columns: 3, encoding: Encoding::F32 };
//! let file: Vec<u8> =
//!     [1.0f32, 2.0, 3.0, -1.0, 0.5, 0.0].into_iter().flat_map(f32::to_le_bytes).collect();
//! let mut builder = MatrixBuilder::new(shape, Cpu::detect())?;
//! builder.push_rows(&OneCore, [&file, &[]], &mut || {}).unwrap();
//! let matrix = builder.finish();
//!
//! let mut buffer = InputBuffer::new(input_words(&shape, 1)).unwrap();
//! let mut output = [0.0; 2];
//! multiply(&OneCore, &mut buffer, (1, &[1.0, 10.0, 100.0]), [(&matrix, &mut output)]);
//! assert_eq!(output, [321.0, 4.0]);
//! # Ok::<(), bootllm_quant::PackError>(())
//! ```

extern crate alloc;

mod aligned;
mod bf16;
mod blocks;
mod encoding;
mod f16;
mod f32;
mod format;
mod input;
mod int8;
mod matrix;
mod pack;
mod product;
mod q4_0;
mod q8_0;
mod self_test;
mod two_bytes;

pub use aligned::{AlignedBytes, NoMemory};
pub use encoding::{Encoding, GgufType, RowEncoder, Shape};
pub use format::{NotFinite, PlaneBytes};
pub use input::quantize_group;
pub use int8::LARGEST_GROUP;
pub use matrix::{BadRow, InputBuffer, Matrix, MatrixBuilder, PackError, input_words, multiply};
pub use self_test::self_test;

/// Rows that are packed side by side: 2 registers of 512 bits, 4 of 256 or 8 of 128.
pub const PANEL: usize = 32;
