//! Memory.

use crate::firmware::heap;
use crate::free_list::PAGE;
use alloc::format;
use alloc::string::String;
use bootllm_units as units;
use uefi::boot::{self, MemoryType};
use uefi::mem::memory_map::MemoryMap;

/// The machine's memory, in bytes.
#[derive(Default)]
pub struct Memory {
    /// All RAM.
    pub total: u64,
    /// Bytes that can still be allocated.
    pub free: u64,
    /// The largest block that can be allocated.
    pub largest: u64,
}

impl Memory {
    /// Reads the firmware's memory map; zeros if there is none. Some maps have entries of length 0.
    pub fn now() -> Self {
        let (kept, largest_kept) = heap::kept();
        let mut memory = Self { total: 0, free: kept, largest: largest_kept };
        let Ok(map) = boot::memory_map(MemoryType::LOADER_DATA) else { return memory };
        for area in map.entries() {
            let bytes = area.page_count.saturating_mul(PAGE as u64);
            if is_ram(area.ty) {
                memory.total = memory.total.saturating_add(bytes);
            }
            if area.ty == MemoryType::CONVENTIONAL {
                memory.free = memory.free.saturating_add(bytes);
                memory.largest = memory.largest.max(bytes);
            }
        }
        memory
    }

    pub fn in_words(&self) -> String {
        let [total, free, largest] = [self.total, self.free, self.largest].map(units::bytes);
        format!("{total}, {free} free, {largest} of it in one piece")
    }
}

fn is_ram(ty: MemoryType) -> bool {
    [
        MemoryType::CONVENTIONAL,
        MemoryType::LOADER_CODE,
        MemoryType::LOADER_DATA,
        MemoryType::BOOT_SERVICES_CODE,
        MemoryType::BOOT_SERVICES_DATA,
        MemoryType::RUNTIME_SERVICES_CODE,
        MemoryType::RUNTIME_SERVICES_DATA,
        MemoryType::ACPI_RECLAIM,
        MemoryType::ACPI_NON_VOLATILE,
    ]
    .contains(&ty)
}
