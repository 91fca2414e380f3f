//! x86-64. The facts are from Intel's "Software Developer's Manual" (SDM) and AMD's "Architecture
//! Programmer's Manual", which agree on all of them.

use crate::topology::{self, Threads};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_platform::Fact;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdtsc, _xgetbv};

/// CR4: FXSAVE and SSE instructions are allowed; SSE faults are; XSAVE and XCR0 are (SDM 3, 2.5).
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
const CR4_OSXSAVE: u64 = 1 << 18;
/// XCR0: which registers there are (SDM 1, 13.3): x87, SSE, AVX; and AVX-512's three parts.
const XCR0_AVX: u64 = 0b111;
const XCR0_AVX512: u64 = 0b111 << 5;
/// Every exception masked, round to nearest, denormal numbers kept (SDM 1, 10.2.3).
const MXCSR: u32 = 0x1F80;

/// Switches on the vector registers that the CPU has, and sets the rounding of floating point.
///
/// Firmware leaves AVX off. This is for one core: each needs it. Nothing is allocated.
pub fn prepare() {
    // SAFETY: `ldmxcsr` reads four bytes of a constant. Boot services run in ring 0, so the control
    // registers can be written. Only bits that CPUID says the CPU has are set; none is cleared,
    // so what the firmware uses goes on working.
    unsafe {
        let mut cr4: u64;
        asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack));
        cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
        if has_xsave() {
            cr4 |= CR4_OSXSAVE;
        }
        asm!("mov cr4, {}", in(reg) cr4, options(nostack));
        if has_xsave() {
            let xcr0 = _xgetbv_0() | wanted_xcr0();
            asm!(
                "xsetbv",
                in("ecx") 0,
                in("eax") xcr0 as u32,
                in("edx") (xcr0 >> 32) as u32,
                options(nostack),
            );
        }
        // Last, for it is an SSE instruction itself.
        asm!("ldmxcsr [{}]", in(reg) &MXCSR, options(nostack, readonly));
    }
}

/// The local APIC's identity, a number of its own for each processor: that of the x2APIC where
/// there is one (SDM 3, 10.4.6 and 10.12.8).
pub fn id() -> u64 {
    let topology = leaf(0xB, 0);
    match topology.ebx {
        0 => (leaf(1, 0).ebx >> 24).into(),
        _ => topology.edx.into(),
    }
}

/// Whether the firmware can know which processors share a core.
///
/// CPUs without CPUID leaf 0xB are older than 2009, and edk2 gets their cores wrong.
pub fn threads() -> Threads {
    let (basic, topology) = (leaf(1, 0), leaf(0xB, 0));
    if topology.ebx != 0 {
        return Threads::AsLocated;
    }
    let intel = leaf(0, 0).ebx == u32::from_le_bytes(*b"Genu");
    if !intel {
        // AMD's first CPUs with several threads per core have leaf 0xB.
        return Threads::None;
    }
    let multi_threading = basic.edx >> 28 & 1 == 1;
    let logical = if multi_threading { basic.ebx >> 16 & 0xFF } else { 1 };
    topology::threads_without_leaf_b(logical, (leaf(4, 0).eax >> 26) + 1)
}

/// Whether this is a virtual machine: hypervisors set a bit that is reserved for them.
pub fn is_virtual() -> bool {
    leaf(1, 0).ecx & (1 << 31) != 0
}

/// Whether [`watch`] lets the processor sleep. Virtual machines, if they have the instructions at
/// all, mostly do not sleep on them.
pub fn can_watch() -> bool {
    const MONITOR: u32 = 1 << 3;
    leaf(1, 0).ecx & MONITOR != 0 && !is_virtual()
}

/// Sleeps until `is_given`, which a write near `address` changes.
///
/// # Safety
///
/// [`can_watch`] is true: the instructions are illegal on other CPUs. `address` is mapped.
pub unsafe fn watch(address: *const (), is_given: impl Fn() -> bool) {
    while !is_given() {
        // SAFETY: the caller guarantees that the CPU has both instructions and that `address` is
        // mapped. Ring 0 may use them; they read and write nothing. What was written between
        // `is_given` and `monitor` is seen by the second look, what is written after `monitor` ends
        // `mwait`, or lets it not begin (SDM 3, 8.10.4). Zeros: no extensions, and C1, the lightest
        // sleep, which every such CPU has.
        unsafe {
            asm!("monitor", in("rax") address, in("ecx") 0, in("edx") 0, options(nostack));
            if !is_given() {
                asm!("mwait", in("eax") 0, in("ecx") 0, options(nostack));
            }
        }
    }
}

/// Stops the processor until something interrupts it.
pub fn halt() {
    // SAFETY: ring 0 may use the instruction, which changes nothing.
    unsafe { asm!("hlt", options(nomem, nostack)) };
}

/// XCR0.
///
/// # Safety
///
/// The CPU has XSAVE, and CR4.OSXSAVE is set.
unsafe fn _xgetbv_0() -> u64 {
    /// # Safety
    ///
    /// As above.
    #[target_feature(enable = "xsave")]
    unsafe fn with_xsave() -> u64 {
        // SAFETY: register 0 is always there.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: the caller's promise.
    unsafe { with_xsave() }
}

fn has_xsave() -> bool {
    leaf(1, 0).ecx & (1 << 26) != 0
}

/// Returns the bits of XCR0 that the CPU has and this program uses. x87 and SSE are always among
/// them.
fn wanted_xcr0() -> u64 {
    let available = leaf(0xD, 0);
    let available = u64::from(available.edx) << 32 | u64::from(available.eax);
    let mut wanted = 0b11;
    if available & XCR0_AVX == XCR0_AVX {
        wanted |= XCR0_AVX;
        if available & XCR0_AVX512 == XCR0_AVX512 {
            wanted |= XCR0_AVX512;
        }
    }
    wanted
}

/// The time stamp counter. It begins with 0 when the machine is reset.
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 CPU has the instruction, and ring 0 may use it.
    unsafe { _rdtsc() }
}

/// Returns the frequency of the time stamp counter, where CPUID reports it: crystal clock times a
/// ratio (SDM 3, 18.7.3).
pub fn described_ticks_per_second() -> Option<u64> {
    let clock = leaf(0x15, 0);
    let described = u64::from(clock.ecx).checked_mul(clock.ebx.into())?;
    described.checked_div(clock.eax.into()).filter(|&rate| rate > 0)
}

/// Whether the time stamp counter runs at one speed whatever the CPU does ("invariant").
pub fn ticks_are_steady() -> bool {
    extended_leaf(0x8000_0007).edx & (1 << 8) != 0
}

/// A random number from the CPU, if it has a generator.
pub fn random() -> Option<u64> {
    /// # Safety
    ///
    /// The CPU has RDRAND.
    #[target_feature(enable = "rdrand")]
    unsafe fn with_rdrand() -> Option<u64> {
        // It may have none ready; ten tries are what Intel recommends (SDM 1, 7.3.17.1).
        (0..10).find_map(|_| {
            let mut number = 0;
            (_rdrand64_step(&mut number) == 1).then_some(number)
        })
    }
    let has_rdrand = leaf(1, 0).ecx & (1 << 30) != 0;
    // SAFETY: CPUID says that the instruction is there.
    if has_rdrand { unsafe { with_rdrand() } } else { None }
}

/// Describes the CPU, its features and its vector state.
pub fn facts() -> Vec<Fact> {
    vec![
        Fact { label: "CPU", value: name() },
        Fact { label: "CPU features", value: features().join(", ") },
        Fact { label: "vector state", value: vector_state() },
    ]
}

fn name() -> String {
    let leaves = [0x8000_0002, 0x8000_0003, 0x8000_0004].map(extended_leaf);
    let bytes: Vec<u8> = (leaves.iter())
        .flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
        .flat_map(u32::to_le_bytes)
        .take_while(|&byte| byte != 0)
        .collect();
    let words: Vec<&str> = str::from_utf8(&bytes).unwrap_or_default().split_whitespace().collect();
    if words.is_empty() {
        "an x86-64 CPU that does not say its name".into()
    } else {
        words.join(" ")
    }
}

/// Names the instruction sets that the kernels can use.
fn features() -> Vec<&'static str> {
    let (basic, extended, more) = (leaf(1, 0), leaf(7, 0), leaf(7, 1));
    let bits = [
        ("SSE2", basic.edx, 26),
        ("SSSE3", basic.ecx, 9),
        ("SSE4.1", basic.ecx, 19),
        ("AVX", basic.ecx, 28),
        ("F16C", basic.ecx, 29),
        ("FMA", basic.ecx, 12),
        ("AVX2", extended.ebx, 5),
        ("AVX-VNNI", more.eax, 4),
        ("AVX-512F", extended.ebx, 16),
        ("AVX-512BW", extended.ebx, 30),
        ("AVX-512VNNI", extended.ecx, 11),
        ("AVX-512BF16", more.eax, 5),
        ("AMX", extended.edx, 24),
    ];
    bits.iter().filter(|(_, word, bit)| word >> bit & 1 == 1).map(|(name, ..)| *name).collect()
}

fn vector_state() -> String {
    let mut mxcsr = 0_u32;
    // SAFETY: four bytes of our own are written.
    unsafe { asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack)) };
    // The lowest six bits are flags of exceptions that happened.
    mxcsr &= !0x3F;
    if !has_xsave() {
        return format!("SSE on, no XSAVE; MXCSR {mxcsr:#x}");
    }
    // SAFETY: the CPU has XSAVE, and `prepare` switched it on.
    let xcr0 = unsafe { _xgetbv_0() };
    let registers = match xcr0 {
        _ if xcr0 & XCR0_AVX512 == XCR0_AVX512 => "SSE, AVX and AVX-512 on",
        _ if xcr0 & XCR0_AVX == XCR0_AVX => "SSE and AVX on",
        _ => "SSE on",
    };
    format!("{registers} (XCR0 {xcr0:#x}, MXCSR {mxcsr:#x})")
}

use core::arch::x86_64::CpuidResult;

/// Executes CPUID; zeros where the CPU does not have the leaf.
fn leaf(number: u32, sub: u32) -> CpuidResult {
    if number <= __cpuid(0).eax { __cpuid_count(number, sub) } else { NOTHING }
}

/// Executes CPUID for a leaf from 0x80000000 on.
fn extended_leaf(number: u32) -> CpuidResult {
    if number <= __cpuid(0x8000_0000).eax { __cpuid(number) } else { NOTHING }
}

const NOTHING: CpuidResult = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
