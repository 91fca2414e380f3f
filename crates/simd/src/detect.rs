//! Asks the CPU. `is_x86_feature_detected!` needs an operating system's library, so CPUID is asked
//! here, and XCR0, which says whose registers are switched on.

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

/// The bits are from Intel's "Software Developer's Manual", volume 2, CPUID, and volume 1, 13.3.
#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::Isa;
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv, CpuidResult};

    /// XCR0: SSE and AVX registers; and the three parts of AVX-512's.
    const AVX_STATE: u64 = 0b110;
    const AVX512_STATE: u64 = 0b1110_0110;

    /// Whether this CPU can run code for `isa`.
    pub(crate) fn has(isa: Isa) -> bool {
        let bit = |register: u32, bit: u32| register >> bit & 1 == 1;
        let (basic, extended, more) = (leaf(1, 0), leaf(7, 0), leaf(7, 1));
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
            Isa::AvxVnni => avx2() && bit(more.eax, 4),
            Isa::Avx512 => avx512(),
            Isa::Avx512Vnni => avx512() && bit(extended.ecx, 11),
            Isa::Neon | Isa::NeonDot => false,
        }
    }

    /// What CPUID says, zeros where the CPU does not know the leaf.
    fn leaf(number: u32, sub: u32) -> CpuidResult {
        let known = __cpuid(0).eax >= number;
        // Leaf 7 says itself how many parts it has.
        let known = known && (sub == 0 || __cpuid_count(number, 0).eax >= sub);
        match known {
            true => __cpuid_count(number, sub),
            false => CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 },
        }
    }

    fn xcr0() -> u64 {
        #[target_feature(enable = "xsave")]
        fn read() -> u64 {
            // SAFETY: register 0 is there wherever the instruction is.
            unsafe { _xgetbv(0) }
        }
        // SAFETY: CPUID's OSXSAVE bit, which the caller saw, says that the instruction is allowed.
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
            Isa::NeonDot => dot_product() > 0,
            _ => false,
        }
    }

    /// ID_AA64ISAR0_EL1.DP ("Arm Architecture Reference Manual", D19). Firmware may read it; Linux
    /// traps the read and answers it.
    fn dot_product() -> u64 {
        let features: u64;
        // SAFETY: the register is there on every AArch64 core, and reading it changes nothing.
        unsafe {
            core::arch::asm!("mrs {}, ID_AA64ISAR0_EL1", out(reg) features, options(nomem, nostack));
        }
        features >> 44 & 0b1111
    }
}
