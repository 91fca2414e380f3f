//! The machine, files excepted: time, random numbers, memory.

use crate::physical_cores;
use bootllm_platform::{Clock, Entropy, Fact, Machine};
use bootllm_units::{bytes, cores};
use std::time::{Duration, Instant};

/// Time since the clock was made.
#[derive(Clone, Copy, Debug)]
pub struct StdClock {
    start: Instant,
}

impl StdClock {
    /// A clock that starts at 0.
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

/// The random numbers of the operating system.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn seed(&mut self) -> u64 {
        random_seed()
    }
}

/// The computer, as the operating system describes it.
pub struct SystemMachine;

impl Machine for SystemMachine {
    fn memory_free(&self) -> u64 {
        memory_available().unwrap_or(u64::MAX)
    }

    fn memory_total(&self) -> u64 {
        memory_total().unwrap_or(0)
    }

    fn facts(&mut self) -> Vec<Fact> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = format!("{}, {} free", bytes(self.memory_total()), bytes(self.memory_free()));
        vec![
            Fact { label: "system", value: std::env::consts::OS.into() },
            Fact { label: "processor", value: processor() },
            Fact { label: "cores", value: cores(physical_cores(), processors) },
            Fact { label: "memory", value: memory },
        ]
    }
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or(std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}
