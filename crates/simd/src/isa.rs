//! Instruction sets, and which of them the CPU has.

use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering};

/// An instruction set that kernels are compiled for; each architecture's in ascending order.
///
/// Tested on real processors: scalar, SSE2, SSSE3, AVX2, AVX-512 and AVX-512 VNNI. AVX-VNNI is
/// tested in AVX-512's encoding of the same instructions. NEON and its dot product are tested under
/// emulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Isa {
    /// Nothing beyond what the build target guarantees, in plain Rust.
    Scalar,
    /// SSE2: every x86-64 processor.
    Sse2,
    /// SSSE3: since 2006.
    Ssse3,
    /// AVX2 and F16C: most since 2013.
    Avx2,
    /// AVX2 with AVX-VNNI: Intel's since 2021 without AVX-512, AMD's since 2024.
    AvxVnni,
    /// AVX-512 F, BW and VL.
    Avx512,
    /// AVX-512 F, BW, VL and VNNI.
    Avx512Vnni,
    /// NEON: every AArch64 processor.
    Neon,
    /// NEON with its dot product (FEAT_DotProd): most since 2018.
    NeonDot,
}

impl Isa {
    /// All instruction sets.
    pub const ALL: [Isa; 9] = [
        Isa::Scalar,
        Isa::Sse2,
        Isa::Ssse3,
        Isa::Avx2,
        Isa::AvxVnni,
        Isa::Avx512,
        Isa::Avx512Vnni,
        Isa::Neon,
        Isa::NeonDot,
    ];

    /// Its name as users know it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Sse2 => "SSE2",
            Isa::Ssse3 => "SSSE3",
            Isa::Avx2 => "AVX2",
            Isa::AvxVnni => "AVX-VNNI",
            Isa::Avx512 => "AVX-512",
            Isa::Avx512Vnni => "AVX-512 VNNI",
            Isa::Neon => "NEON",
            Isa::NeonDot => "NEON dot product",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The instruction sets that a CPU has and whose registers are enabled, and which of them to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    has: u16,
    uses: u16,
}

const SCALAR: u16 = 1 << Isa::Scalar as u16;

impl Cpu {
    /// Detects those of the calling core. The result is cached, because CPUID is slow in a virtual
    /// machine. On bare metal the vector registers have to be enabled before.
    pub fn detect() -> Self {
        static DETECTED: AtomicU16 = AtomicU16::new(0);
        let mut has = DETECTED.load(Ordering::Relaxed);
        if has == 0 {
            let isas = Isa::ALL.into_iter().filter(|&isa| crate::detect::has(isa));
            has = isas.fold(SCALAR, |has, isa| has | 1 << isa as u16);
            DETECTED.store(has, Ordering::Relaxed);
        }
        Cpu { has, uses: has }
    }

    /// Uses nothing wider than `widest`.
    pub fn limited_to(self, widest: Isa) -> Self {
        Cpu { uses: self.uses & ((2 << widest as u16) - 1), ..self }
    }

    /// Uses only `isa`, and [`Isa::Scalar`] where there is no code for it.
    pub fn only(self, isa: Isa) -> Self {
        Cpu { uses: SCALAR | 1 << isa as u16, ..self }
    }

    /// Does not use `isa`.
    pub fn without(self, isa: Isa) -> Self {
        Cpu { uses: SCALAR | self.uses & !(1 << isa as u16), ..self }
    }

    /// Whether the CPU has `isa`.
    pub fn has(self, isa: Isa) -> bool {
        self.has >> isa as u16 & 1 == 1
    }

    /// Those to use, the widest first, [`Isa::Scalar`] last.
    pub fn widest_first(self) -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().rev().filter(move |&isa| self.uses >> isa as u16 & 1 == 1)
    }

    /// The widest to use.
    pub fn widest(self) -> Isa {
        self.widest_first().next().unwrap_or(Isa::Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_is_always_available_and_limits_hold() {
        let cpu = Cpu::detect();
        assert!(cpu.has(Isa::Scalar));
        for isa in Isa::ALL {
            assert!(cpu.limited_to(isa).widest() <= isa);
            assert_eq!(cpu.only(isa).widest(), isa);
            assert_eq!(cpu.only(isa).has(isa), cpu.has(isa));
            assert!(isa == Isa::Scalar || cpu.without(isa).widest() != isa);
        }
        assert_eq!(cpu.limited_to(Isa::Scalar).widest(), Isa::Scalar);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn detection_agrees_with_std() {
        extern crate std;
        use std::is_x86_feature_detected as has;
        let cpu = Cpu::detect();
        assert_eq!(cpu.has(Isa::Ssse3), has!("ssse3"));
        assert_eq!(cpu.has(Isa::Avx2), has!("avx2") && has!("f16c"));
        assert_eq!(cpu.has(Isa::AvxVnni), has!("avx2") && has!("f16c") && has!("avxvnni"));
        let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("f16c");
        assert_eq!(cpu.has(Isa::Avx512), avx512);
        assert_eq!(cpu.has(Isa::Avx512Vnni), avx512 && has!("avx512vnni"));
    }
}
