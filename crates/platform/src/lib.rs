#![no_std]
#![forbid(unsafe_code)]
//! What bootllm needs of a machine, as small traits.
//!
//! Everything above this crate runs unchanged on Linux and on bare metal: `apps/host` implements
//! these traits on std, `apps/boot` on UEFI firmware. Nothing here knows about models.

extern crate alloc;

mod console;
mod storage;

pub use console::{Console, Input, Key, Size};
pub use storage::{Entry, ReadAt, Retrying, SkipReason, Skipped, Storage, StorageError, Walk};

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// A clock that never goes back.
pub trait Clock {
    /// Time since an arbitrary moment, the same for the whole run.
    fn now(&self) -> Duration;
}

/// A source of numbers nobody can foresee, for seeds.
pub trait Entropy {
    /// A fresh number, different on every call and on every run.
    fn seed(&mut self) -> u64;
}

/// What a machine says of itself, for `/diag`, and how much memory it can still give.
pub trait Machine {
    /// Bytes of memory that can still be allocated.
    fn memory_free(&self) -> u64;
    /// Bytes of memory of the whole machine.
    fn memory_total(&self) -> u64;
    /// Facts about this machine in the order in which they are shown.
    fn facts(&mut self) -> Vec<Fact>;
}

/// One line of a machine's description: what, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What is described, in a word or two ("firmware", "memory").
    pub label: &'static str,
    /// Its value, as a person reads it.
    pub value: String,
}
