//! Facts about the machine, for `/diag`.

mod memory;
mod volumes;

use super::clock::TickClock;
use super::cpu;
use super::storage::Volume;
use crate::words;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{Fact, Machine};
use memory::Memory;
use uefi::runtime::{self, VariableVendor};
use uefi::{cstr16, system};

/// The machine as its firmware describes it.
pub struct FirmwareMachine {
    boot_volume: Volume,
    cores: String,
    /// Facts that do not change while the program runs.
    fixed: Vec<Fact>,
}

impl FirmwareMachine {
    /// Asks the firmware nothing yet; `others` are facts of the other parts, shown last.
    pub fn new(boot_volume: Volume, clock: &TickClock, cores: String, others: Vec<Fact>) -> Self {
        let mut fixed = others;
        fixed.push(clock.fact());
        Self { boot_volume, cores, fixed }
    }
}

impl Machine for FirmwareMachine {
    fn memory_free(&self) -> u64 {
        Memory::now().free
    }

    fn memory_total(&self) -> u64 {
        Memory::now().total
    }

    fn facts(&mut self) -> Vec<Fact> {
        let mut facts = Vec::from([
            Fact { label: "firmware", value: firmware() },
            Fact { label: "Secure Boot", value: secure_boot().into() },
        ]);
        facts.extend(cpu::facts());
        facts.push(Fact { label: "cores", value: self.cores.clone() });
        facts.push(Fact { label: "memory", value: Memory::now().in_words() });
        facts.extend(volumes::facts(self.boot_volume.device()));
        facts.extend(self.fixed.iter().cloned());
        facts
    }
}

fn firmware() -> String {
    let vendor = words::utf16(system::firmware_vendor().to_u16_slice());
    let revision = system::firmware_revision();
    let (major, minor) = (revision >> 16, revision & 0xFFFF);
    format!("{vendor} {major}.{minor}, UEFI {}", system::uefi_revision())
}

fn secure_boot() -> &'static str {
    let set = |name| {
        let mut value = [0; 4];
        runtime::get_variable(name, &VariableVendor::GLOBAL_VARIABLE, &mut value)
            .is_ok_and(|(value, _)| value == [1])
    };
    match (set(cstr16!("SecureBoot")), set(cstr16!("SetupMode"))) {
        (true, _) => "on",
        (false, true) => "off (no keys are enrolled)",
        (false, false) => "off",
    }
}
