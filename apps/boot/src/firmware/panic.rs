//! What happens when the program itself is wrong.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use uefi::runtime::{self, ResetType};
use uefi::{Status, boot, system};

/// Says what happened on the firmware's own console (screen and serial line), waits for a key and
/// restarts the machine. Nothing is allocated, and none of our own console is used: it may be what
/// failed.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
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
