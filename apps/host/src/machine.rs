//! The machine apart from its files: time, random numbers, memory.

use bootllm_platform::Clock;
use std::time::{Duration, Instant};

/// Time since the clock was made.
#[derive(Clone, Copy, Debug)]
pub struct StdClock {
    start: Instant,
}

impl StdClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        StdClock { start: Instant::now() }
    }
}

impl Default for StdClock {
    fn default() -> Self {
        StdClock::new()
    }
}

impl Clock for StdClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A short unpredictable seed: the keys of std's hash maps come from the system's random numbers.
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    bootllm_chat::short_seed(RandomState::new().hash_one(Instant::now()))
}

/// Bytes of memory that can still be allocated, if the system says so.
pub fn memory_available() -> Option<u64> {
    memory_info("MemAvailable:")
}

/// Bytes of memory that the machine has, if the system says so.
pub fn memory_total() -> Option<u64> {
    memory_info("MemTotal:")
}

/// A figure of Linux's `/proc/meminfo`, in bytes.
fn memory_info(label: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
