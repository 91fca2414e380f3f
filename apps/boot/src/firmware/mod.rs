//! The part that runs on firmware: entry, platform, and the way out.

#[cfg(all(target_os = "uefi", target_arch = "x86_64"))]
compile_error!(
    "x86_64-unknown-uefi has no hardware floating point: build for x86_64-pc-windows-msvc, which \
     `cargo xtask build` does"
);

mod clock;
mod console;
mod cores;
mod cpu;
mod entropy;
mod heap;
mod machine;
mod panic;
mod protocol;
mod storage;
#[cfg(windows)]
mod symbols;

use crate::core_limit;
use alloc::format;
use bootllm_platform::{Clock, Console};
use bootllm_repl::{Leave, Options, Platform, STORY_PACE};
use clock::TickClock;
use console::FirmwareConsole;
use core::ptr;
use core::time::Duration;
use cores::FirmwareCores;
use entropy::MixedEntropy;
use machine::FirmwareMachine;
use storage::BootStorage;
use uefi::prelude::entry;
use uefi::proto::console::text::Input;
use uefi::runtime::{self, ResetType};
use uefi::{Handle, Status, boot, table};
use uefi_raw::protocol::console::{InputKey, SimpleTextInputProtocol};
use uefi_raw::table::system::SystemTable;

#[entry]
fn main() -> Status {
    let begun = cpu::ticks();
    // The firmware resets the machine five minutes after it started a program, unless told not
    // to. (Codes up to 0xFFFF are its own.)
    let _ = boot::set_watchdog_timer(0, 0x1_0000, None);
    cpu::prepare();

    let clock = TickClock::measure();
    let mut storage = BootStorage::find();
    let mut boot_volume = storage.boot_volume();
    let options = boot_volume.read_text(core_limit::OPTIONS_FILE);
    let marker = boot_volume.remove(core_limit::MARKER_FILE);
    // The console drops the keys from before.
    let limit = core_limit::choose(options.as_deref(), is_held(core_limit::KEY, &clock), marker);
    let mut console = FirmwareConsole::open(&clock);
    let cores = FirmwareCores::wake(clock, limit, &mut boot_volume);
    if let Some(warning) = cores.warning() {
        console.write(&format!("{warning}\n"));
    }
    let mut machine =
        FirmwareMachine::new(boot_volume, &clock, cores.fact().into(), console.facts());
    let story_pace = console.has_screen().then_some(STORY_PACE);
    let platform = Platform {
        console: &mut console,
        storage: &mut storage,
        clock: &clock,
        entropy: &mut MixedEntropy::default(),
        machine: &mut machine,
        cores: cores.cores(),
    };
    // The counter began at reset.
    let firmware_time = Some(clock.at(begun));
    let options = Options { firmware_time, owns_machine: true, story_pace, ..Options::default() };
    match bootllm_repl::run(platform, &options) {
        Leave::PowerOff => runtime::reset(ResetType::SHUTDOWN, Status::SUCCESS, None),
        Leave::Firmware => {
            console.close();
            if !cores.dismiss() {
                // A processor that still runs this program must not find it gone. The machine comes
                // back to the firmware this way, too.
                panic::reset();
            }
            heap::hand_back();
            Status::SUCCESS
        }
    }
}

/// Longest time between two reports of a key that is held: keyboards repeat it 10 to 50 times a
/// second, and the firmware looks at serial lines every 20 ms.
const HELD: Duration = Duration::from_millis(100);

/// Whether a key is held. Other keys are dropped.
fn is_held(key: char, clock: &TickClock) -> bool {
    let Some(device) = console_in() else { return false };
    let next = || {
        protocol::with::<Input, _>(device, |keys| {
            // Some firmware waits in a read for a key that it has not announced.
            let event = keys.wait_for_key_event().ok()?;
            boot::check_event(&event).ok().filter(|&pressed| pressed)?;
            let keys = ptr::from_mut(keys).cast::<SimpleTextInputProtocol>();
            let mut data = InputKey::default();
            // SAFETY: `Input` is a transparent wrapper of the protocol, which the firmware gave;
            // `data` is ours to write.
            let status = unsafe { ((*keys).read_key_stroke)(keys, &mut data) };
            (status == Status::SUCCESS).then_some(data.unicode_char)
        })
    };
    let deadline = clock.now() + HELD;
    while clock.now() < deadline {
        match next() {
            Ok(Some(unit)) if u32::from(unit) == u32::from(key) => return true,
            Ok(Some(_)) => {}
            Ok(None) => boot::stall(Duration::from_millis(5)),
            Err(_) => return false,
        }
    }
    false
}

/// The system table, which the firmware passes to the program.
fn system_table() -> Option<&'static SystemTable> {
    // SAFETY: the firmware keeps the table for the life of the program, and all it changes in it
    // while boot services are on is the list of configuration tables, which is not looked at here.
    table::system_table_raw().map(|table| unsafe { table.as_ref() })
}

/// The firmware's console input.
fn console_in() -> Option<Handle> {
    // SAFETY: what is called a handle there is one, or null.
    unsafe { Handle::from_ptr(system_table()?.stdin_handle) }
}

/// The firmware's console output.
fn console_out() -> Option<Handle> {
    // SAFETY: as above.
    unsafe { Handle::from_ptr(system_table()?.stdout_handle) }
}

/// Whether the firmware has a text console at all.
fn has_text_output() -> bool {
    system_table().is_some_and(|table| !table.stdout.is_null())
}

/// Whether the firmware reads keys at all.
fn has_text_input() -> bool {
    system_table().is_some_and(|table| !table.stdin.is_null())
}
