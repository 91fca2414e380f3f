#![no_std]
#![forbid(unsafe_code)]
//! How fast a model runs on this machine, and how fast it could.
//!
//! [`Limits`] measures the machine: the bytes that its memory gives a second, and the products that
//! its arithmetic does. [`run`] measures a model on it. [`synthetic`] makes a model of any shape out
//! of nothing, for speed does not depend on what the weights are.

extern crate alloc;

mod limits;
mod measure;
mod synthetic;

pub use limits::Limits;
pub use measure::{MeasureError, Measured, Work, median, run};
pub use synthetic::{SHAPES, Synthetic, shape};
