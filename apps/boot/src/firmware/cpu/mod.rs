//! The processor: vector registers switched on, its counter, what it is.

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod this;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod this;

pub use this::{
    can_watch, described_ticks_per_second, facts, halt, id, is_virtual, prepare, random, threads,
    ticks, ticks_are_steady, watch,
};
