//! The scheduler with threads that join late, sleep, stall, return and panic.
//!
//! There are more threads than processors, so that the system interrupts them anywhere.

extern crate std;

use super::*;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};
use std::vec::Vec;

/// Sizes of teams.
pub(crate) const CORES: [usize; 5] = [1, 2, 3, 5, 8];

/// Sleeps on a condition variable after `TURNS` turns.
#[derive(Default)]
struct Naps<const TURNS: u32> {
    mutex: Mutex<()>,
    changed: Condvar,
}

impl<const TURNS: u32> Idle for Naps<TURNS> {
    const TURNS: u32 = TURNS;

    fn pause(&self, turn: u32) {
        if turn % 64 == 63 { thread::yield_now() } else { core::hint::spin_loop() }
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

/// Calls `test` with a team whose workers have all joined, and dismisses them afterwards.
fn with<const TURNS: u32>(cores: usize, test: impl FnOnce(&Team<Naps<TURNS>>)) {
    struct Dismiss<'a, I: Idle>(&'a Team<I>);
    impl<I: Idle> Drop for Dismiss<'_, I> {
        fn drop(&mut self) {
            self.0.dismiss();
            self.0.idle().wake();
        }
    }
    let team = Team::new(cores, Naps::default());
    thread::scope(|scope| {
        let dismiss = Dismiss(&team);
        for place in 1..cores {
            // A panic of a worker is for the test to find.
            let team = &team;
            scope.spawn(move || _ = catch_unwind(AssertUnwindSafe(|| team.work(place))));
        }
        wait_until(|| team.count() == cores);
        test(dismiss.0);
    });
}

/// The same for other modules' tests.
pub(crate) fn with_team(cores: usize, test: impl FnOnce(&dyn Cores)) {
    with::<1000>(cores, |team| test(team));
}

/// Waits for a condition. One that never becomes true is a failure, not a test without an end.
fn wait_until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(300), "waited for too long");
        thread::yield_now();
    }
}

/// So many rounds of a test; few in Miri, which is some thousand times slower.
fn rounds(count: u32) -> Range<u32> {
    0..if cfg!(miri) { count.div_ceil(200) } else { count }
}

/// Random numbers (Marsaglia's xorshift).
struct Random(u32);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % limit
    }
}

/// One run that counts how often each unit is done, and notices calls after its end.
fn check_run(cores: &dyn Cores, units: usize, delay: impl Fn(usize) + Sync) {
    const ENDED: u32 = 1 << 20;
    // On the heap, so that a late call reads freed memory.
    let counts: Box<[AtomicU32]> = (0..units).map(|_| AtomicU32::new(0)).collect();
    cores.run(units, &|range| {
        assert!(!range.is_empty() && range.end <= units);
        for unit in range {
            delay(unit);
            assert!(counts[unit].fetch_add(1, Relaxed) == 0, "unit {unit} of {units}");
        }
    });
    for (unit, count) in counts.iter().enumerate() {
        assert_eq!(count.swap(ENDED, Relaxed), 1, "unit {unit} of {units}");
    }
}

/// One run overlapped with work that this core has to do, once and itself.
fn check_run_overlapped(cores: &dyn Cores, units: usize, own: impl Fn()) {
    let (me, mut calls) = (thread::current().id(), 0);
    let counts: Box<[AtomicU32]> = (0..units).map(|_| AtomicU32::new(0)).collect();
    let job = |range: Range<usize>| {
        assert!(!range.is_empty() && range.end <= units);
        range.for_each(|unit| _ = counts[unit].fetch_add(1, Relaxed));
    };
    cores.run_overlapped(units, &job, &mut || {
        assert_eq!(thread::current().id(), me);
        own();
        calls += 1;
    });
    assert_eq!(calls, 1);
    assert!(counts.iter().all(|count| count.load(Relaxed) == 1));
}

fn stress<const TURNS: u32>(seed: u32) {
    for cores in CORES {
        with::<TURNS>(cores, |team| {
            let mut random = Random(seed);
            for _ in rounds(4000) {
                let largest = 1 << random.below(9);
                let units = random.below(largest) as usize;
                let slow = random.below(200);
                check_run(team, units, |unit| match slow {
                    // One core is interrupted in the middle of a unit, or all of them.
                    0 if unit % 7 == 3 => thread::sleep(Duration::from_micros(50)),
                    1..20 => thread::yield_now(),
                    _ => {}
                });
                let units = random.below(40) as usize;
                match random.below(50) {
                    0 => team.park(),
                    5..10 => check_run_overlapped(team, units, thread::yield_now),
                    10..30 => check_run_overlapped(team, units, || {}),
                    // Long enough that some workers fall asleep, and some are just about to.
                    1..5 => (0..random.below(3000)).for_each(|_| core::hint::spin_loop()),
                    _ => {}
                }
            }
        });
    }
}

#[test]
fn every_unit_is_done_once_by_workers_that_always_sleep() {
    stress::<0>(1);
}

#[test]
fn every_unit_is_done_once_by_workers_that_often_sleep() {
    stress::<300>(2);
}

#[test]
fn every_unit_is_done_once_by_workers_that_never_sleep() {
    stress::<{ u32::MAX }>(3);
}

/// No core waits for workers that sleep, so a missing wake-up shows only where a worker is needed:
/// each of two units ends when the other has begun.
#[test]
fn a_worker_is_woken_whenever_there_is_work() {
    fn check<const TURNS: u32>() {
        with::<TURNS>(2, |team| {
            for round in rounds(3000) {
                let begun = AtomicU32::new(0);
                team.run(4, &|units| {
                    for unit in units.filter(|unit| *unit >= 2) {
                        let other = 1 << (5 - unit);
                        begun.fetch_or(1 << unit, SeqCst);
                        wait_until(|| begun.load(SeqCst) & other != 0);
                    }
                });
                if round % 3 == 0 {
                    team.park();
                }
                (0..round % 97 * 10).for_each(|_| core::hint::spin_loop());
            }
        });
    }
    check::<0>();
    check::<100>();
    check::<1000>();
}

/// Even of few units none is left for the core that is engaged, which would wait for ever here.
#[test]
fn the_others_begin_while_the_calling_core_is_engaged() {
    for cores in CORES.into_iter().filter(|&cores| cores > 1) {
        with::<100>(cores, |team| {
            for units in [1, 2, 3, 100] {
                let done = AtomicUsize::new(0);
                let job = |range: Range<usize>| _ = done.fetch_add(range.len(), SeqCst);
                team.run_overlapped(units, &job, &mut || wait_until(|| done.load(SeqCst) == units));
            }
        });
    }
}

#[test]
fn a_core_without_workers_does_everything() {
    check_run_overlapped(&OneCore, 7, || {});
    let team = Team::new(3, Naps::<100>::default());
    (0..9).for_each(|units| check_run_overlapped(&team, units, || {}));
    // Within a run, too.
    check_run_overlapped(&team, 5, || check_run_overlapped(&team, 4, || {}));
}

#[test]
fn parked_workers_sleep_until_the_next_run() {
    with::<{ u32::MAX }>(4, |team| {
        for _ in rounds(50) {
            wait_until(|| {
                check_run(team, 40, |_| {});
                team.awake.0.load(SeqCst) == 3
            });
            team.park();
            // By themselves they would never sleep.
            wait_until(|| team.awake.0.load(SeqCst) == 0);
        }
    });
}

#[test]
fn a_core_that_stalls_keeps_only_what_it_took() {
    with::<1000>(2, |team| {
        let (me, done) = (thread::current().id(), AtomicUsize::new(0));
        team.run(80, &|units| {
            if thread::current().id() != me {
                // A quarter of its share of 40. All others are done meanwhile.
                assert!(units.len() <= 10);
                wait_until(|| done.load(SeqCst) == 80 - units.len());
            }
            done.fetch_add(units.len(), SeqCst);
        });
        assert_eq!(done.into_inner(), 80);
    });
}

/// Place 0 is the calling core's: its share never says that a worker is to return.
#[test]
fn there_is_no_worker_at_place_0_nor_beyond_the_last() {
    let team = Team::new(2, Naps::<100>::default());
    for place in [0, 2, usize::MAX] {
        let work = AssertUnwindSafe(|| team.work(place));
        assert!(catch_unwind(work).is_err(), "place {place}");
    }
    assert_eq!(team.count(), 1);
    check_run(&team, 9, |_| {});
}

#[test]
fn workers_that_never_join_are_not_waited_for() {
    let team = Team::new(8, Naps::<100>::default());
    assert_eq!(team.count(), 1);
    check_run(&team, 100, |_| {});
    thread::scope(|scope| {
        scope.spawn(|| team.work(5));
        wait_until(|| {
            check_run(&team, 100, |_| {});
            team.count() == 2
        });
        check_run(&team, 1000, |_| thread::yield_now());
        team.dismiss();
        team.idle().wake();
    });
    check_run(&team, 100, |_| {});
}

#[test]
fn workers_that_join_late_take_part() {
    let team = Team::new(3, Naps::<{ u32::MAX }>::default());
    // Before any worker has joined.
    team.park();
    thread::scope(|scope| {
        for place in [2, 1] {
            check_run(&team, 10, |_| {});
            let team = &team;
            scope.spawn(move || team.work(place));
            let me = thread::current().id();
            let seen = Mutex::new(Vec::<ThreadId>::new());
            wait_until(|| {
                team.run(100, &|_| {
                    let mut seen = seen.lock().unwrap();
                    let id = thread::current().id();
                    if id != me && !seen.contains(&id) {
                        seen.push(id);
                    }
                });
                seen.lock().unwrap().len() == 3 - place
            });
        }
        team.dismiss();
    });
}

/// Workers that return when the team is parked, as firmware's may, and are started again.
#[derive(Default)]
struct Restarted {
    team: OnceLock<Weak<Team<Restarted>>>,
    away: AtomicBool,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Idle for Restarted {
    const TURNS: u32 = 10;

    fn pause(&self, _: u32) {
        thread::yield_now();
    }

    fn sleep(&self, _: &Signal<'_>) {
        thread::yield_now();
    }

    fn wake(&self) {
        if self.away.swap(false, Relaxed) {
            let team = self.team.get().unwrap().upgrade().unwrap();
            let start = |place| {
                let team = Arc::clone(&team);
                thread::spawn(move || team.work(place))
            };
            self.threads.lock().unwrap().extend((1..team.shares.len()).map(start));
        }
    }

    fn park(&self) -> Parked {
        self.away.store(true, Relaxed);
        Parked::Returned
    }
}

#[test]
fn workers_that_return_when_parked_are_called_back() {
    let team = Arc::new(Team::new(4, Restarted::default()));
    team.idle().team.set(Arc::downgrade(&team)).unwrap();
    team.park();
    for round in rounds(200) {
        let enough = if round % 2 == 0 { 3 } else { 1 };
        wait_until(|| {
            check_run(&*team, 60, |_| {});
            team.awake.0.load(SeqCst) >= enough
        });
        team.park();
        if round % 3 == 0 {
            let threads = core::mem::take(&mut *team.idle().threads.lock().unwrap());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(team.awake.0.load(SeqCst), 0);
        }
    }
    team.dismiss();
    let threads = core::mem::take(&mut *team.idle().threads.lock().unwrap());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_run_in_a_run_and_runs_at_the_same_time() {
    with::<1000>(4, |team| {
        thread::scope(|scope| {
            for seed in 1..4 {
                scope.spawn(move || {
                    let mut random = Random(seed);
                    for _ in rounds(1000) {
                        check_run(team, random.below(64) as usize, |unit| {
                            if unit == 3 {
                                check_run(team, 5, |_| {});
                            }
                        });
                        if random.below(20) == 0 {
                            team.park();
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn a_panic_ends_the_run_and_not_the_team() {
    fn panics(team: &dyn Cores, units: usize, who: impl Fn(usize) -> bool + Sync) -> bool {
        catch_unwind(AssertUnwindSafe(|| {
            check_run(team, units, |unit| assert!(!who(unit), "a panic that is wanted"));
        }))
        .is_err()
    }
    with::<1000>(3, |team| {
        let me = thread::current().id();
        let mine = || thread::current().id() == me;
        // On the calling core, which has the first unit unless the others were very quick.
        wait_until(|| panics(team, 50, |_| mine()));
        check_run(team, 50, |_| {});
        // On the others, which both stop in the end.
        wait_until(|| {
            let struck = AtomicBool::new(false);
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.run(50, &|_| {
                    thread::yield_now();
                    if !mine() {
                        struck.store(true, Relaxed);
                        panic!("a panic that is wanted");
                    }
                });
            }));
            assert_eq!(result.is_err(), struck.into_inner());
            team.awake.0.load(SeqCst) == 0
        });
        check_run(team, 50, |_| {});
        // In the calling core's own work.
        let overlapped = || check_run_overlapped(team, 50, || panic!("a panic that is wanted"));
        assert!(catch_unwind(AssertUnwindSafe(overlapped)).is_err());
        check_run(team, 50, |_| {});
        // With no worker to do what is left.
        assert!(panics(team, 50, |unit| unit == 0));
        check_run(team, 50, |_| {});
    });
}

#[test]
#[should_panic(expected = "a computation failed on another core")]
fn abandoned_units_are_not_waited_for() {
    let team = Team::new(2, Naps::<1000>::default());
    let me = thread::current().id();
    let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let job = |_| {
        if thread::current().id() != me {
            begun.store(true, SeqCst);
            // SAFETY: the panic unwinds only to where it is caught, and what this job borrows is
            // declared before the scope, whose end waits for all workers.
            unsafe { team.abandon() };
            wait_until(|| ended.load(SeqCst));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| team.work(1));
        let result = catch_unwind(AssertUnwindSafe(|| {
            wait_until(|| {
                team.run(20, &job);
                begun.load(SeqCst)
            });
        }));
        ended.store(true, SeqCst);
        team.dismiss();
        team.idle().wake();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}
