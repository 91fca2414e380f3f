//! Disks and partitions as blocks, below file systems.

use crate::boot_sector;
use crate::firmware::protocol;
use alloc::format;
use alloc::vec::Vec;
use bootllm_platform::{SkipReason, Skipped};
use bootllm_units as units;
use uefi::Handle;
use uefi::mem::AlignedBuffer;
use uefi::proto::media::block::BlockIO;
use uefi::proto::media::fs::SimpleFileSystem;

/// Names the file system of a disk or partition by what is on it.
pub fn file_system(device: Handle) -> Option<&'static str> {
    boot_sector::file_system(first_bytes(device)?.as_slice())
}

/// Finds the volumes whose file system the firmware cannot read.
pub fn unreadable() -> Vec<Skipped> {
    let mut skipped = Vec::new();
    for device in protocol::devices::<BlockIO>() {
        if protocol::has::<SimpleFileSystem>(device) {
            continue;
        }
        // A FAT volume without a driver is a damaged one, or part of another.
        let foreign = file_system(device).filter(|name| !name.starts_with("FAT"));
        if let Some(file_system) = foreign {
            let name = format!("a volume of {}", units::bytes(size(device)));
            skipped.push(Skipped { name, reason: SkipReason::FileSystem { file_system } });
        }
    }
    skipped
}

/// Bytes of a disk or partition.
fn size(device: Handle) -> u64 {
    let size = protocol::with::<BlockIO, _>(device, |disk| {
        let media = disk.media();
        media.last_block().saturating_add(1).saturating_mul(media.block_size().into())
    });
    size.unwrap_or(0)
}

/// Reads the first 4 KiB, or the first block if that is more.
fn first_bytes(device: Handle) -> Option<AlignedBuffer> {
    protocol::with::<BlockIO, _>(device, |disk| {
        let media = disk.media();
        if !media.is_media_present() {
            return None;
        }
        let block = usize::try_from(media.block_size()).ok().filter(|&block| block > 0)?;
        let (id, align) = (media.media_id(), (media.io_align().max(1) as usize));
        let length = block.checked_mul(4096_usize.div_ceil(block))?;
        let mut buffer = AlignedBuffer::from_size_align(length, align).ok()?;
        disk.read_blocks(id, 0, buffer.as_slice_mut()).ok()?;
        Some(buffer)
    })
    .ok()?
}
