//! Which instructions a kernel needs.

/// An instruction set that a kernel is written for, from the plainest to the widest.
///
/// Kernels are listed with the set they need (see `bootllm-quant`'s table), and the widest one
/// that the CPU has is taken. So far every kernel is scalar code, which the compiler spreads over
/// the registers that the build target guarantees (SSE2 on x86-64, NEON on AArch64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Nothing beyond what the build target guarantees.
    Scalar,
}

impl Isa {
    /// The widest instruction set that this CPU has and that there are kernels for.
    pub fn detect() -> Self {
        Isa::Scalar
    }

    /// Its name as a person knows it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar if cfg!(target_arch = "x86_64") => "scalar (SSE2)",
            Isa::Scalar if cfg!(target_arch = "aarch64") => "scalar (NEON)",
            Isa::Scalar => "scalar",
        }
    }
}
