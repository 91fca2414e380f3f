#![no_std]
#![forbid(unsafe_code)]
//! What bootllm needs of a machine, as small traits.
//!
//! Everything above this crate runs unchanged on Linux and on bare metal: `apps/host` implements
//! these traits on std, `apps/boot` on UEFI firmware. Nothing here knows about models.

extern crate alloc;

mod console;
mod events;
mod storage;
mod tree_walk;

pub use console::{Console, Size};
pub use events::{Event, Events, Key};
pub use storage::{Entry, ReadAt, Retrying, SkipReason, Skipped, Storage, StorageError, Walk};
pub use tree_walk::{FileInfo, Tree, TreeWalk};

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// A clock that never goes back.
pub trait Clock {
    /// Time since some moment that stays the same for the whole run.
    fn now(&self) -> Duration;
}

/// A source of unpredictable numbers, for seeds.
pub trait Entropy {
    /// Returns a new number, different on every call and in every run.
    fn seed(&mut self) -> u64;
}

/// Describes the machine, for `/diag`, and says how much memory is left.
pub trait Machine {
    /// Bytes of memory that can still be allocated.
    fn memory_free(&self) -> u64;
    /// Bytes of memory of the whole machine.
    fn memory_total(&self) -> u64;
    /// Facts about the machine, in the order to show them in.
    fn facts(&mut self) -> Vec<Fact>;
}

/// One line of a machine's description: a label and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What is described, in a word or two ("firmware", "memory").
    pub label: &'static str,
    /// Its value, with its unit.
    pub value: String,
}
