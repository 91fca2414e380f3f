#![no_std]
//! The vector maths of a forward pass, in one arithmetic.
//!
//! Every function here does the operations of llama2.c's `run.c` in `run.c`'s order, each rounded
//! to `f32`: no fused multiply-add, no reordered sum. What C leaves to its library (`expf`,
//! `powf`, `cosf`, `sinf`) is fixed here to one algorithm, so that a result has the same bits on
//! every machine.
//!
//! [`Cpu`] says which instruction sets there are, and [`Simd`] is one trait for the registers of all
//! of them. The functions on slices are plain Rust; inlined into [`Simd::run`] they are compiled for
//! an instruction set, and give the same bits with each.

extern crate alloc;

mod detect;
mod exp;
mod half;
mod isa;
mod register;
mod rope;
mod sin_cos;
mod ticks;
mod vector;

pub use exp::exp;
pub use half::{bf16_from_f32, bf16_to_f32, f16_from_f32, f16_to_f32};
pub use isa::{Cpu, Isa};
pub use register::*;
pub use rope::{RopeTable, rope_frequencies};
pub use ticks::ticks;
pub use vector::{
    SUMS_AT_ONCE, add, i8_from_integral, rms_norm, round_half_away, round_half_even, saturate_i8,
    silu_times, softmax, softmax_scores,
};
