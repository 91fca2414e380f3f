//! The processor's cores, as threads.

use bootllm_cores::{Cores, Idle, Signal, Team};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// The most threads that [`Threads::start`] takes.
pub const MOST_THREADS: usize = 1024;

/// The calling thread and others, started once. They end when the value is dropped.
///
/// They are not pinned to cores: Linux leaves a busy thread where it is as long as there is a core
/// for each, and if other programs want the cores too, it had better be free to move them.
pub struct Threads {
    team: Arc<Team<Park>>,
    others: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts `count` threads, the calling one included: 1 to [`MOST_THREADS`].
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn start(count: usize) -> io::Result<Self> {
        assert!((1..=MOST_THREADS).contains(&count), "{count} threads");
        let team = Arc::new(Team::new(count, Park::default()));
        let mut threads = Threads { team, others: Vec::new() };
        for place in 1..count {
            let team = Arc::clone(&threads.team);
            let thread = thread::Builder::new().name(format!("core {place}"));
            threads.others.push(thread.spawn(move || team.work(place))?);
        }
        // Otherwise they would be late for the first run.
        while threads.team.count() < count {
            thread::yield_now();
        }
        Ok(threads)
    }

    /// The cores that computations use.
    pub fn cores(&self) -> &dyn Cores {
        &*self.team
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.team.dismiss();
        self.team.idle().wake();
        for thread in self.others.drain(..) {
            // A panic has printed its own message.
            let _ = thread.join();
        }
    }
}

/// Threads spin for a moment, then leave their core to others.
#[derive(Default)]
struct Park {
    mutex: Mutex<()>,
    given: Condvar,
}

impl Park {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle for Park {
    /// A pause takes 10 to 50 ns, so this is a few milliseconds at most: the threads stay awake
    /// while the next token of a text is sampled.
    const TURNS: u32 = 1 << 16;

    fn pause(&self, turn: u32) {
        // With more threads than cores, the thread that is waited for may need this core.
        if turn % 4096 == 4095 { thread::yield_now() } else { core::hint::spin_loop() }
    }

    fn sleep(&self, signal: &Signal<'_>) {
        let mut guard = self.lock();
        while !signal.is_set() {
            guard = self.given.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wake(&self) {
        // A thread between checking the signal and waiting has the lock.
        drop(self.lock());
        self.given.notify_all();
    }
}

/// The number of physical cores that this process may use. The hardware threads of a core share its
/// arithmetic units, so they count once. Never more than the system lends processors.
pub fn physical_cores() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let siblings = |processor| {
        let topology = format!("/sys/devices/system/cpu/cpu{processor}/topology");
        fs::read_to_string(topology + "/thread_siblings_list").ok()
    };
    let cores = allowed.and_then(|allowed| distinct(allowed, siblings)).unwrap_or(processors);
    cores.clamp(1, processors)
}

/// The number of distinct cores in a list of processors (`0-3,8`). `siblings` gives the
/// processors that share a core with one.
fn distinct(list: &str, siblings: impl Fn(u32) -> Option<String>) -> Option<usize> {
    let mut cores = BTreeSet::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        for processor in first.parse::<u32>().ok()?..=last.parse().ok()? {
            cores.insert(siblings(processor)?);
        }
    }
    Some(cores.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn threads_compute_and_end() {
        for count in [1, 2, 5] {
            let threads = Threads::start(count).unwrap();
            assert_eq!(threads.cores().count(), count);
            for round in 0..100 {
                let done = AtomicUsize::new(0);
                threads.cores().run(1000, &|units| {
                    done.fetch_add(units.len(), Ordering::Relaxed);
                });
                assert_eq!(done.into_inner(), 1000);
                if round % 10 == 0 {
                    threads.cores().park();
                }
            }
        }
    }

    #[test]
    fn cores_are_counted_once() {
        // Two threads per core, numbered as Intel does and as AMD does.
        let apart = |processor| Some(format!("{},{}", processor % 4, processor % 4 + 4));
        let beside = |processor| Some(format!("{0}-{1}", processor / 2 * 2, processor / 2 * 2 + 1));
        assert_eq!(distinct("0-7\n", apart), Some(4));
        assert_eq!(distinct("\t0-7\n", beside), Some(4));
        // A process that may use some of them only.
        assert_eq!(distinct("0,4,5", apart), Some(2));
        assert_eq!(distinct("1-2,7", beside), Some(3));
        // The system does not tell.
        assert_eq!(distinct("0-3", |_| None), None);
        for list in ["", "a", "3-", "1,,2"] {
            assert_eq!(distinct(list, apart), None, "{list}");
        }
        assert!((1..=thread::available_parallelism().unwrap().get()).contains(&physical_cores()));
    }
}
