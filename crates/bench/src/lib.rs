#![no_std]
#![forbid(unsafe_code)]
//! How fast a model runs on this machine, and how fast it could.
//!
//! [`Limits`] measures the machine: the bytes that its memory gives a second, and the products that
//! its arithmetic does. [`run`] measures a model on it, and [`Report`] says both to a person.
//! [`Synthetic`] makes a model of any shape out of nothing, for speed does not depend on what the
//! weights are. `bootllm bench` and the prompt's `/bench` are made of these.

extern crate alloc;

mod limits;
mod measure;
mod progress;
mod report;
mod synthetic;

pub use limits::Limits;
pub use measure::{MeasureError, Measured, Work, median, memory_needed, run};
pub use progress::{Part, Progress, Watch};
pub use report::{Report, Run, weight_bytes};
pub use synthetic::{SHAPES, Synthetic, shape};
