//! The calling core and its workers.
//!
//! A run is divided into a share of units for each core. A core takes its own share piece by piece,
//! and then pieces of what the others have left, until nothing is left. So a core that is slow, was
//! interrupted or sleeps leaves its share to the others, and nobody waits for a core that has not
//! come. What has been taken is waited for.
//!
//! # Why no core ever calls a job that is over
//!
//! A share is one atomic word, its first unit that is not taken and its end; taking is a
//! compare-exchange of it. The job lies beside the shares and is read *after* units were taken:
//!
//! 1. The caller writes the job, then how many units are `open`, then the shares (release).
//! 2. Who takes units from a share (acquire) sees what was written before the share.
//! 3. Units that were taken are subtracted from `open` only after the calls of the job (release),
//!    and the caller writes the next job only after it has seen `open` at zero (acquire).
//!
//! So between taking units and reporting them done the job stands still, whoever took them and
//! however late: a worker that looked at a share long ago either fails to exchange the word, or has
//! taken units of the job that runs now, and that is the job it reads.
//!
//! A worker waits on its own share's word. [`Team::rest`](Cores::rest) and [`Team::dismiss`] put
//! special words there.

mod share;
#[cfg(test)]
pub(crate) mod tests;

use crate::{Cores, Job, OneCore};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::mem::transmute;
use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicUsize, fence};
use share::{Share, Word, divide};

/// How the workers of a [`Team`] wait.
pub trait Idle: Sync {
    /// How many turns a worker waits for the next run before it sleeps.
    const TURNS: u32;

    /// Passes one turn of waiting for what is about to come.
    fn pause(&self, turn: u32);

    /// Called by a worker: sleeps until the signal is given. It may return before.
    ///
    /// It looks at the signal before, in a way that misses no [`wake`](Idle::wake) that comes
    /// between the look and the sleep.
    fn sleep(&self, signal: &Signal<'_>);

    /// Called by a core that has given signals while workers were asleep or absent: sees to it that
    /// they notice.
    fn wake(&self);

    /// Called when the team is to rest: what its workers are to do.
    fn rest(&self) -> Resting {
        Resting::Asleep
    }
}

/// What workers do while nothing is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resting {
    /// They sleep.
    Asleep,
    /// They return from [`Team::work`]; [`Idle::wake`] calls them back.
    Away,
}

/// What a worker waits for.
pub struct Signal<'a> {
    share: &'a Share,
    seen: Word,
}

impl Signal<'_> {
    /// Whether it has been given.
    pub fn is_given(&self) -> bool {
        self.share.look() != self.seen
    }

    /// What is written to when it is given; nothing else is written in the 128 bytes around it
    /// while the worker waits.
    pub fn address(&self) -> *const () {
        core::ptr::from_ref(self.share).cast()
    }
}

/// Keeps a value out of the cache lines of others; processors fetch them in pairs of 64 bytes.
#[repr(align(128))]
#[derive(Default)]
struct Apart<T>(T);

/// The calling core and its workers, which each stay in [`work`](Team::work).
///
/// Any core may call [`run`](Cores::run). While one does, others that do compute alone.
pub struct Team<I> {
    idle: I,
    /// What is left of each core's share: the caller's, then the workers' by their places.
    shares: Box<[Apart<Share>]>,
    /// Whether a core has ever come to the place.
    come: Box<[AtomicBool]>,
    /// The job of this run, or of one that is over.
    job: Apart<UnsafeCell<*const Task>>,
    progress: Apart<Progress>,
    /// Whether a core is at `run`, `rest` or `dismiss`.
    busy: Apart<AtomicBool>,
    /// Workers that neither sleep nor are absent.
    awake: Apart<AtomicUsize>,
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

/// What a [`Job`] refers to, for as long as it may be.
type Task = dyn Fn(Range<usize>) + Sync;

// SAFETY: only the job is not `Sync` by itself. It is written by the core that made `busy` true,
// while no units are open, and read by cores that hold units, as the module's page explains; and
// what it points to is `Sync`.
unsafe impl<I: Sync> Sync for Team<I> {}

// SAFETY: a team that is moved is borrowed by nobody, so no run is going on, and the job in it is
// never called again.
unsafe impl<I: Send> Send for Team<I> {}

impl<I: Idle> Team<I> {
    /// A team of up to `cores` cores, the calling one among them. Nobody works in it yet.
    ///
    /// # Panics
    /// If `cores` is zero.
    pub fn new(cores: usize, idle: I) -> Self {
        assert!(cores > 0, "a team without a core");
        let team = Team {
            idle,
            shares: (0..cores).map(|_| Apart::default()).collect(),
            come: (0..cores).map(|place| AtomicBool::new(place == 0)).collect(),
            job: Apart(UnsafeCell::new(&|_: Range<usize>| {})),
            progress: Apart::default(),
            busy: Apart::default(),
            awake: Apart::default(),
        };
        team.give_workers(Word::REST);
        team
    }

    /// How its workers wait.
    pub fn idle(&self) -> &I {
        &self.idle
    }

    /// Works at a place, 1 to below the number of cores, until the team is dismissed or its workers
    /// are sent away to rest.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn work(&self, place: usize) {
        struct Present<'a>(&'a AtomicUsize);
        impl Drop for Present<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        let share = &self.shares[place].0;
        self.come[place].store(true, Relaxed);
        self.awake.0.fetch_add(1, SeqCst);
        let _present = Present(&self.awake.0);
        let mut turn = 0;
        loop {
            let seen = share.look();
            match seen {
                Word::LEAVE => return,
                Word::REST => self.sleep(share, seen),
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
    /// Those that sleep are not woken here.
    pub fn dismiss(&self) {
        let mut turn = 0;
        while self.busy.0.swap(true, Acquire) {
            self.idle.pause(turn);
            turn = turn.wrapping_add(1);
        }
        self.give_workers(Word::LEAVE);
        self.busy.0.store(false, Release);
    }

    /// Tells the core that waits in [`run`](Cores::run) that a worker stopped with units that will
    /// never be done. It panics at once.
    ///
    /// # Safety
    /// A panic does not unwind in this program: other workers may be using what the job borrows.
    pub unsafe fn abandon(&self) {
        self.progress.0.abandoned.store(true, SeqCst);
    }

    /// Sleeps until the share is not as it was seen.
    fn sleep(&self, share: &Share, seen: Word) {
        self.awake.0.fetch_sub(1, SeqCst);
        // With the fence in `wake`: either this worker sees what was given before that one, or who
        // gave it sees that this worker is not awake.
        fence(SeqCst);
        self.idle.sleep(&Signal { share, seen });
        self.awake.0.fetch_add(1, SeqCst);
    }

    /// Wakes the workers that would not see what they were just given.
    fn wake(&self) {
        fence(SeqCst);
        if self.awake.0.load(Relaxed) < self.shares.len() - 1 {
            self.idle.wake();
        }
    }

    /// Gives every worker a word that is not work. Only while no units are open.
    fn give_workers(&self, word: Word) {
        self.shares[1..].iter().for_each(|share| share.0.give(word));
    }

    /// Gives each core that has ever come its share; the calling core none if it is `engaged` and
    /// not alone. Only while no units are open.
    fn share_out(&self, units: u32, engaged: bool) {
        let (mut cores, mut core) = (self.count() as u32, 0);
        let workers_only = engaged && cores > 1;
        cores -= u32::from(workers_only);
        for (place, (Apart(share), come)) in self.shares.iter().zip(&self.come).enumerate() {
            if come.load(Relaxed) && core < cores && !(workers_only && place == 0) {
                share.give(Word::units(divide(units, cores, core)));
                core += 1;
            } else {
                // Whoever comes is not to find that it should rest or leave.
                share.give(Word::EMPTY);
            }
        }
    }

    /// Does units of a place's share until it is empty.
    fn take_from(&self, place: usize) {
        let mut taken = Taken { progress: &self.progress.0, units: 0, calling: false };
        while let Some(units) = self.shares[place].0.take() {
            taken.units += units.len();
            taken.calling = true;
            // SAFETY: the caller of `run` wrote the job before it gave out the share that these
            // units are from, and leaves it alone, with what it borrows, until `open` is zero. It
            // cannot be before `taken` is dropped, for these units are not subtracted yet.
            let job = unsafe { &**self.job.0.get() };
            job(units);
            taken.calling = false;
        }
    }

    /// Helps the others, until something comes for this place itself.
    fn take_from_others(&self, own: usize) {
        let cores = self.shares.len();
        for other in (own + 1..cores).chain(0..own) {
            if !self.shares[own].0.look().is_empty() {
                return;
            }
            self.take_from(other);
        }
    }
}

/// Units that a core has taken and that are not reported done, which happens when this is dropped.
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

/// A run that goes on. It ends when this is dropped, be it by a panic of the job.
struct Run<'a, I: Idle> {
    team: &'a Team<I>,
    /// Whether the calling core did its part.
    returned: bool,
}

impl<I: Idle> Drop for Run<'_, I> {
    fn drop(&mut self) {
        let Team { shares, progress: Apart(progress), idle, busy, .. } = self.team;
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
    /// Runs a job of at least one unit, the calling core doing something else first, if it has to.
    /// False if that is not possible now: then nothing has been done.
    fn run_with_workers(
        &self,
        units: usize,
        job: Job<'_>,
        beside: Option<&mut dyn FnMut()>,
    ) -> bool {
        // A share counts no further; nobody has so many.
        let Ok(count) = u32::try_from(units) else { return false };
        // A run within a run is one of those that find the team busy.
        if self.shares.len() == 1 || self.busy.0.swap(true, Acquire) {
            return false;
        }
        let mut run = Run { team: self, returned: false };
        // SAFETY: no units are open, so nobody reads it. That it lives for ever is a pretence: it
        // is called only by who holds units, and `run` outlasts that.
        unsafe { *self.job.0.get() = transmute::<Job<'_>, *const Task>(job) };
        self.progress.0.open.store(units, Relaxed);
        self.share_out(count, beside.is_some());
        self.wake();
        if let Some(beside) = beside {
            beside();
        }
        self.take_from(0);
        self.take_from_others(0);
        run.returned = true;
        true
    }
}

// SAFETY: `Share::take` gives every unit to one core, and a `Run` ends only when the calls for all
// units that were taken have.
unsafe impl<I: Idle> Cores for Team<I> {
    fn count(&self) -> usize {
        self.come.iter().filter(|come| come.load(Relaxed)).count()
    }

    fn run(&self, units: usize, job: Job<'_>) {
        if units < 2 || !self.run_with_workers(units, job, None) {
            OneCore.run(units, job);
        }
    }

    fn run_beside(&self, units: usize, job: Job<'_>, beside: &mut dyn FnMut()) {
        if units == 0 || !self.run_with_workers(units, job, Some(beside)) {
            OneCore.run_beside(units, job, beside);
        }
    }

    fn rest(&self) {
        if self.shares.len() == 1 || self.busy.0.swap(true, Acquire) {
            return;
        }
        self.give_workers(match self.idle.rest() {
            Resting::Asleep => Word::REST,
            Resting::Away => Word::LEAVE,
        });
        self.busy.0.store(false, Release);
    }
}
