#![no_std]
#![forbid(unsafe_code)]
//! From tokens to logits.
//!
//! [`Memory::needed`] says what a model will take before anything is loaded, [`Model::load`]
//! streams its weights from a file and packs them, and a [`Session`] feeds it tokens: prefill for
//! those that are known, decode for those that are chosen one by one. Everything a session needs
//! is allocated when it is made; feeding a token allocates nothing.
//!
//! An architecture is one file in `arch` and one line in its table.

extern crate alloc;

mod arch;
mod attention;
mod buffers;
mod kernels;
mod kv_cache;
mod load;
mod memory;
mod model;
mod pass;
mod session;
mod times;

pub use buffers::BATCH;
pub use kernels::checked;
pub use kv_cache::KvFormat;
pub use load::{LoadError, Loading};
pub use memory::Memory;
pub use model::Model;
pub use session::{Session, SessionError};
pub use times::{Stage, Times};
