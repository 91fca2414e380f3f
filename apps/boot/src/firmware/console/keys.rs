//! Keys, from all keyboards and serial lines that the firmware reads.
//!
//! Waiting is done on the plain protocol's `WaitForKey`: `WaitForKeyEx` is a garbage pointer on some
//! PCs. Reading is done with the extended one where there is one, for its modifiers, and only after
//! the event was signalled: some firmware freezes otherwise.

use crate::firmware::clock::TickClock;
use crate::firmware::{console_in, protocol};
use crate::uefi_keys::{self, Modifiers};
use alloc::vec::Vec;
use bootllm_platform::{Clock, Event, Size};
use bootllm_terminal::KeyDecoder;
use core::ptr;
use core::time::Duration;
use uefi::boot::{self, EventType, TimerTrigger, Tpl};
use uefi::proto::console::text;
use uefi::proto::device_path::{DeviceSubType, DeviceType};
use uefi::{Event as UefiEvent, Handle, Status};
use uefi_raw::protocol::console::{KeyData, SimpleTextInputExProtocol, SimpleTextInputProtocol};

/// The next byte of a sequence comes within this time. The firmware looks at a serial line every
/// 20 ms (edk2's TerminalDxe).
const SEQUENCE_GAP: Duration = Duration::from_millis(50);
/// The time to sleep where there is no event to wait for.
const NAP: Duration = Duration::from_millis(10);
/// Wake-ups without a key before the firmware's events are not trusted any more.
const FALSE_ALARMS: u32 = 16;

/// The firmware's keyboards and serial terminals.
pub struct Keyboard {
    devices: Vec<Device>,
    timer: Option<UefiEvent>,
    decoder: KeyDecoder,
    /// When the last key came from the firmware.
    last: Duration,
    /// Whether a key came from a serial line.
    serial_used: bool,
    /// The size that a serial terminal reported.
    terminal_size: Option<Size>,
}

/// A device that keys come from.
#[derive(Clone, Copy)]
struct Device {
    handle: Handle,
    /// Serial terminals are read one by one because the console input, which merges all devices,
    /// hides which of them a key is from, and it matters: they send characters byte by byte, and the
    /// firmware makes a Delete key of their Backspace.
    is_serial: bool,
}

impl Keyboard {
    /// Finds the devices. Keys that were pressed before are dropped: they were meant for the
    /// firmware, to choose what to start.
    pub fn open() -> Self {
        let uart = (DeviceType::MESSAGING, DeviceSubType::MESSAGING_UART);
        let mut serial = protocol::devices::<text::InputEx>();
        serial.retain(|&device| protocol::path_contains(device, uart));
        let serial = serial.into_iter().map(|handle| Device { handle, is_serial: true });
        let merged = console_in().map(|handle| Device { handle, is_serial: false });
        // SAFETY: the event has no function that the firmware would call.
        let timer = unsafe { boot::create_event(EventType::TIMER, Tpl::APPLICATION, None, None) };
        let mut keyboard = Self {
            // The console input comes last: it would take the keys of the others.
            devices: serial.chain(merged).collect(),
            timer: timer.ok(),
            decoder: KeyDecoder::new(),
            last: Duration::ZERO,
            serial_used: false,
            terminal_size: None,
        };
        keyboard.take_all();
        (keyboard.decoder, keyboard.serial_used) = (KeyDecoder::new(), false);
        keyboard
    }

    /// The size of the serial terminal if a user sits at one: the one it reported, or else
    /// `assumed` if keys came from it.
    pub fn terminal_in_use(&self, assumed: Size) -> Option<Size> {
        self.terminal_size.or(self.serial_used.then_some(assumed))
    }

    /// Returns the next event; see `Events::next`.
    pub fn next(&mut self, wait: Option<Duration>, clock: &TickClock) -> Event {
        if self.devices.is_empty() {
            return Event::Closed;
        }
        let deadline = wait.map(|wait| clock.now().saturating_add(wait));
        let mut false_alarms = 0;
        let mut any = self.take_all();
        loop {
            let now = clock.now();
            if any {
                (self.last, false_alarms) = (now, 0);
                self.terminal_size = self.decoder.take_size().or(self.terminal_size);
            }
            let sequence_end = self.last + SEQUENCE_GAP;
            if self.decoder.is_pending() && now >= sequence_end {
                self.decoder.flush();
            }
            if let Some(key) = self.decoder.next_key() {
                return Event::Key(key);
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Event::Timeout;
            }
            let until = match (deadline, self.decoder.is_pending()) {
                (Some(deadline), true) => Some(deadline.min(sequence_end)),
                (None, true) => Some(sequence_end),
                (deadline, false) => deadline,
            };
            let longest = until.map(|until| until.saturating_sub(now));
            // Some firmware announces keys that then are none (Shift alone). Should it do so
            // without end, its events are no use to sleep on.
            let woken_by = if false_alarms < FALSE_ALARMS {
                self.sleep(longest)
            } else {
                self.nap(longest);
                None
            };
            // Waiting has reset the event of this device, so it is not asked again.
            let woken = woken_by.is_some_and(|device| self.take(device));
            any = self.take_all() || woken;
            if woken_by.is_some() && !any {
                false_alarms += 1;
            }
        }
    }

    /// Hands all keys that the firmware announces to the decoder. False if there are none.
    fn take_all(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.devices.len() {
            let device = self.devices[at];
            let announced = || {
                let event = key_event(device.handle)?;
                boot::check_event(&event).ok()
            };
            while announced() == Some(true) && self.take(device) {
                any = true;
            }
        }
        any
    }

    /// Hands the next key of a device to the decoder; its event must have been signalled. False if
    /// there is none.
    fn take(&mut self, device: Device) -> bool {
        let Some(data) = read_key(device.handle) else { return false };
        let (scan, unit) = (data.key.scan_code, data.key.unicode_char);
        let modifiers = Modifiers::from_key_shift_state(data.key_state.key_shift_state.bits());
        // The console input may merge a serial line that is not known here.
        let maybe_byte = matches!(unit, 0x80..=0xFF);
        let modifiers =
            if device.is_serial || maybe_byte { Modifiers::default() } else { modifiers };
        uefi_keys::push(&mut self.decoder, scan, unit, modifiers);
        self.serial_used |= device.is_serial;
        true
    }

    /// Sleeps until a key comes or the time is over. Returns the device that has a key.
    fn sleep(&self, longest: Option<Duration>) -> Option<Device> {
        let announcing = |&device: &Device| Some((device, key_event(device.handle)?));
        let (devices, mut events): (Vec<Device>, Vec<UefiEvent>) =
            self.devices.iter().filter_map(announcing).unzip();
        match (longest, &self.timer) {
            (None, _) => {}
            (Some(longest), Some(timer)) if set_timer(timer, longest) => {
                // SAFETY: the timer is never closed.
                events.push(unsafe { timer.unsafe_clone() });
            }
            // There is nothing that would end the sleep in time.
            _ => events.clear(),
        }
        let woken_by = if events.is_empty() { None } else { boot::wait_for_event(&events).ok() };
        if woken_by.is_none() {
            self.nap(longest);
        }
        devices.get(woken_by?).copied()
    }

    /// Sleeps for a moment whatever comes.
    fn nap(&self, longest: Option<Duration>) {
        let nap = longest.unwrap_or(NAP).min(NAP);
        if let Some(timer) = &self.timer
            && set_timer(timer, nap)
        {
            // SAFETY: the timer is never closed.
            let timer = unsafe { timer.unsafe_clone() };
            if boot::wait_for_event(&[timer]).is_ok() {
                return;
            }
        }
        boot::stall(nap);
    }
}

fn set_timer(timer: &UefiEvent, after: Duration) -> bool {
    boot::set_timer(timer, TimerTrigger::Relative(after)).is_ok()
}

/// The event that announces a key of a device.
fn key_event(device: Handle) -> Option<UefiEvent> {
    protocol::with::<text::Input, _>(device, |keys| keys.wait_for_key_event())
        .or_else(|_| protocol::with::<text::InputEx, _>(device, |keys| keys.wait_for_key_event()))
        .ok()?
        .ok()
}

/// Reads the next key of a device, with modifiers if it reports them.
fn read_key(device: Handle) -> Option<KeyData> {
    read_with_modifiers(device).unwrap_or_else(|_| read_plain(device).ok().flatten())
}

// Both are called by hand: the `uefi` crate's way panics at a character that is a half of a
// UTF-16 pair, and which characters come is up to whoever sends them.

fn read_with_modifiers(device: Handle) -> uefi::Result<Option<KeyData>> {
    protocol::with::<text::InputEx, _>(device, |keys| {
        let keys = ptr::from_mut(keys).cast::<SimpleTextInputExProtocol>();
        let mut data = KeyData::default();
        // SAFETY: `InputEx` is a transparent wrapper of the protocol, which the firmware gave;
        // `data` is ours to write.
        let status = unsafe { ((*keys).read_key_stroke_ex)(keys, &mut data) };
        (status == Status::SUCCESS).then_some(data)
    })
}

fn read_plain(device: Handle) -> uefi::Result<Option<KeyData>> {
    protocol::with::<text::Input, _>(device, |keys| {
        let keys = ptr::from_mut(keys).cast::<SimpleTextInputProtocol>();
        let mut data = KeyData::default();
        // SAFETY: `Input` is a transparent wrapper of the protocol, which the firmware gave;
        // `data.key` is ours to write.
        let status = unsafe { ((*keys).read_key_stroke)(keys, &mut data.key) };
        (status == Status::SUCCESS).then_some(data)
    })
}
