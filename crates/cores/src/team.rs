//! The calling core and its workers.
//!
//! A run gives each core a share of the units. A core takes its own share piece by piece, and then
//! pieces of what the others have left, until nothing is left. So a core that is slow, was
//! interrupted or sleeps leaves its share to the others, and no one waits for a core that has not
//! joined. Only units that a core has taken are waited for.
//!
//! # Why no core ever calls a job that has ended
//!
//! A share is one atomic word: its first unit that is not taken, and its end. Taking is a
//! compare-exchange of that word. The job is stored beside the shares and is read *after* units were
//! taken:
//!
//! 1. The caller writes the job, then the number of `open` units, then the shares (release).
//! 2. A core that takes units from a share (acquire) sees what was written before the share.
//! 3. Units that were taken are subtracted from `open` only after the calls of the job (release),
//!    and the caller writes the next job only after it has seen `open` at zero (acquire).
//!
//! So the job does not change between taking units and reporting them done, whichever core took them
//! and however late: a worker that looked at a share long ago either fails to exchange the word, or
//! has taken units of the job that runs now, and that is the job it reads. `loom/` checks this under
//! every interleaving.
//!
//! A worker waits for its own share to change. [`Cores::park`] and [`Team::dismiss`] store special
//! states there.

mod share;
#[cfg(test)]
pub(crate) mod tests;

use crate::sync::UnsafeCell;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicUsize, fence};
use crate::{Cores, Job, OneCore};
use alloc::boxed::Box;
use core::mem::transmute;
use core::ops::Range;
use share::{Share, ShareState, divide};

/// How the workers of a [`Team`] wait.
pub trait Idle: Sync {
    /// How many turns a worker waits for the next run before it sleeps.
    const TURNS: u32;

    /// Passes one turn of a wait that is expected to be short.
    fn pause(&self, turn: u32);

    /// Called by a worker: sleeps until the signal is set. It may return earlier.
    ///
    /// It checks the signal first, in a way that misses no [`wake`](Idle::wake) between the check
    /// and the sleep.
    fn sleep(&self, signal: &Signal<'_>);

    /// Called by a core that has set signals while workers were asleep or absent: makes them
    /// notice.
    fn wake(&self);

    /// Called when the team is parked. Returns what its workers are to do.
    fn park(&self) -> Parked {
        Parked::Asleep
    }
}

/// What workers do while the team is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// They sleep.
    Asleep,
    /// They return from [`Team::work`]; [`Idle::wake`] calls them back.
    Returned,
}

/// What a worker waits for.
pub struct Signal<'a> {
    share: &'a Share,
    seen: ShareState,
}

impl Signal<'_> {
    /// Whether it has been set.
    pub fn is_set(&self) -> bool {
        self.share.load() != self.seen
    }

    /// The address that is written to when it is set. Nothing else is written in the 128 bytes
    /// around it while the worker waits.
    pub fn address(&self) -> *const () {
        core::ptr::from_ref(self.share).cast()
    }
}

/// Keeps a value out of the cache lines of others. Processors fetch lines of 64 bytes in pairs.
#[repr(align(128))]
#[derive(Default)]
struct CachePadded<T>(T);

/// The calling core and its workers, each of which stays in [`work`](Team::work).
///
/// Any core may call [`run`](Cores::run). While one does, others that call it compute alone.
pub struct Team<I> {
    idle: I,
    /// What is left of each core's share: the caller's, then the workers' by their places.
    shares: Box<[CachePadded<Share>]>,
    /// Whether a core has ever worked at the place.
    joined: Box<[AtomicBool]>,
    /// The job of this run, or of one that has ended.
    job: CachePadded<UnsafeCell<*const Task>>,
    progress: CachePadded<Progress>,
    /// Whether a core is in `run`, `park` or `dismiss`.
    busy: CachePadded<AtomicBool>,
    /// Workers that are neither asleep nor absent.
    awake: CachePadded<AtomicUsize>,
}

#[derive(Default)]
struct Progress {
    /// Units that are not done.
    open: AtomicUsize,
    /// Whether a call of the job panicked.
    failed: AtomicBool,
    /// Whether units will never be done.
    abandoned: AtomicBool,
}

/// What a [`Job`] refers to, without its lifetime.
type Task = dyn Fn(Range<usize>) + Sync;

// SAFETY: only the job is not `Sync` by itself. It is written by the core that made `busy` true,
// while no units are open, and read by cores that hold units, as the module's page explains; and
// what it points to is `Sync`.
unsafe impl<I: Sync> Sync for Team<I> {}

// SAFETY: a team that is moved is not borrowed, so no run is in progress, and the job in it is never
// called again.
unsafe impl<I: Send> Send for Team<I> {}

impl<I: Idle> Team<I> {
    /// A team of up to `cores` cores, the calling one included. No worker has joined yet.
    ///
    /// # Panics
    /// If `cores` is zero.
    pub fn new(cores: usize, idle: I) -> Self {
        assert!(cores > 0, "a team without a core");
        let team = Team {
            idle,
            shares: (0..cores).map(|_| CachePadded::default()).collect(),
            joined: (0..cores).map(|place| AtomicBool::new(place == 0)).collect(),
            job: CachePadded(UnsafeCell::new(&|_: Range<usize>| {})),
            progress: CachePadded::default(),
            busy: CachePadded::default(),
            awake: CachePadded::default(),
        };
        team.set_workers(ShareState::PARKED);
        team
    }

    /// How its workers wait.
    pub fn idle(&self) -> &I {
        &self.idle
    }

    /// Works at a place, 1 to below the number of cores, until the team is dismissed or its workers
    /// return to be parked elsewhere. Place 0 is that of the core that calls [`run`](Cores::run).
    ///
    /// # Panics
    /// If there is no such place for a worker.
    pub fn work(&self, place: usize) {
        struct Present<'a>(&'a AtomicUsize);
        impl Drop for Present<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        assert!(
            (1..self.shares.len()).contains(&place),
            "place {place} of a team of {} is no worker's",
            self.shares.len()
        );
        let share = &self.shares[place].0;
        self.joined[place].store(true, Relaxed);
        self.awake.0.fetch_add(1, SeqCst);
        let _present = Present(&self.awake.0);
        let mut turn = 0;
        loop {
            let seen = share.load();
            match seen {
                ShareState::DISMISSED => return,
                ShareState::PARKED => self.sleep(share, seen),
                _ if !seen.is_empty() => {
                    self.take_from(place);
                    self.take_from_others(place);
                    turn = 0;
                }
                _ if turn < I::TURNS => {
                    self.idle.pause(turn);
                    turn += 1;
                }
                _ => {
                    self.sleep(share, seen);
                    turn = 0;
                }
            }
        }
    }

    /// Ends the work of all workers: each returns from [`work`](Team::work) as soon as it notices.
    /// Workers that sleep are not woken here.
    pub fn dismiss(&self) {
        let mut turn = 0;
        while self.busy.0.swap(true, Acquire) {
            self.idle.pause(turn);
            turn = turn.wrapping_add(1);
        }
        self.set_workers(ShareState::DISMISSED);
        self.busy.0.store(false, Release);
    }

    /// Tells the core that waits in [`run`](Cores::run) that a worker stopped with units that will
    /// never be done. It panics at once.
    ///
    /// # Safety
    /// A panic must not unwind in this program: other workers may be using what the job borrows.
    pub unsafe fn abandon(&self) {
        self.progress.0.abandoned.store(true, SeqCst);
    }

    /// Sleeps until the share is no longer as it was seen.
    fn sleep(&self, share: &Share, seen: ShareState) {
        self.awake.0.fetch_sub(1, SeqCst);
        // With the fence in `wake`: either this worker sees what was stored before that fence, or
        // the core that stored it sees that this worker is not awake.
        fence(SeqCst);
        self.idle.sleep(&Signal { share, seen });
        self.awake.0.fetch_add(1, SeqCst);
    }

    /// Wakes the workers that would not see what was just stored in their shares.
    fn wake(&self) {
        fence(SeqCst);
        if self.awake.0.load(Relaxed) < self.shares.len() - 1 {
            self.idle.wake();
        }
    }

    /// Stores a state without units in every worker's share. Only while no units are open.
    fn set_workers(&self, state: ShareState) {
        self.shares[1..].iter().for_each(|share| share.0.store(state));
    }

    /// Gives each core that has ever joined its share; the calling core none if it is `engaged` and
    /// not alone. Only while no units are open.
    fn share_out(&self, units: u32, engaged: bool) {
        let (mut cores, mut core) = (self.count() as u32, 0);
        let workers_only = engaged && cores > 1;
        cores -= u32::from(workers_only);
        for (place, (share, joined)) in self.shares.iter().zip(&self.joined).enumerate() {
            if joined.load(Relaxed) && core < cores && !(workers_only && place == 0) {
                share.0.store(ShareState::units(divide(units, cores, core)));
                core += 1;
            } else {
                // A worker that joins later must not find that it should sleep or return.
                share.0.store(ShareState::EMPTY);
            }
        }
    }

    /// Does units of a place's share until it is empty.
    fn take_from(&self, place: usize) {
        let mut taken = Taken { progress: &self.progress.0, units: 0, calling: false };
        while let Some(units) = self.shares[place].0.take() {
            taken.units += units.len();
            taken.calling = true;
            // SAFETY: the caller of `run` wrote the job before it stored the share that these units
            // are from, and leaves the job, with what it borrows, as it is until `open` is zero.
            // That cannot be before `taken` is dropped, for these units are not subtracted yet.
            let job = self.job.0.with(|job| unsafe { &**job });
            job(units);
            taken.calling = false;
        }
    }

    /// Helps the others until this place has a share of its own again.
    fn take_from_others(&self, own: usize) {
        let cores = self.shares.len();
        for other in (own + 1..cores).chain(0..own) {
            if !self.shares[own].0.load().is_empty() {
                return;
            }
            self.take_from(other);
        }
    }
}

/// Units that a core has taken and not yet reported done. Dropping it reports them.
struct Taken<'a> {
    progress: &'a Progress,
    units: usize,
    /// Whether the job is being called.
    calling: bool,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.calling {
            self.progress.failed.store(true, Relaxed);
        }
        if self.units > 0 {
            self.progress.open.fetch_sub(self.units, Release);
        }
    }
}

/// A run in progress. It ends when this is dropped, also by a panic of the job.
struct Run<'a, I: Idle> {
    team: &'a Team<I>,
    /// Whether the calling core did its part.
    returned: bool,
}

impl<I: Idle> Drop for Run<'_, I> {
    fn drop(&mut self) {
        let Team { shares, progress: CachePadded(progress), idle, busy, .. } = self.team;
        // If the calling core did its part, nothing is left.
        let left: usize = shares.iter().map(|share| share.0.take_back()).sum();
        progress.open.fetch_sub(left, Relaxed);
        let mut turn = 0u32;
        while progress.open.load(Acquire) > 0 && !progress.abandoned.load(Relaxed) {
            idle.pause(turn);
            turn = turn.wrapping_add(1);
        }
        let failed = progress.failed.swap(false, Relaxed) || progress.abandoned.load(Relaxed);
        busy.0.store(false, Release);
        if failed && self.returned {
            panic!("a computation failed on another core");
        }
    }
}

impl<I: Idle> Team<I> {
    /// Runs a job of at least one unit, after the calling core's own work if there is some. False if
    /// the workers are not available: then nothing has been done.
    fn run_with_workers(&self, units: usize, job: Job<'_>, own: Option<&mut dyn FnMut()>) -> bool {
        // A share holds 32-bit numbers; no computation has more units.
        let Ok(count) = u32::try_from(units) else { return false };
        // A run within a run is one of those that find the team busy.
        if self.shares.len() == 1 || self.busy.0.swap(true, Acquire) {
            return false;
        }
        let mut run = Run { team: self, returned: false };
        // SAFETY: only the lifetime is changed. The job is called only by cores that hold units, and
        // `run` is not dropped before all units are done.
        let task = unsafe { transmute::<Job<'_>, *const Task>(job) };
        // SAFETY: no units are open, so no core reads it, and `busy` keeps other writers out.
        self.job.0.with_mut(|job| unsafe { *job = task });
        self.progress.0.open.store(units, Relaxed);
        self.share_out(count, own.is_some());
        self.wake();
        if let Some(own) = own {
            own();
        }
        self.take_from(0);
        self.take_from_others(0);
        run.returned = true;
        true
    }
}

// SAFETY: `Share::take` gives every unit to one core, and a `Run` ends only when the calls for all
// units that were taken have returned.
unsafe impl<I: Idle> Cores for Team<I> {
    fn count(&self) -> usize {
        self.joined.iter().filter(|joined| joined.load(Relaxed)).count()
    }

    fn run(&self, units: usize, job: Job<'_>) {
        if units < 2 || !self.run_with_workers(units, job, None) {
            OneCore.run(units, job);
        }
    }

    fn run_overlapped(&self, units: usize, job: Job<'_>, own: &mut dyn FnMut()) {
        if units == 0 || !self.run_with_workers(units, job, Some(own)) {
            OneCore.run_overlapped(units, job, own);
        }
    }

    fn park(&self) {
        if self.shares.len() == 1 || self.busy.0.swap(true, Acquire) {
            return;
        }
        self.set_workers(match self.idle.park() {
            Parked::Asleep => ShareState::PARKED,
            Parked::Returned => ShareState::DISMISSED,
        });
        self.busy.0.store(false, Release);
    }
}
