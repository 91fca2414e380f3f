//! AArch64. The facts are from Arm's "Architecture Reference Manual" for A-profile.

use crate::topology::Threads;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_platform::Fact;
use core::arch::asm;

/// Sets the rounding of floating point: to nearest, denormal numbers kept, nothing trapped.
///
/// NEON is on: UEFI requires it (specification 2.10, 2.3.6).
pub fn prepare() {
    // SAFETY: the register exists on every AArch64 CPU with floating point, and zero is the state
    // in which UEFI hands it over.
    unsafe { asm!("msr fpcr, {}", in(reg) 0_u64, options(nomem, nostack)) };
}

/// Returns MPIDR_EL1, which is unique to each processor.
pub fn id() -> u64 {
    let id;
    // SAFETY: reading the register changes nothing.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) id, options(nomem, nostack)) };
    id
}

/// Whether the firmware can know which processors share a core: it reads them from ACPI's tables or
/// MPIDR.
pub fn threads() -> Threads {
    Threads::AsLocated
}

/// Whether this is a virtual machine, which no register reports.
pub fn is_virtual() -> bool {
    false
}

/// Whether [`watch`] lets the processor sleep. WFE may not under a hypervisor, and no register
/// reports one, so processors rest in the firmware.
pub fn can_watch() -> bool {
    false
}

/// Waits until `is_given`.
///
/// # Safety
///
/// None here: it is unsafe as on other architectures.
pub unsafe fn watch(_: *const (), is_given: impl Fn() -> bool) {
    while !is_given() {
        core::hint::spin_loop();
    }
}

/// Stops the processor until something interrupts it.
pub fn halt() {
    // SAFETY: the instruction changes nothing.
    unsafe { asm!("wfi", options(nomem, nostack)) };
}

/// The generic timer's counter.
pub fn ticks() -> u64 {
    let ticks;
    // SAFETY: reading the counter changes nothing.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

/// Returns the frequency of the counter.
pub fn described_ticks_per_second() -> Option<u64> {
    let rate: u64;
    // SAFETY: reading the register changes nothing.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) rate, options(nomem, nostack)) };
    (rate > 0).then_some(rate)
}

/// Whether the counter runs at one speed whatever the CPU does.
pub fn ticks_are_steady() -> bool {
    true
}

/// A random number from the CPU, if it has a generator.
pub fn random() -> Option<u64> {
    None
}

/// Describes the CPU and its vector state.
pub fn facts() -> Vec<Fact> {
    let (id, control): (u64, u64);
    // SAFETY: reading the registers changes nothing.
    unsafe {
        asm!("mrs {}, midr_el1", out(reg) id, options(nomem, nostack));
        asm!("mrs {}, fpcr", out(reg) control, options(nomem, nostack));
    }
    vec![
        Fact { label: "CPU", value: format!("AArch64, MIDR {id:#x}") },
        Fact { label: "vector state", value: format!("NEON on (FPCR {control:#x})") },
    ]
}
