//! The CPU's cycle counter.

/// The CPU's counter, if it has one that programs may read: the time-stamp counter on x86-64, the
/// virtual counter on AArch64. It counts at a constant rate that it does not tell. In QEMU with
/// `-icount shift=0` the time-stamp counter counts instructions.
pub fn ticks() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has the instruction, and firmware and operating systems allow it.
    let ticks = Some(unsafe { core::arch::x86_64::_rdtsc() });
    #[cfg(target_arch = "aarch64")]
    let ticks = {
        let ticks: u64;
        // SAFETY: every AArch64 CPU has the counter, and firmware and operating systems allow programs
        // to read it.
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
