//! The panic handler: it shows a bug of the program and restarts the machine.

use super::cores;
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use uefi::runtime::{self, ResetType};
use uefi::{Status, boot, system};

/// Says what happened on the firmware's own console (screen and serial line), waits for a key and
/// restarts the machine. Nothing is allocated, and none of our own console is used: it may be what
/// failed. Other processors than the boot core leave it a note.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    if !cores::on_boot_core() {
        NOTE.leave(format_args!("{info}"));
        cores::stop_this_processor();
    }
    static AGAIN: AtomicBool = AtomicBool::new(false);
    if AGAIN.swap(true, Ordering::Relaxed) {
        reset();
    }
    if super::has_text_output() {
        system::with_stdout(|out| {
            let _ = out.reset(false);
            let _ = write!(out, "\n\nbootllm stopped: {}\n", info.message());
            if let Some(place) = info.location() {
                let _ = writeln!(out, "at {}:{}", place.file(), place.line());
            }
            if let Some(note) = NOTE.read() {
                let _ = writeln!(out, "there: {note}");
            }
            let _ = write!(
                out,
                "This is a mistake in the program; please report these lines.\n\
                 Press a key to restart the machine.\n",
            );
        });
    }
    wait_for_key();
    reset();
}

/// The message of a panic on another processor, which cannot show it.
struct Note {
    taken: AtomicBool,
    text: UnsafeCell<[u8; 512]>,
    /// Bytes of `text` that can be read.
    length: AtomicUsize,
}

static NOTE: Note = Note {
    taken: AtomicBool::new(false),
    text: UnsafeCell::new([0; 512]),
    length: AtomicUsize::new(0),
};

// SAFETY: `text` is written once, by the processor that set `taken`, and read after `length` was
// set, which is done last.
unsafe impl Sync for Note {}

impl Note {
    /// Leaves a text, as much of it as there is room for, unless another processor did.
    fn leave(&self, text: fmt::Arguments<'_>) {
        struct Room<'a>(&'a mut [u8; 512], usize);
        impl Write for Room<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let room = &mut self.0[self.1..];
                let length = text.floor_char_boundary(room.len());
                room[..length].copy_from_slice(&text.as_bytes()[..length]);
                self.1 += length;
                if length < text.len() { Err(fmt::Error) } else { Ok(()) }
            }
        }
        if !self.taken.swap(true, Ordering::Relaxed) {
            // SAFETY: only one processor gets here, once, and no one reads before `length` is set.
            let mut room = Room(unsafe { &mut *self.text.get() }, 0);
            let _ = room.write_fmt(text);
            self.length.store(room.1, Ordering::Release);
        }
    }

    fn read(&self) -> Option<&str> {
        let length = self.length.load(Ordering::Acquire);
        // SAFETY: it is not written any more once there is a length.
        let text = (length > 0).then(|| unsafe { &*self.text.get() })?;
        str::from_utf8(&text[..length]).ok()
    }
}

/// Restarts the machine.
pub fn reset() -> ! {
    runtime::reset(ResetType::COLD, Status::ABORTED, None)
}

fn wait_for_key() {
    if super::has_text_input() {
        let key = system::with_stdin(|keys| {
            let _ = keys.reset(false);
            keys.wait_for_key_event()
        });
        if let Ok(key) = key {
            let events = [key];
            while boot::wait_for_event(&events).is_ok() {
                if system::with_stdin(|keys| keys.read_key()).is_ok_and(|key| key.is_some()) {
                    return;
                }
                // The event was from a key that was read before.
                boot::stall(Duration::from_millis(10));
            }
        }
    }
    // No keyboard: long enough to read, or to take a picture.
    boot::stall(Duration::from_secs(60));
}
