#![no_std]
//! Fork-join over the cores of a machine, and safe ways to divide outputs among them.
//!
//! [`Cores::run`] divides a computation's units among the cores and returns when all are done.
//! [`split_rows`] and [`split_columns`] hand each core a part of an output that no other core sees,
//! so that the engine needs neither locks nor `unsafe`. Cores divide rows, never a sum: the result
//! does not depend on how many there are, nor on which of them did what.
//!
//! [`OneCore`] is the calling core. A [`Team`] is the calling core and workers. The scheduler is the
//! same on Linux and on firmware; an [`Idle`] says how its workers wait, sleep and are woken.
//! `apps/host` and `apps/boot` each implement one, and start the workers.
//!
//! ```
//! use bootllm_cores::{OneCore, split_rows};
//!
//! let mut squares = [0; 10];
//! // Units of four elements: a core gets whole units, and the number of the first.
//! split_rows(&OneCore, &mut squares, 4, |first, units| {
//!     for (index, square) in (first * 4..).zip(units) {
//!         *square = index * index;
//!     }
//! });
//! assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
//! ```
//!
//! The unsafe code is checked in two ways beyond the crate's tests:
//!
//! - `cargo test --release --manifest-path crates/cores/loom/Cargo.toml` runs [`Team`] in the model
//!   checker loom through the interleavings of two and three cores, writes seen late included. It
//!   takes less than a minute.
//! - `MIRIFLAGS=-Zmiri-many-seeds=0..8 cargo +nightly miri test -p bootllm-cores` looks for undefined
//!   behaviour. It needs a nightly toolchain with the component `miri`.

extern crate alloc;

mod split;
mod sync;
mod team;

pub use split::{Columns, split_columns, split_rows, split_rows_overlapped, split_together};
pub use team::{Idle, Parked, Signal, Team};

use core::ops::Range;

/// A computation: called with the numbers of the units that it is to do.
pub type Job<'a> = &'a (dyn Fn(Range<usize>) + Sync + 'a);

/// The cores that a computation may use.
///
/// ```
/// use bootllm_cores::{Cores, OneCore};
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// let sum = AtomicUsize::new(0);
/// let cores: &dyn Cores = &OneCore;
/// cores.run(100, &|units| {
///     sum.fetch_add(units.sum::<usize>(), Ordering::Relaxed);
/// });
/// assert_eq!((cores.count(), sum.into_inner()), (1, 4950));
/// ```
///
/// # Safety
/// `run` and `run_overlapped` hand no unit out twice and return, or unwind, only when every call of
/// the job has ended: [`split_columns`] makes `&mut` slices of the units it is given.
pub unsafe trait Cores: Sync {
    /// How many cores take part, at least one.
    fn count(&self) -> usize;

    /// Calls `job` on the cores with ranges that cover `0..units`, every unit once, and returns
    /// when all calls have returned. A core may be called several times or not at all.
    ///
    /// # Panics
    /// If `job` does.
    fn run(&self, units: usize, job: Job<'_>);

    /// [`run`](Cores::run), overlapped with work that only the calling core can do, such as asking
    /// the firmware for the next bytes of a file. `own` is called once, on this core, while the
    /// other cores begin. Afterwards this core does what they have left, which is everything if it
    /// is alone.
    ///
    /// # Panics
    /// If `job` or `own` does.
    fn run_overlapped(&self, units: usize, job: Job<'_>, own: &mut dyn FnMut()) {
        // The job's input was often just read, and is still in the cache.
        self.run(units, job);
        own();
    }

    /// Hints that no work will come until the user types: all cores but the calling one may sleep
    /// until the next run.
    fn park(&self) {}
}

/// The calling core alone: nothing to start, nothing to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneCore;

// SAFETY: there is one call, with every unit, and it has ended when `run` returns.
unsafe impl Cores for OneCore {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, units: usize, job: Job<'_>) {
        if units > 0 {
            job(0..units);
        }
    }
}
