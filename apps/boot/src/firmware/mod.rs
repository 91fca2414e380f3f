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

use bootllm_repl::{Leave, Platform, Start};
use clock::TickClock;
use console::FirmwareConsole;
use cores::FirmwareCores;
use entropy::MixedEntropy;
use machine::FirmwareMachine;
use storage::BootStorage;
use uefi::prelude::entry;
use uefi::runtime::{self, ResetType};
use uefi::{Handle, Status, boot, table};
use uefi_raw::table::system::SystemTable;

#[entry]
fn main() -> Status {
    let begun = cpu::ticks();
    // The firmware resets the machine five minutes after it started a program, unless told not
    // to. (Codes up to 0xFFFF are its own.)
    let _ = boot::set_watchdog_timer(0, 0x1_0000, None);
    cpu::prepare();

    let clock = TickClock::measure();
    let mut console = FirmwareConsole::open(&clock);
    let mut storage = BootStorage::find();
    let cores = FirmwareCores::find(clock);
    let mut machine =
        FirmwareMachine::new(storage.boot_volume(), &clock, cores.fact().into(), console.facts());
    let platform = Platform {
        console: &mut console,
        storage: &mut storage,
        clock: &clock,
        entropy: &mut MixedEntropy::default(),
        machine: &mut machine,
        cores: cores.cores(),
    };
    // The counter began at reset.
    let start = Start { firmware_time: Some(clock.at(begun)), ..Start::default() };
    match bootllm_repl::run(platform, &start) {
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

/// What the firmware gave the program to begin with.
fn system_table() -> Option<&'static SystemTable> {
    // SAFETY: the firmware keeps the table for the life of the program, and all it changes in it
    // while boot services are on is the list of configuration tables, which is not looked at here.
    table::system_table_raw().map(|table| unsafe { table.as_ref() })
}

/// The device that keys come from.
fn console_in() -> Option<Handle> {
    // SAFETY: what is called a handle there is one, or null.
    unsafe { Handle::from_ptr(system_table()?.stdin_handle) }
}

/// The device that the firmware shows text on.
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
