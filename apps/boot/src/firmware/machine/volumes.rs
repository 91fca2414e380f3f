//! Volumes.

use crate::firmware::{protocol, storage};
use crate::words;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::Fact;
use bootllm_units as units;
use uefi::Handle;
use uefi::proto::media::file::{File, FileSystemInfo};
use uefi::proto::media::fs::SimpleFileSystem;

/// Returns a fact per volume with files, the boot volume first.
pub fn facts(boot_device: Option<Handle>) -> Vec<Fact> {
    let mut devices = protocol::devices::<SimpleFileSystem>();
    devices.sort_by_key(|device| Some(*device) != boot_device);
    let fact = |device| {
        let mut value = describe(device).unwrap_or_else(|| "cannot be read".into());
        if Some(device) == boot_device {
            value += ", started from here";
        }
        Fact { label: "volume", value }
    };
    devices.into_iter().map(fact).collect()
}

fn describe(device: Handle) -> Option<String> {
    let mut root =
        protocol::with::<SimpleFileSystem, _>(device, |files| files.open_volume()).ok()?.ok()?;
    let info = root.get_boxed_info::<FileSystemInfo>().ok()?;
    let label = words::utf16(info.volume_label().to_u16_slice());
    let label = if label.is_empty() { "without a name" } else { &label };
    let kind = storage::file_system(device).unwrap_or("a file system that the firmware knows");
    let [size, free] = [info.volume_size(), info.free_space()].map(units::bytes);
    Some(format!("{label}, {size}, {free} free, {kind}"))
}
