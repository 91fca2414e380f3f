#![no_std]
#![forbid(unsafe_code)]
//! From tokens to logits.
//!
//! ```text
//! ModelFile ─► Plan ─► Loader ─► Model ─► Engine + Sequences ─► logits
//! ```
//!
//! A [`Plan`] checks that a model can be run and says what it takes, before anything is loaded. A
//! [`Loader`] streams the weights from a file and packs them, step by step. An [`Engine`] takes
//! batches of rows through the model, each row a token of some [`Sequence`]; a [`Session`] is an
//! engine with one sequence. Everything is allocated when these are made; running rows allocates
//! nothing.
//!
//! An architecture is one file in `arch/` and one line in its table; what architectures share is in
//! `blocks/`, and what a sequence remembers in `state/`.

extern crate alloc;

mod arch;
mod blocks;
mod engine;
mod kernels;
mod load;
mod model;
mod pass;
mod plan;
mod session;
mod state;
mod times;

pub use engine::{Engine, PassOutput, RunError};
pub use kernels::cpu_after_self_test;
pub use load::{LoadError, Loader, Loading};
pub use model::Model;
pub use pass::{Interrupt, Row};
pub use plan::{Memory, ModelShape, Plan, PlanError};
pub use session::Session;
pub use state::{KvFormat, Sequence};
pub use times::{Stage, Times};
