#![no_std]
#![forbid(unsafe_code)]
//! How fast a model runs on this machine, and how fast it could.
//!
//! [`Limits`] measures the machine: the bytes that its memory gives a second, and the products that
//! its arithmetic does. [`run`] measures a model on it. Speed does not depend on what the weights are:
//! [`Synthetic`] is a model of any shape without a file; [`random_rows`] and [`random_vocabulary`] are
//! one that is written into files, for other programs to be measured with the same.

extern crate alloc;

mod limits;
mod measure;
mod random;
mod synthetic;

pub use limits::Limits;
pub use measure::{MeasureError, Measured, Work, median, run};
pub use random::{random_rows, random_vocabulary};
pub use synthetic::{SHAPES, Synthetic, shape};
