//! Copying, filling and comparing memory: what compiled code expects of a C library.
//!
//! The compiler calls `memcpy` and its siblings for assignments and slices. On Windows they come
//! with Microsoft's C runtime, which is not here, so they are these. Their loops are assembly
//! because the compiler would recognise a loop in Rust for what it is and replace it by a call of
//! the very function it stands in.
//!
//! Ends are moved as two pieces that may overlap: 23 bytes are the first 16 and the last 16.

use core::arch::asm;
use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_set1_epi8, _mm_storeu_si128};

/// Bytes in a register.
const STEP: usize = 16;

/// Copies `n` bytes upwards. Right where the areas do not overlap, or `dest` is below `src`.
///
/// # Safety
///
/// `src` can be read and `dest` be written for `n` bytes.
pub unsafe fn copy_up(dest: *mut u8, src: *const u8, n: usize) {
    if n < 2 * STEP {
        // SAFETY: the caller's promise, unchanged.
        return unsafe { copy_short(dest, src, n) };
    }
    // SAFETY: the loop moves 16 bytes at offsets below n - 16, the tail ends at n, so all of it
    // lies in the areas that the caller vouches for.
    unsafe {
        // Read before the loop, which may overwrite it.
        let tail = _mm_loadu_si128(src.add(n - STEP).cast());
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
        _mm_storeu_si128(dest.add(n - STEP).cast(), tail);
    }
}

/// Copies `n` bytes downwards. Right where `dest` is above `src`.
///
/// # Safety
///
/// `src` can be read and `dest` be written for `n` bytes.
pub unsafe fn copy_down(dest: *mut u8, src: *const u8, n: usize) {
    if n < 2 * STEP {
        // SAFETY: the caller's promise, unchanged.
        return unsafe { copy_short(dest, src, n) };
    }
    // SAFETY: the loop moves 16 bytes that end at offsets above 16, the head is the first 16
    // bytes, so all of it lies in the areas that the caller vouches for.
    unsafe {
        // Read before the loop, which may overwrite it.
        let head = _mm_loadu_si128(src.cast());
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
        _mm_storeu_si128(dest.cast(), head);
    }
}

/// Copies fewer than 32 bytes between areas that may overlap.
///
/// # Safety
///
/// `src` can be read and `dest` be written for `n` bytes, and `n` is below 32.
unsafe fn copy_short(dest: *mut u8, src: *const u8, n: usize) {
    /// Moves the first and the last `T` of `n` bytes; both are read before one is written.
    ///
    /// # Safety
    ///
    /// `n` is at least the size of a `T`, at most twice that, and the areas are `n` bytes.
    #[inline(always)]
    unsafe fn ends<T>(dest: *mut u8, src: *const u8, n: usize) {
        // SAFETY: both pieces lie within `n` bytes; no alignment is asked for.
        unsafe {
            let last = n - size_of::<T>();
            let first_piece = src.cast::<T>().read_unaligned();
            let last_piece = src.add(last).cast::<T>().read_unaligned();
            dest.cast::<T>().write_unaligned(first_piece);
            dest.add(last).cast::<T>().write_unaligned(last_piece);
        }
    }
    // SAFETY: each arm takes the type whose size and twice that enclose `n`.
    unsafe {
        match n {
            16.. => ends::<__m128i>(dest, src, n),
            8.. => ends::<u64>(dest, src, n),
            4.. => ends::<u32>(dest, src, n),
            2.. => ends::<u16>(dest, src, n),
            1 => *dest = *src,
            0 => {}
        }
    }
}

/// Fills `n` bytes.
///
/// # Safety
///
/// `dest` can be written for `n` bytes.
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

/// The difference of the first two bytes that differ, or 0.
///
/// # Safety
///
/// `a` and `b` can be read for `n` bytes.
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

/// Eight bytes.
///
/// # Safety
///
/// `p` can be read for `i + 8` bytes.
#[inline(always)]
unsafe fn word_at(p: *const u8, i: usize) -> u64 {
    // SAFETY: the caller's promise, unchanged.
    unsafe { p.add(i).cast::<u64>().read_unaligned() }
}

/// How many bytes come before the first zero.
///
/// # Safety
///
/// `text` can be read up to and including a zero byte.
pub unsafe fn length(text: *const u8) -> usize {
    let length: usize;
    // SAFETY: bytes are read up to the zero that the caller vouches for.
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

/// The names that compiled code calls.
#[cfg(all(windows, not(test)))]
mod exported {
    use core::ffi::c_int;

    // SAFETY, for all of them: the compiler, who calls them, keeps C's rules for these functions,
    // which are the promises asked for above.

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
