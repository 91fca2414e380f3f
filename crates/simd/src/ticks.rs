//! The CPU's counter.

/// How far the CPU's counter has come, if it has one that a program may read: on x86-64 the
/// time-stamp counter, on AArch64 the virtual counter. It runs at one speed, which it does not say.
/// In QEMU with `-icount shift=0` the time-stamp counter goes up by one with every instruction.
pub fn ticks() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has the instruction, and firmware and operating systems let programs
    // use it.
    let ticks = Some(unsafe { core::arch::x86_64::_rdtsc() });
    #[cfg(target_arch = "aarch64")]
    let ticks = {
        let ticks: u64;
        // SAFETY: every AArch64 CPU has the counter, and firmware and Linux let programs read it.
        unsafe {
            core::arch::asm!("mrs {}, CNTVCT_EL0", out(reg) ticks, options(nomem, nostack));
        }
        Some(ticks)
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let ticks = None;
    ticks
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_counter_counts() {
        let Some(first) = super::ticks() else { return };
        while super::ticks() == Some(first) {}
        assert!(super::ticks() > Some(first));
    }
}
