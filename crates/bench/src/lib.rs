#![no_std]
#![forbid(unsafe_code)]
//! How fast a model runs on this machine, and how fast it could.
//!
//! [`Limits`] measures the machine: the bytes that its memory gives a second, and the products that
//! its arithmetic does. [`run`] measures a model on it, and [`Report`] says both to a person; `bootllm
//! bench` and the prompt's `/bench` are made of these. Speed does not depend on what the weights are:
//! [`Synthetic`] is a model of any shape without a file; [`random_rows`] and [`random_vocabulary`] are
//! one that is written into files, for other programs to be measured with the same.

extern crate alloc;

mod limits;
mod measure;
mod progress;
mod random;
mod report;
mod synthetic;

pub use limits::Limits;
pub use measure::{MeasureError, Measured, Work, median, memory_needed, run};
pub use progress::{Part, Progress, Watch};
pub use random::{random_rows, random_vocabulary};
pub use report::{Report, Run};
pub use synthetic::{SHAPES, Synthetic, shape};
