//! Protocols of the firmware's drivers.

use super::cores;
use core::sync::atomic::{AtomicBool, Ordering};
use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams, SearchType};
use uefi::proto::ProtocolPointer;
use uefi::proto::device_path::{DevicePath, DeviceSubType, DeviceType};
use uefi::{Handle, Result, Status};

/// Whether a `use_it` of [`with`] is running.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Calls `use_it` with a protocol of a device.
///
/// The protocol is looked up for every use, which takes some microseconds: then a device that was
/// unplugged is an error, not a dangling pointer. It is opened beside the firmware's own drivers,
/// because an exclusive open would stop those (the text console of a screen, the terminal of a
/// serial port).
///
/// # Errors
/// `ACCESS_DENIED` on any processor but the boot core, which alone may call the firmware;
/// `ALREADY_STARTED` inside another `use_it`; else what the firmware answers.
pub fn with<P, R>(handle: Handle, use_it: impl FnOnce(&mut P) -> R) -> Result<R>
where
    P: ProtocolPointer + ?Sized,
{
    /// Ends the use, also if it panics.
    struct InUse;
    impl Drop for InUse {
        fn drop(&mut self) {
            IN_USE.store(false, Ordering::Release);
        }
    }
    if !cores::on_boot_core() {
        return Err(Status::ACCESS_DENIED.into());
    }
    if IN_USE.swap(true, Ordering::Acquire) {
        return Err(Status::ALREADY_STARTED.into());
    }
    let _in_use = InUse;
    let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    // SAFETY: the firmware checks the handle and returns a protocol that is installed now. The
    // reference is unique and ends with this call: `use_it` cannot return it, for its type says
    // nothing of how long `P` lives, and `IN_USE` lets no second use begin before it ends.
    let mut protocol =
        unsafe { boot::open_protocol::<P>(params, OpenProtocolAttributes::GetProtocol)? };
    let protocol = protocol.get_mut().ok_or(Status::UNSUPPORTED)?;
    Ok(use_it(protocol))
}

/// Whether a device has a protocol.
pub fn has<P: ProtocolPointer + ?Sized>(handle: Handle) -> bool {
    with::<P, ()>(handle, |_| ()).is_ok()
}

/// Whether the device path of a device has a node of this type.
pub fn path_contains(device: Handle, node: (DeviceType, DeviceSubType)) -> bool {
    with::<DevicePath, _>(device, |path| path.node_iter().any(|other| other.full_type() == node))
        .unwrap_or(false)
}

/// Returns all devices that have a protocol.
pub fn devices<P: ProtocolPointer + ?Sized>() -> alloc::vec::Vec<Handle> {
    boot::find_handles::<P>().unwrap_or_default()
}

/// Returns the first device that has a protocol.
pub fn first_device<P: ProtocolPointer + ?Sized>() -> Option<Handle> {
    boot::get_handle_for_protocol::<P>().ok()
}

/// Has the firmware start its drivers for all devices.
///
/// Firmware that was told to boot fast, or that boots one entry of its list, connects only the
/// devices on the way there. Statuses are ignored: some firmware returns garbage. This must be
/// called outside of the firmware's own callbacks, as everything in this program is: some hangs
/// otherwise.
pub fn connect_all() {
    for device in
        boot::locate_handle_buffer(SearchType::AllHandles).iter().flat_map(|all| all.iter())
    {
        let _ = boot::connect_controller(*device, &[], None, true);
    }
}

/// Explains a status in a few words.
pub fn reason(status: Status) -> &'static str {
    match status {
        Status::NO_MEDIA => "there is no disk in the drive",
        Status::MEDIA_CHANGED => "the disk was pulled out or changed",
        Status::DEVICE_ERROR => "the device failed",
        Status::VOLUME_CORRUPTED => "its file system is damaged",
        Status::NOT_FOUND => "it was not found",
        Status::INVALID_PARAMETER | Status::UNSUPPORTED => "the device is gone",
        Status::ACCESS_DENIED => "the firmware denies access",
        Status::OUT_OF_RESOURCES => "the firmware ran out of memory",
        Status::TIMEOUT => "the device does not answer",
        Status::NOT_READY => "the device is not ready",
        Status::CRC_ERROR => "its data is damaged",
        _ => "the firmware gave an error",
    }
}
