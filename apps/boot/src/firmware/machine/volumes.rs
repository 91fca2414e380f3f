//! Volumes.

use crate::firmware::protocol;
use crate::{boot_sector, words};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::Fact;
use bootllm_units as units;
use uefi::Handle;
use uefi::mem::AlignedBuffer;
use uefi::proto::media::block::BlockIO;
use uefi::proto::media::file::{File, FileSystemInfo};
use uefi::proto::media::fs::SimpleFileSystem;

/// One fact for each volume with files, the one that the program was started from first.
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
    let kind = first_bytes(device).and_then(|bytes| boot_sector::file_system(bytes.as_slice()));
    let kind = kind.unwrap_or("a file system that the firmware knows");
    let [size, free] = [info.volume_size(), info.free_space()].map(units::bytes);
    Some(format!("{label}, {size}, {free} free, {kind}"))
}

/// The first 4 KiB of a volume, or the first block if that is more.
fn first_bytes(device: Handle) -> Option<AlignedBuffer> {
    protocol::with::<BlockIO, _>(device, |disk| {
        let media = disk.media();
        let block = usize::try_from(media.block_size()).ok().filter(|&block| block > 0)?;
        let (id, align) = (media.media_id(), (media.io_align().max(1) as usize));
        let length = block.checked_mul(4096_usize.div_ceil(block))?;
        let mut buffer = AlignedBuffer::from_size_align(length, align).ok()?;
        disk.read_blocks(id, 0, buffer.as_slice_mut()).ok()?;
        Some(buffer)
    })
    .ok()?
}
