//! Protocols of the firmware's drivers.

use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams};
use uefi::proto::ProtocolPointer;
use uefi::proto::device_path::{DevicePath, DeviceSubType, DeviceType};
use uefi::{Handle, Result, Status};

/// Uses a protocol of a device.
///
/// It is looked up anew for every use, which takes some microseconds: a device that was pulled out
/// is an error then, not a dangling pointer. It is opened beside the firmware's own drivers,
/// because opening it for us alone would stop those (the text console of a screen, the terminal
/// of a serial port).
pub fn with<P, R>(handle: Handle, use_it: impl FnOnce(&mut P) -> R) -> Result<R>
where
    P: ProtocolPointer + ?Sized,
{
    let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    // SAFETY: the firmware checks the handle and gives a protocol that is installed now. The
    // reference does not outlive this call, so the caller cannot keep it; and while `use_it` runs
    // nothing else in this program has another, because only the boot core comes here and `use_it`
    // closures do not open what they were given.
    let mut protocol =
        unsafe { boot::open_protocol::<P>(params, OpenProtocolAttributes::GetProtocol)? };
    let protocol = protocol.get_mut().ok_or(Status::UNSUPPORTED)?;
    Ok(use_it(protocol))
}

/// Whether a device has a protocol.
pub fn has<P: ProtocolPointer + ?Sized>(handle: Handle) -> bool {
    with::<P, ()>(handle, |_| ()).is_ok()
}

/// Whether the path to a device leads through a node of this type.
pub fn leads_through(device: Handle, node: (DeviceType, DeviceSubType)) -> bool {
    with::<DevicePath, _>(device, |path| path.node_iter().any(|other| other.full_type() == node))
        .unwrap_or(false)
}

/// All devices that have a protocol.
pub fn devices<P: ProtocolPointer + ?Sized>() -> alloc::vec::Vec<Handle> {
    boot::find_handles::<P>().unwrap_or_default()
}

/// The first device that has a protocol.
pub fn first_device<P: ProtocolPointer + ?Sized>() -> Option<Handle> {
    boot::get_handle_for_protocol::<P>().ok()
}

/// What a status means, in a few words.
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
