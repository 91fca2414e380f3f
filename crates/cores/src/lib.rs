#![no_std]
//! Fork-join over the cores of a machine, and safe ways to share an output between them.
//!
//! A [`Cores`] runs one job on every core and returns when all have finished. [`split_rows`]
//! hands each core rows of an output that no other core sees, so that the engine needs neither
//! locks nor `unsafe`. Cores divide rows, never a sum: the result does not depend on their number.
//!
//! So far the one implementation is [`OneCore`]; threads on Linux and application processors on
//! firmware join here.

use core::ops::Range;

/// The cores that a computation may use.
pub trait Cores: Sync {
    /// How many there are, at least one.
    fn count(&self) -> usize;

    /// Runs `job(0)`, `job(1)` … `job(count - 1)`, each once, and returns when all have returned.
    fn run(&self, job: &(dyn Fn(usize) + Sync));
}

/// The calling core alone: nothing to start, nothing to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneCore;

impl Cores for OneCore {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        job(0);
    }
}

/// The part of `items` that falls to `worker` of `workers`: consecutive, disjoint, all covered,
/// and none more than one larger than another.
pub fn share(items: usize, workers: usize, worker: usize) -> Range<usize> {
    let (each, left_over) = (items / workers, items % workers);
    let start = worker * each + worker.min(left_over);
    start..start + each + usize::from(worker < left_over)
}

/// Divides `output` into units of `unit` elements (the last may be shorter) and calls
/// `job(first, units)` on every core with the units that are its own: `first` is the number of
/// the first of them and `units` is where they lie in `output`.
///
/// # Panics
/// If `unit` is zero.
pub fn split_rows<T: Send>(
    cores: &dyn Cores,
    output: &mut [T],
    unit: usize,
    job: impl Fn(usize, &mut [T]) + Sync,
) {
    let length = output.len();
    let units = length.div_ceil(unit);
    let workers = cores.count().min(units);
    if workers <= 1 {
        if length > 0 {
            job(0, output);
        }
        return;
    }
    let start = Shared(output.as_mut_ptr());
    cores.run(&|worker| {
        if worker >= workers {
            return;
        }
        let units = share(units, workers, worker);
        let (from, to) = (units.start * unit, (units.end * unit).min(length));
        // SAFETY: `share` gives every worker a range of its own and `Cores::run` calls each worker
        // once, so no two slices overlap; `from..to` lies within `output`, which stays borrowed
        // until `run` has returned.
        let own = unsafe { core::slice::from_raw_parts_mut(start.get().add(from), to - from) };
        job(units.start, own);
    });
}

/// The start of an output whose parts are handed to several cores.
struct Shared<T>(*mut T);

impl<T> Shared<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: `split_rows` makes from it only slices that do not overlap, of elements that may be
// sent to another core.
unsafe impl<T: Send> Sync for Shared<T> {}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    /// As many threads as asked for, started anew for every job: slow and plain.
    struct Threads(usize);

    impl Cores for Threads {
        fn count(&self) -> usize {
            self.0
        }

        fn run(&self, job: &(dyn Fn(usize) + Sync)) {
            std::thread::scope(|scope| {
                for worker in 0..self.0 {
                    scope.spawn(move || job(worker));
                }
            });
        }
    }

    #[test]
    fn shares_cover_everything_once_and_evenly() {
        for items in 0..40 {
            for workers in 1..9 {
                let mut next = 0;
                for worker in 0..workers {
                    let share = share(items, workers, worker);
                    assert_eq!(share.start, next);
                    assert!(share.len().abs_diff(items / workers) <= 1);
                    next = share.end;
                }
                assert_eq!(next, items);
            }
        }
    }

    #[test]
    fn every_element_is_handed_out_once_with_its_own_number() {
        for cores in 1..6 {
            for length in [0, 1, 2, 31, 32, 33, 64, 95, 257] {
                for unit in [1, 3, 32] {
                    let mut output = vec![0usize; length];
                    split_rows(&Threads(cores), &mut output, unit, |first, own| {
                        for (i, element) in own.iter_mut().enumerate() {
                            *element += first * unit + i + 1;
                        }
                    });
                    assert!(output.iter().enumerate().all(|(i, &value)| value == i + 1));
                }
            }
        }
    }
}
