//! Keys, from all keyboards and serial lines that the firmware reads.

use crate::firmware::clock::TickClock;
use crate::firmware::{console_in, protocol};
use alloc::vec::Vec;
use bootllm_platform::{Clock, Input};
use bootllm_terminal::{KeyDecoder, Modifiers};
use core::ptr;
use core::time::Duration;
use uefi::boot::{self, EventType, TimerTrigger, Tpl};
use uefi::proto::console::text;
use uefi::proto::device_path::{DeviceSubType, DeviceType};
use uefi::{Event, Handle, Status};
use uefi_raw::protocol::console::{
    InputKey, KeyData, SimpleTextInputExProtocol, SimpleTextInputProtocol,
};

/// How long after a byte the next one of the same sequence may come. The firmware looks at a
/// serial line every 20 ms (edk2's TerminalDxe).
const SEQUENCE_GAP: Duration = Duration::from_millis(50);
/// How long to sleep where there is no event to wait for.
const NAP: Duration = Duration::from_millis(10);
/// Wake-ups without a key before the firmware's events are not trusted any more.
const FALSE_ALARMS: u32 = 16;

/// The firmware's keyboards and serial terminals.
pub struct Keyboard {
    /// Serial terminals. They are read one by one because the console input, which merges all
    /// devices, hides which of them a key is from, and it matters: they send characters byte by
    /// byte, and the firmware makes a Delete key of their Backspace.
    serial: Vec<Handle>,
    /// The console input: what the firmware merges of all devices.
    merged: Option<Handle>,
    timer: Option<Event>,
    decoder: KeyDecoder,
    /// When the last key came from the firmware.
    last: Duration,
}

impl Keyboard {
    /// Finds the devices. Keys that were pressed before are dropped: they were meant for the
    /// firmware, to choose what to start.
    pub fn open() -> Self {
        let uart = (DeviceType::MESSAGING, DeviceSubType::MESSAGING_UART);
        let mut serial = protocol::devices::<text::InputEx>();
        serial.retain(|&device| protocol::path_contains(device, uart));
        // SAFETY: the event has no function that the firmware would call.
        let timer = unsafe { boot::create_event(EventType::TIMER, Tpl::APPLICATION, None, None) };
        let mut keyboard = Self {
            serial,
            merged: console_in(),
            timer: timer.ok(),
            decoder: KeyDecoder::new(),
            last: Duration::ZERO,
        };
        keyboard.take_all();
        keyboard.decoder = KeyDecoder::new();
        keyboard
    }

    /// The next key, for which it waits asleep; see `Console::read_key`.
    pub fn read(&mut self, wait: Option<Duration>, clock: &TickClock) -> Input {
        if self.serial.is_empty() && self.merged.is_none() {
            return Input::Closed;
        }
        let deadline = wait.map(|wait| clock.now().saturating_add(wait));
        let mut false_alarms = 0;
        loop {
            if self.take_all() {
                self.last = clock.now();
                false_alarms = 0;
            }
            let now = clock.now();
            let sequence_end = self.last + SEQUENCE_GAP;
            if self.decoder.is_pending() && now >= sequence_end {
                self.decoder.flush();
            }
            if let Some(key) = self.decoder.next_key() {
                return Input::Key(key);
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Input::Nothing;
            }
            let until = match (deadline, self.decoder.is_pending()) {
                (Some(deadline), true) => Some(deadline.min(sequence_end)),
                (None, true) => Some(sequence_end),
                (deadline, false) => deadline,
            };
            let longest = until.map(|until| until.saturating_sub(now));
            // Some firmware announces keys that then are none (Shift alone). Should it do so
            // without end, its events are no use to sleep on.
            if false_alarms < FALSE_ALARMS && self.sleep(longest) {
                false_alarms += 1;
            } else if false_alarms == FALSE_ALARMS {
                self.nap(longest);
            }
        }
    }

    /// Hands to the decoder all keys that the firmware has. False if it has none.
    fn take_all(&mut self) -> bool {
        let mut any = false;
        for &device in &self.serial {
            while let Some(data) = read_key(device) {
                push(&mut self.decoder, data.key, Modifiers::default());
                any = true;
            }
        }
        while let Some(data) = self.merged.and_then(read_key) {
            let modifiers = Modifiers::from_uefi(data.key_state.key_shift_state.bits());
            // It may be from a serial line after all, one that is not known here.
            let maybe_byte = matches!(data.key.unicode_char, 0x80..=0xFF);
            let modifiers = if maybe_byte { Modifiers::default() } else { modifiers };
            push(&mut self.decoder, data.key, modifiers);
            any = true;
        }
        any
    }

    /// Sleeps until a key comes or the time is over. True if it was woken for a key.
    fn sleep(&self, longest: Option<Duration>) -> bool {
        let devices = self.merged.iter().chain(&self.serial);
        let mut events: Vec<Event> = devices.filter_map(|&device| key_event(device)).collect();
        let keys = events.len();
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
        match woken_by {
            Some(index) => index < keys,
            None => {
                self.nap(longest);
                false
            }
        }
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

fn push(decoder: &mut KeyDecoder, key: InputKey, modifiers: Modifiers) {
    match key {
        // Shift or another such key alone.
        InputKey { scan_code: 0, unicode_char: 0 } => {}
        InputKey { scan_code: 0, unicode_char } => decoder.push_char(unicode_char, modifiers),
        InputKey { scan_code, .. } => decoder.push_scan(scan_code, modifiers),
    }
}

fn set_timer(timer: &Event, after: Duration) -> bool {
    boot::set_timer(timer, TimerTrigger::Relative(after)).is_ok()
}

/// The event of a key of a device.
fn key_event(device: Handle) -> Option<Event> {
    protocol::with::<text::InputEx, _>(device, |keys| keys.wait_for_key_event())
        .or_else(|_| protocol::with::<text::Input, _>(device, |keys| keys.wait_for_key_event()))
        .ok()?
        .ok()
}

/// The next key of a device, with modifiers if it tells them.
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
