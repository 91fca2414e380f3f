//! `memcpy`, `memmove`, `memset`, `memcmp` and `strlen`.
//!
//! The compiler emits calls of them for assignments and slices. On Windows they come from
//! Microsoft's C runtime, which UEFI does not have. The loops are assembly because the compiler
//! would recognise a loop written in Rust and replace it by a call of the function that it is in.
//!
//! The ends of a block are moved as two pieces that may overlap: 23 bytes are the first 16 and the
//! last 16. Bytes are moved as [`MaybeUninit`], because the padding of a structure that is copied
//! is not initialized.

use core::arch::asm;
use core::arch::x86_64::{__m128i, _mm_set1_epi8, _mm_storeu_si128};
use core::mem::MaybeUninit;

/// The bytes of one vector register, initialized or not.
type Register = MaybeUninit<__m128i>;

/// Bytes in a register.
const STEP: usize = size_of::<Register>();

/// Copies `n` bytes in ascending order, for blocks that do not overlap or where `dest < src`.
///
/// # Safety
///
/// `src` is valid for reads and `dest` for writes of `n` bytes.
pub unsafe fn copy_up(dest: *mut u8, src: *const u8, n: usize) {
    if n < 2 * STEP {
        // SAFETY: the caller guarantees both blocks; `n` is below 32.
        return unsafe { copy_short(dest, src, n) };
    }
    // SAFETY: the loop moves 16 bytes at offsets below n - 16 and the tail ends at n, so every
    // access lies in the blocks that the caller guarantees. The registers are unaligned.
    unsafe {
        // Read before the loop, which may overwrite it.
        let tail = src.add(n - STEP).cast::<Register>().read_unaligned();
        asm!(
            "2:",
            "movups {x}, [{src} + {i}]",
            "movups [{dest} + {i}], {x}",
            "add {i}, 16",
            "cmp {i}, {end}",
            "jb 2b",
            x = out(xmm_reg) _,
            src = in(reg) src,
            dest = in(reg) dest,
            i = inout(reg) 0_usize => _,
            end = in(reg) n - STEP,
            options(nostack),
        );
        dest.add(n - STEP).cast::<Register>().write_unaligned(tail);
    }
}

/// Copies `n` bytes in descending order, for blocks where `dest > src`.
///
/// # Safety
///
/// `src` is valid for reads and `dest` for writes of `n` bytes.
pub unsafe fn copy_down(dest: *mut u8, src: *const u8, n: usize) {
    if n < 2 * STEP {
        // SAFETY: the caller guarantees both blocks; `n` is below 32.
        return unsafe { copy_short(dest, src, n) };
    }
    // SAFETY: the loop moves 16 bytes that end at offsets above 16 and the head is the first 16
    // bytes, so every access lies in the blocks that the caller guarantees.
    unsafe {
        // Read before the loop, which may overwrite it.
        let head = src.cast::<Register>().read_unaligned();
        asm!(
            "2:",
            "movups {x}, [{src} + {i} - 16]",
            "movups [{dest} + {i} - 16], {x}",
            "sub {i}, 16",
            "cmp {i}, 16",
            "ja 2b",
            x = out(xmm_reg) _,
            src = in(reg) src,
            dest = in(reg) dest,
            i = inout(reg) n => _,
            options(nostack),
        );
        dest.cast::<Register>().write_unaligned(head);
    }
}

/// Copies fewer than 32 bytes between blocks that may overlap.
///
/// # Safety
///
/// `src` is valid for reads and `dest` for writes of `n` bytes, and `n` is below 32.
unsafe fn copy_short(dest: *mut u8, src: *const u8, n: usize) {
    /// Moves the first and the last `T` of `n` bytes, reading both before writing either.
    ///
    /// # Safety
    ///
    /// `n` is at least `size_of::<T>()` and at most twice that; `src` is valid for reads and `dest`
    /// for writes of `n` bytes.
    #[inline(always)]
    unsafe fn move_ends<T>(dest: *mut u8, src: *const u8, n: usize) {
        let (src, dest) = (src.cast::<MaybeUninit<T>>(), dest.cast::<MaybeUninit<T>>());
        let last = n - size_of::<T>();
        // SAFETY: both pieces lie within the `n` bytes that the caller guarantees, and the accesses
        // are unaligned.
        unsafe {
            let first_piece = src.read_unaligned();
            let last_piece = src.byte_add(last).read_unaligned();
            dest.write_unaligned(first_piece);
            dest.byte_add(last).write_unaligned(last_piece);
        }
    }
    // SAFETY: `n` lies between the size of each arm's type and twice that.
    unsafe {
        match n {
            16.. => move_ends::<__m128i>(dest, src, n),
            8.. => move_ends::<u64>(dest, src, n),
            4.. => move_ends::<u32>(dest, src, n),
            2.. => move_ends::<u16>(dest, src, n),
            1 => move_ends::<u8>(dest, src, n),
            0 => {}
        }
    }
}

/// Sets `n` bytes to `byte`.
///
/// # Safety
///
/// `dest` is valid for writes of `n` bytes.
pub unsafe fn fill(dest: *mut u8, byte: u8, n: usize) {
    // SAFETY: below 16 bytes each arm writes two pieces within `n`; above, the loop writes 16
    // bytes at offsets below n - 16, and the tail ends at n.
    unsafe {
        let word = u64::from(byte) * 0x0101_0101_0101_0101;
        match n {
            STEP.. => {
                let pattern = _mm_set1_epi8(byte.cast_signed());
                asm!(
                    "jmp 3f",
                    "2:",
                    "movups [{dest} + {i}], {x}",
                    "add {i}, 16",
                    "3:",
                    "cmp {i}, {end}",
                    "jb 2b",
                    x = in(xmm_reg) pattern,
                    dest = in(reg) dest,
                    i = inout(reg) 0_usize => _,
                    end = in(reg) n - STEP,
                    options(nostack),
                );
                _mm_storeu_si128(dest.add(n - STEP).cast(), pattern);
            }
            8.. => {
                dest.cast::<u64>().write_unaligned(word);
                dest.add(n - 8).cast::<u64>().write_unaligned(word);
            }
            4.. => {
                dest.cast::<u32>().write_unaligned(word as u32);
                dest.add(n - 4).cast::<u32>().write_unaligned(word as u32);
            }
            1.. => {
                *dest = byte;
                *dest.add(n / 2) = byte;
                *dest.add(n - 1) = byte;
            }
            0 => {}
        }
    }
}

/// Returns the difference of the first two bytes that differ, or 0.
///
/// # Safety
///
/// `a` and `b` are valid for reads of `n` initialized bytes.
pub unsafe fn compare(a: *const u8, b: *const u8, n: usize) -> i32 {
    let mut i = 0;
    // SAFETY: words are read where all eight bytes lie below `n`, single bytes below `n`.
    unsafe {
        while i + 8 <= n && word_at(a, i) == word_at(b, i) {
            i += 8;
        }
        while i < n {
            let (x, y) = (*a.add(i), *b.add(i));
            if x != y {
                return i32::from(x) - i32::from(y);
            }
            i += 1;
        }
    }
    0
}

/// Reads the eight bytes at offset `i`.
///
/// # Safety
///
/// `p` is valid for reads of `i + 8` initialized bytes.
#[inline(always)]
unsafe fn word_at(p: *const u8, i: usize) -> u64 {
    // SAFETY: the caller guarantees the bytes, and the read is unaligned.
    unsafe { p.add(i).cast::<u64>().read_unaligned() }
}

/// Counts the bytes before the first zero.
///
/// # Safety
///
/// `text` is valid for reads up to and including a zero byte.
pub unsafe fn length(text: *const u8) -> usize {
    let length: usize;
    // SAFETY: bytes are read up to the zero that the caller guarantees.
    unsafe {
        asm!(
            "2:",
            "inc {n}",
            "cmp byte ptr [{text} + {n}], 0",
            "jne 2b",
            n = inout(reg) usize::MAX => length,
            text = in(reg) text,
            options(nostack, readonly),
        );
    }
    length
}

/// The symbols that compiled code calls.
#[cfg(all(windows, not(test)))]
mod exported {
    use core::ffi::c_int;

    // SAFETY, for all of them: C's rules for these functions, which their callers keep, are the
    // preconditions of the functions above.

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(dest: *mut u8, src: *const u8, n: usize) -> *mut u8 {
        // SAFETY: see above.
        unsafe { super::copy_up(dest, src, n) };
        dest
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(dest: *mut u8, src: *const u8, n: usize) -> *mut u8 {
        // SAFETY: see above.
        unsafe {
            if dest.cast_const() <= src {
                super::copy_up(dest, src, n);
            } else {
                super::copy_down(dest, src, n);
            }
        }
        dest
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(dest: *mut u8, byte: c_int, n: usize) -> *mut u8 {
        // SAFETY: see above.
        unsafe { super::fill(dest, byte as u8, n) };
        dest
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> c_int {
        // SAFETY: see above.
        unsafe { super::compare(a, b, n) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn strlen(text: *const u8) -> usize {
        // SAFETY: see above.
        unsafe { super::length(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn bytes(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 37 + 11) as u8).collect()
    }

    #[test]
    fn copies_any_length_and_nothing_beyond() {
        for n in (0..200).chain([1023, 4096, 65537]) {
            let src = bytes(n);
            for copy in [copy_up, copy_down] {
                let mut dest = vec![0xEE; n + 32];
                // SAFETY: both vectors hold `n` bytes and more.
                unsafe { copy(dest.as_mut_ptr().add(16), src.as_ptr(), n) };
                assert_eq!(dest[16..16 + n], src[..], "{n} bytes");
                assert!(dest[..16].iter().chain(&dest[16 + n..]).all(|&byte| byte == 0xEE));
            }
        }
    }

    /// Run by Miri, which reports an uninitialized byte that is read as an integer.
    #[test]
    fn copies_bytes_that_are_not_initialized() {
        for n in 0..2 * STEP {
            let src = vec![MaybeUninit::<u8>::uninit(); n];
            let mut dest = vec![0_u8; n];
            // SAFETY: both vectors hold `n` bytes.
            unsafe { copy_up(dest.as_mut_ptr(), src.as_ptr().cast(), n) };
        }
    }

    #[test]
    fn copies_between_areas_that_overlap() {
        for n in (0..150).chain([1000]) {
            for shift in [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 100] {
                let before = bytes(n + shift);
                let mut up = before.clone();
                // SAFETY: both areas lie in a vector of n + shift bytes.
                unsafe { copy_up(up.as_mut_ptr(), up.as_ptr().add(shift), n) };
                assert_eq!(up[..n], before[shift..], "{n} bytes down by {shift}");
                let mut down = before.clone();
                // SAFETY: as above.
                unsafe { copy_down(down.as_mut_ptr().add(shift), down.as_ptr(), n) };
                assert_eq!(down[shift..], before[..n], "{n} bytes up by {shift}");
            }
        }
    }

    #[test]
    fn fills_any_length_and_nothing_beyond() {
        for n in (0..200).chain([4099]) {
            let mut dest = vec![0xEE; n + 32];
            // SAFETY: the vector holds n + 32 bytes.
            unsafe { fill(dest.as_mut_ptr().add(16), 0x5A, n) };
            assert!(dest[16..16 + n].iter().all(|&byte| byte == 0x5A), "{n} bytes");
            assert!(dest[..16].iter().chain(&dest[16 + n..]).all(|&byte| byte == 0xEE));
        }
    }

    #[test]
    fn compares_like_slices() {
        for n in 0..70 {
            let a = bytes(n);
            for different in 0..=n {
                let mut b = a.clone();
                if let Some(byte) = b.get_mut(different) {
                    *byte = byte.wrapping_add(200);
                }
                // SAFETY: both vectors hold `n` bytes.
                let order = unsafe { compare(a.as_ptr(), b.as_ptr(), n) };
                assert_eq!(order.cmp(&0), a.cmp(&b), "{n} bytes, {different}");
            }
        }
    }

    #[test]
    fn finds_the_end_of_text() {
        for text in ["", "a", "sixteen letters!", "and some more than those"] {
            let mut bytes = text.as_bytes().to_vec();
            bytes.push(0);
            // SAFETY: the vector ends with a zero.
            assert_eq!(unsafe { length(bytes.as_ptr()) }, text.len());
        }
    }
}
