//! Which instructions the CPU has.

use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering};

/// An instruction set that kernels are written for, from the plainest to the widest of its family.
///
/// Tested on real processors: scalar, SSE2, SSSE3, AVX2, AVX-512 and AVX-512 VNNI. The code of
/// AVX-VNNI is tested as its twin in AVX-512's encoding, which differs in the encoding alone. NEON
/// and its dot product are tested under emulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Isa {
    /// Nothing beyond what the build target guarantees, in plain Rust.
    Scalar,
    /// SSE2: every x86-64 processor.
    Sse2,
    /// SSSE3: from 2006 on.
    Ssse3,
    /// AVX2 and F16C: most from 2013 on.
    Avx2,
    /// AVX2 with AVX-VNNI: Intel's from 2021 on without AVX-512, AMD's from 2024 on.
    AvxVnni,
    /// AVX-512 F, BW and VL.
    Avx512,
    /// The same with AVX-512 VNNI.
    Avx512Vnni,
    /// NEON: every AArch64 processor.
    Neon,
    /// NEON with its dot product (FEAT_DotProd): most from 2018 on.
    NeonDot,
}

impl Isa {
    /// All of them.
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

    /// Its name as a person knows it.
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

/// The instruction sets that a CPU has and whose registers its state lets a program use, and which
/// of them are to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    has: u16,
    uses: u16,
}

const SCALAR: u16 = 1 << Isa::Scalar as u16;

impl Cpu {
    /// Of the core that calls, asked once: a virtual machine takes its time to answer CPUID. On
    /// bare metal the vector registers have to be switched on before.
    pub fn detect() -> Self {
        static KNOWN: AtomicU16 = AtomicU16::new(0);
        let mut has = KNOWN.load(Ordering::Relaxed);
        if has == 0 {
            let isas = Isa::ALL.into_iter().filter(|&isa| crate::detect::has(isa));
            has = isas.fold(SCALAR, |has, isa| has | 1 << isa as u16);
            KNOWN.store(has, Ordering::Relaxed);
        }
        Cpu { has, uses: has }
    }

    /// Nothing wider than `widest` is to be used.
    pub fn limited_to(self, widest: Isa) -> Self {
        Cpu { uses: self.uses & ((2 << widest as u16) - 1), ..self }
    }

    /// Only `isa` is to be used, and plain Rust where it cannot be.
    pub fn only(self, isa: Isa) -> Self {
        Cpu { uses: SCALAR | 1 << isa as u16, ..self }
    }

    /// `isa` is not to be used.
    pub fn without(self, isa: Isa) -> Self {
        Cpu { uses: SCALAR | self.uses & !(1 << isa as u16), ..self }
    }

    /// Whether it has this one.
    pub fn has(self, isa: Isa) -> bool {
        self.has >> isa as u16 & 1 == 1
    }

    /// Those that are to be used, the widest first, plain Rust last.
    pub fn widest_first(self) -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().rev().filter(move |&isa| self.uses >> isa as u16 & 1 == 1)
    }

    /// The widest that is to be used.
    pub fn widest(self) -> Isa {
        self.widest_first().next().unwrap_or(Isa::Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_is_always_there_and_limits_hold() {
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
    fn it_is_what_std_says() {
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
