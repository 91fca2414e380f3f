#![no_std]
#![forbid(unsafe_code)]
//! How fast a model runs on this machine, and how fast it could.
//!
//! [`Limits`] measures the machine: memory bandwidth and peak integer throughput. [`measure_speed`]
//! measures a model on it, and [`BenchReport`] shows both; `bootllm bench` and the prompt's `/bench`
//! are made of these. Speed does not depend on the values of the weights: [`Synthetic`] is a model of
//! any shape without a file. [`random_rows`] and [`random_vocabulary`] are one that is written to
//! files, so that other programs can be measured with the same model.

extern crate alloc;

mod limits;
mod measure;
mod progress;
mod random;
mod report;
mod samples;
mod synthetic;

pub use limits::Limits;
pub use measure::{MeasureError, Speeds, Workload, measure_speed, memory_needed};
pub use progress::{BenchPhase, BenchProgress, OnProgress};
pub use random::{random_rows, random_vocabulary};
pub use report::{BenchReport, BenchRun};
pub use samples::Samples;
pub use synthetic::{SHAPES, Synthetic, shape};
