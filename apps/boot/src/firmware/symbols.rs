//! Symbols of the C runtime that the linker expects on this target, besides [`crate::mem`].

/// Microsoft's compilers refer to it from code with floating point, to pull in support for it.
// SAFETY: the name belongs to the C runtime, which is not linked; the value is never read.
#[unsafe(no_mangle)]
static _fltused: i32 = 0x9875;

/// Names the handler of C++ exceptions. Rust's `core` for this target was built to unwind and
/// refers to it, but a program that aborts on panic never does.
// SAFETY: the name belongs to the C runtime, which is not linked.
#[unsafe(no_mangle)]
extern "C" fn __CxxFrameHandler3() {
    crate::firmware::panic::reset()
}

// Functions with a large frame call it to touch each page of the stack, so that Windows grows it.
// UEFI's stack does not grow. Every register must be as it was.
core::arch::global_asm!(".globl __chkstk", "__chkstk:", "ret");
