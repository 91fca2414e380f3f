//! Time, by the counter of the CPU.

use super::cpu;
use alloc::format;
use bootllm_platform::{Clock, Fact};
use core::time::Duration;
use uefi::boot;

/// Counts the ticks of the CPU's counter, which begins with 0 at reset.
#[derive(Clone, Copy)]
pub struct TickClock {
    ticks_per_second: u64,
}

impl TickClock {
    /// Measures the frequency of the counter. Takes 20 ms.
    pub fn measure() -> Self {
        const WAIT: Duration = Duration::from_millis(5);
        // The firmware waits at least as long as asked, so the fewest ticks are the best estimate.
        let fewest = (0..4).map(|_| {
            let start = cpu::ticks();
            boot::stall(WAIT);
            cpu::ticks().saturating_sub(start)
        });
        let measured = fewest.min().unwrap_or(0) * (1000 / WAIT.as_millis() as u64);
        // The frequency that CPUID reports is exact, unless it is wrong altogether.
        let described = cpu::described_ticks_per_second()
            .filter(|&rate| rate.abs_diff(measured) <= measured / 20);
        Self { ticks_per_second: described.unwrap_or(measured).max(1) }
    }

    /// Converts ticks of the counter to the time since reset.
    pub fn at(&self, ticks: u64) -> Duration {
        let seconds = ticks / self.ticks_per_second;
        let rest = u128::from(ticks % self.ticks_per_second);
        let nanoseconds = rest * 1_000_000_000 / u128::from(self.ticks_per_second);
        Duration::new(seconds, nanoseconds as u32)
    }

    /// Describes the counter.
    pub fn fact(&self) -> Fact {
        let megahertz = self.ticks_per_second as f64 / 1e6;
        let steady = if cpu::ticks_are_steady() { "steady" } else { "not said to be steady" };
        Fact { label: "clock", value: format!("CPU counter, {megahertz:.1} MHz, {steady}") }
    }
}

impl Clock for TickClock {
    fn now(&self) -> Duration {
        self.at(cpu::ticks())
    }
}
