#![no_std]
//! Fork-join over the cores of a machine, and safe ways to share outputs between them.
//!
//! [`Cores::run`] divides a computation's units among the cores and returns when all are done.
//! [`split_rows`] and [`split_columns`] hand each core a part of an output that no other core sees,
//! so that the engine needs neither locks nor `unsafe`. Cores divide rows, never a sum: the result
//! does not depend on how many there are, nor on which of them did what.
//!
//! [`OneCore`] is the calling core. A [`Team`] is the calling core and workers; the scheduler is the
//! same on Linux and on firmware, and an [`Idle`] says how its workers wait, sleep and are woken:
//! `apps/host` and `apps/boot` each have one, and start the workers.

extern crate alloc;

mod split;
mod team;

pub use split::{Columns, split_columns, split_rows, split_rows_beside, split_together};
pub use team::{Idle, Resting, Signal, Team};

use core::ops::Range;

/// What is computed: it gets the numbers of the units that it is to do.
pub type Job<'a> = &'a (dyn Fn(Range<usize>) + Sync + 'a);

/// The cores that a computation may use.
///
/// # Safety
/// `run` and `run_beside` hand no unit out twice and return, or unwind, only when every call of the
/// job has ended: [`split_columns`] makes `&mut` slices of the units it is given.
pub unsafe trait Cores: Sync {
    /// How many cores take part, at least one.
    fn count(&self) -> usize;

    /// Calls `job` on the cores with ranges that cover `0..units`, every unit once, and returns
    /// when all calls have returned. A core may be called several times or not at all.
    ///
    /// # Panics
    /// If `job` does.
    fn run(&self, units: usize, job: Job<'_>);

    /// The same with something that only the calling core can do, such as asking the firmware for the
    /// next bytes of a file: `beside` is called once, on this core, while the others begin. What they
    /// leave, or all if nobody else comes, is done by this core, too.
    ///
    /// # Panics
    /// If `job` or `beside` does.
    fn run_beside(&self, units: usize, job: Job<'_>, beside: &mut dyn FnMut()) {
        // What is to be done was often just read, and is still in the cache.
        self.run(units, job);
        beside();
    }

    /// Says that nothing will be run for a while, for a person is to say what: all cores but the
    /// calling one may sleep until the next run.
    fn rest(&self) {}
}

/// The calling core alone: nothing to start, nothing to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneCore;

// SAFETY: there is one call, with every unit, and it is over when `run` returns.
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
