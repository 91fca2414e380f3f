//! `Team` under every interleaving of its cores, and every order in which C11's memory model lets
//! them see each other's writes.
//!
//! Jobs write to loom's cells, which fail the test if two cores are in one at a time or if a write
//! is read without having been synchronized. Each of these bugs, planted in `team.rs` or `share.rs`,
//! fails some of the tests: units reported done with `Relaxed`, shares stored with `Relaxed`, no fence
//! in `wake`, a run that does not wait, a job or `open` written after the shares, units taken by a
//! load and a store. Not in the model: spurious failures of compare-exchange, and more cores and
//! units than these.

use bootllm_cores::{Cores, Idle, Parked, Signal, Team};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// Explores all interleavings with up to this many preemptions: there are too many without a bound,
/// and few bugs need more than two.
fn explore(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 10_000;
    model.check(test);
}

/// Workers that spin.
struct Spin;

impl Idle for Spin {
    const TURNS: u32 = u32::MAX;

    fn pause(&self, _: u32) {
        thread::yield_now();
    }

    fn sleep(&self, _: &Signal<'_>) {
        // Only of a team that has not run or is parked.
        thread::yield_now();
    }

    fn wake(&self) {}
}

/// Workers that always sleep.
#[derive(Default)]
struct Sleep {
    mutex: Mutex<()>,
    changed: Condvar,
}

impl Idle for Sleep {
    const TURNS: u32 = 0;

    fn pause(&self, _: u32) {
        thread::yield_now();
    }

    fn sleep(&self, signal: &Signal<'_>) {
        let mut guard = self.mutex.lock().unwrap();
        while !signal.is_set() {
            guard = self.changed.wait(guard).unwrap();
        }
    }

    fn wake(&self) {
        drop(self.mutex.lock().unwrap());
        self.changed.notify_all();
    }
}

/// Calls `test` with a team whose workers join whenever they do, and dismisses them.
fn with_team<I: Idle + Send + Sync + 'static>(cores: usize, idle: I, test: impl FnOnce(&Team<I>)) {
    let team = Arc::new(Team::new(cores, idle));
    let workers: Vec<_> = (1..cores)
        .map(|place| {
            let team = team.clone();
            thread::spawn(move || team.work(place))
        })
        .collect();
    test(&team);
    team.dismiss();
    team.idle().wake();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

/// A job whose units must each be done once, by one core at a time, and be visible afterwards. A
/// call after the end of the run would be an access that is not synchronized with those of `check`.
fn check_run(cores: &dyn Cores, units: usize) {
    let done: Vec<UnsafeCell<usize>> = (0..units).map(|_| UnsafeCell::new(0)).collect();
    let done = Units(done);
    cores.run(units, &|range| range.for_each(|unit| done.count(unit)));
    done.check();
}

fn check_run_overlapped(cores: &dyn Cores, units: usize) {
    let done = Units((0..units).map(|_| UnsafeCell::new(0)).collect());
    let mut own = 0;
    cores.run_overlapped(units, &|range| range.for_each(|unit| done.count(unit)), &mut || own += 1);
    assert_eq!(own, 1);
    done.check();
}

struct Units(Vec<UnsafeCell<usize>>);

// SAFETY: loom checks every access, and this is a test of whether there are concurrent ones.
unsafe impl Sync for Units {}

impl Units {
    fn count(&self, unit: usize) {
        // SAFETY: loom panics before a concurrent access.
        self.0[unit].with_mut(|count| unsafe { *count += 1 });
    }

    fn check(&self) {
        for count in &self.0 {
            // SAFETY: loom panics before a concurrent access.
            count.with_mut(|count| unsafe {
                assert_eq!(*count, 1);
                *count = usize::MAX / 2;
            });
        }
    }
}

#[test]
fn two_cores_do_every_unit_once() {
    explore(3, || with_team(2, Spin, |team| check_run(team, 2)));
}

#[test]
fn a_late_worker_calls_no_job_that_has_ended() {
    explore(3, || {
        with_team(2, Spin, |team| {
            check_run(team, 2);
            check_run(team, 3);
        });
    });
}

#[test]
fn three_cores_do_every_unit_once() {
    explore(2, || with_team(3, Sleep::default(), |team| check_run(team, 3)));
}

#[test]
fn the_calling_core_does_its_own_work_first() {
    explore(3, || with_team(2, Spin, |team| check_run_overlapped(team, 2)));
}

#[test]
fn a_parked_worker_takes_part_again() {
    explore(3, || {
        with_team(2, Sleep::default(), |team| {
            check_run(team, 2);
            team.park();
            check_run(team, 2);
        });
    });
}

/// The calling core cannot hide a missed wake-up here: each of two units ends when the other has
/// begun. loom reports the deadlock otherwise.
#[test]
fn a_worker_is_woken_for_work_that_needs_it() {
    explore(2, || {
        let team = Arc::new(Team::new(2, Sleep::default()));
        let worker = {
            let team = team.clone();
            thread::spawn(move || team.work(1))
        };
        while team.count() < 2 {
            thread::yield_now();
        }
        let begun = AtomicUsize::new(0);
        team.run(2, &|units| {
            for _ in units {
                begun.fetch_add(1, Relaxed);
                while begun.load(Relaxed) < 2 {
                    thread::yield_now();
                }
            }
        });
        team.dismiss();
        team.idle().wake();
        worker.join().unwrap();
    });
}

/// A worker that returns when the team is parked and is started again by the next run.
#[derive(Default)]
struct Restarted(AtomicBool);

impl Idle for Restarted {
    const TURNS: u32 = u32::MAX;

    fn pause(&self, _: u32) {
        thread::yield_now();
    }

    fn sleep(&self, _: &Signal<'_>) {
        thread::yield_now();
    }

    fn wake(&self) {
        self.0.store(true, Relaxed);
    }

    fn park(&self) -> Parked {
        Parked::Returned
    }
}

#[test]
fn a_worker_returns_when_parked_and_rejoins() {
    explore(2, || {
        let team = Arc::new(Team::new(2, Restarted::default()));
        let work = |team: &Arc<Team<Restarted>>| {
            let team = team.clone();
            thread::spawn(move || team.work(1))
        };
        let first = work(&team);
        check_run(&*team, 2);
        team.park();
        // A worker that had not joined before is dismissed as well.
        first.join().unwrap();
        let second = work(&team);
        check_run(&*team, 2);
        team.dismiss();
        second.join().unwrap();
    });
}
