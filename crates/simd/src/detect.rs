//! CPU feature detection. `is_x86_feature_detected!` needs `std`, so this reads CPUID, and XCR0,
//! which says whose registers are enabled.

use crate::Isa;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::has;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::has;

/// Whether this CPU can run code for `isa`.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn has(isa: Isa) -> bool {
    isa == Isa::Scalar
}

/// Bit numbers are from Intel's "Software Developer's Manual", volume 2, CPUID, and volume 1, 13.3.
#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::Isa;
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv, CpuidResult};

    /// Bits of XCR0: SSE and AVX registers; the same and the three parts of AVX-512's.
    const AVX_STATE: u64 = 0b110;
    const AVX512_STATE: u64 = 0b1110_0110;

    /// Whether this CPU can run code for `isa`.
    pub(crate) fn has(isa: Isa) -> bool {
        let bit = |register: u32, bit: u32| register >> bit & 1 == 1;
        let (basic, extended, further) = (leaf(1, 0), leaf(7, 0), leaf(7, 1));
        let state = if bit(basic.ecx, 27) { xcr0() } else { 0 };
        let avx2 = || {
            state & AVX_STATE == AVX_STATE
                && bit(basic.ecx, 28)
                && bit(basic.ecx, 29)
                && bit(extended.ebx, 5)
        };
        let avx512 = || {
            state & AVX512_STATE == AVX512_STATE
                && avx2()
                && [16, 30, 31].into_iter().all(|index| bit(extended.ebx, index))
        };
        match isa {
            Isa::Scalar | Isa::Sse2 => true,
            Isa::Ssse3 => bit(basic.ecx, 9),
            Isa::Avx2 => avx2(),
            Isa::AvxVnni => avx2() && bit(further.eax, 4),
            Isa::Avx512 => avx512(),
            Isa::Avx512Vnni => avx512() && bit(extended.ecx, 11),
            Isa::Neon | Isa::NeonDot => false,
        }
    }

    /// A leaf of CPUID; zeros if the CPU does not have it.
    fn leaf(number: u32, sub: u32) -> CpuidResult {
        let known = __cpuid(0).eax >= number;
        // Leaf 7 says itself how many subleaves it has.
        let known = known && (sub == 0 || __cpuid_count(number, 0).eax >= sub);
        match known {
            true => __cpuid_count(number, sub),
            false => CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 },
        }
    }

    fn xcr0() -> u64 {
        #[target_feature(enable = "xsave")]
        fn read() -> u64 {
            // SAFETY: the caller of `xcr0` has seen OSXSAVE, so CR4.OSXSAVE is set and the
            // instruction does not fault; register 0 exists on every CPU that has it.
            unsafe { _xgetbv(0) }
        }
        // SAFETY: CPUID's OSXSAVE bit, which the only caller checks first, implies XSAVE.
        unsafe { read() }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use super::Isa;

    /// Whether this CPU can run code for `isa`.
    pub(crate) fn has(isa: Isa) -> bool {
        match isa {
            Isa::Scalar | Isa::Neon => true,
            // Apple's targets have it as a feature of every CPU that they are for.
            Isa::NeonDot => cfg!(target_feature = "dotprod") || register_says_dot_product(),
            _ => false,
        }
    }

    /// ID_AA64ISAR0_EL1.DP ("Arm Architecture Reference Manual", D19).
    ///
    /// Programs may not read the register (EL0). Firmware runs where it may be read (EL1 or EL2), and
    /// Linux emulates the read since 4.11, the first that documents it
    /// (Documentation/arch/arm64/cpu-feature-registers.rst). Elsewhere the read is an illegal
    /// instruction.
    #[cfg(any(target_os = "none", target_os = "uefi", target_os = "linux", target_os = "android"))]
    fn register_says_dot_product() -> bool {
        let features: u64;
        // SAFETY: on these systems the read does not fault (see above), and it has no effects.
        unsafe {
            core::arch::asm!("mrs {}, ID_AA64ISAR0_EL1", out(reg) features, options(nomem, nostack));
        }
        features >> 44 & 0b1111 > 0
    }

    /// These systems are to be asked through their libraries, which this crate does not link: plain
    /// NEON is used, which gives the same results.
    #[cfg(not(any(
        target_os = "none",
        target_os = "uefi",
        target_os = "linux",
        target_os = "android"
    )))]
    fn register_says_dot_product() -> bool {
        false
    }
}
