//! The part that runs on firmware: entry, platform, and the way out.

mod clock;
mod console;
mod cpu;
mod entropy;
mod heap;
mod machine;
mod panic;
mod protocol;
mod storage;
#[cfg(windows)]
mod symbols;

use bootllm_cores::OneCore;
use bootllm_repl::{Leave, Platform, Start};
use clock::TickClock;
use console::FirmwareConsole;
use entropy::MixedEntropy;
use machine::FirmwareMachine;
use storage::BootStorage;
use uefi::prelude::entry;
use uefi::runtime::{self, ResetType};
use uefi::{Handle, Status, boot, table};

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
    let mut machine = FirmwareMachine::new(storage.device(), &clock, console.facts());
    let platform = Platform {
        console: &mut console,
        storage: &mut storage,
        clock: &clock,
        entropy: &mut MixedEntropy::default(),
        machine: &mut machine,
        cores: &OneCore,
    };
    // The counter began at reset.
    let start = Start { firmware_time: Some(clock.at(begun)) };
    match bootllm_repl::run(platform, &start) {
        Leave::PowerOff => runtime::reset(ResetType::SHUTDOWN, Status::SUCCESS, None),
        Leave::Firmware => {
            console.close();
            heap::hand_back();
            Status::SUCCESS
        }
    }
}

/// The device that keys come from.
fn console_in() -> Option<Handle> {
    let table = table::system_table_raw()?;
    // SAFETY: the firmware gave the system table for the life of the program, and its handles are
    // handles or null.
    unsafe { Handle::from_ptr(table.as_ref().stdin_handle) }
}

/// The device that the firmware shows text on.
fn console_out() -> Option<Handle> {
    let table = table::system_table_raw()?;
    // SAFETY: as above.
    unsafe { Handle::from_ptr(table.as_ref().stdout_handle) }
}

/// Whether the firmware has a text console at all.
fn has_text_output() -> bool {
    // SAFETY: as above.
    table::system_table_raw().is_some_and(|table| unsafe { !table.as_ref().stdout.is_null() })
}

/// Whether the firmware reads keys at all.
fn has_text_input() -> bool {
    // SAFETY: as above.
    table::system_table_raw().is_some_and(|table| unsafe { !table.as_ref().stdin.is_null() })
}
