//! Serial lines.

use crate::firmware::clock::TickClock;
use crate::firmware::protocol;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::Clock;
use bootllm_terminal::WordWrap;
use core::mem;
use core::time::Duration;
use uefi::proto::console::serial::{ControlBits, Serial};
use uefi::proto::device_path::{DeviceSubType, DeviceType};
use uefi::{Handle, Status, boot};

/// How long a line may take no byte at all before it counts as dead. A terminal that someone has
/// paused is not: nothing that is written to it may be lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries. A byte takes 0.1 ms at 115200 baud and 1 ms at 9600.
const PAUSE: Duration = Duration::from_micros(200);
/// Bytes in one call. The firmware reads no keys while it writes.
const PIECE: usize = 64;

/// All serial lines that take what is written.
pub struct SerialLines {
    lines: Vec<SerialLine>,
    wrap: WordWrap,
    /// Reused, so that writing allocates nothing once they are large enough.
    wrapped: String,
    bytes: Vec<u8>,
}

impl SerialLines {
    /// Finds them.
    pub fn open() -> Self {
        let lines = protocol::devices::<Serial>().into_iter().map(SerialLine::new).collect();
        let wrap = WordWrap::new(super::SERIAL_SIZE.columns);
        Self { lines, wrap, wrapped: String::new(), bytes: Vec::new() }
    }

    /// Whether there is one.
    pub fn any(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Sets the width of the terminals at the lines.
    pub fn set_columns(&mut self, columns: usize) {
        self.wrap.set_columns(columns);
    }

    /// Sets whether lines break between words.
    pub fn set_word_wrap(&mut self, on: bool) {
        self.wrap.set_on(on);
    }

    /// Asks the terminals for their size.
    pub fn ask_size(&mut self, clock: &TickClock) {
        self.send(bootllm_terminal::SIZE_QUERY, clock);
    }

    /// Writes text in UTF-8. A line that fails or takes nothing is not written to again.
    pub fn write(&mut self, text: &str, clock: &TickClock) {
        let mut wrapped = mem::take(&mut self.wrapped);
        wrapped.clear();
        self.wrap.write(text, &mut wrapped);
        self.send(&wrapped, clock);
        self.wrapped = wrapped;
    }

    fn send(&mut self, text: &str, clock: &TickClock) {
        let Self { lines, bytes, .. } = self;
        bytes.clear();
        // A terminal goes to the first column only when it is told to.
        for part in text.split_inclusive('\n') {
            match part.strip_suffix('\n') {
                Some(line) => {
                    bytes.extend_from_slice(line.as_bytes());
                    bytes.extend_from_slice(b"\r\n");
                }
                None => bytes.extend_from_slice(part.as_bytes()),
            }
        }
        lines.retain(|line| bytes.chunks(PIECE).all(|piece| line.write(piece, clock)));
    }

    /// What lines there are.
    pub fn in_words(&self) -> String {
        let speeds: Vec<String> = self.lines.iter().map(SerialLine::in_words).collect();
        if speeds.is_empty() { "none".into() } else { speeds.join(", ") }
    }
}

/// One line.
struct SerialLine {
    device: Handle,
    /// Whether a byte that ran out of time goes out later nevertheless, though the driver does not
    /// count it as written. edk2's PciSioSerialDxe, which drives the UARTs of PCs, does so: it
    /// leaves the byte in a queue of its own. Drivers for other lines count what they took.
    queues_late_byte: bool,
}

impl SerialLine {
    fn new(device: Handle) -> Self {
        let through = |node| protocol::path_contains(device, node);
        let on_board = through((DeviceType::ACPI, DeviceSubType::ACPI))
            && !through((DeviceType::MESSAGING, DeviceSubType::MESSAGING_USB));
        Self { device, queues_late_byte: on_board }
    }

    /// Whether all bytes were taken.
    fn write(&self, bytes: &[u8], clock: &TickClock) -> bool {
        let mut rest = bytes;
        let mut last_progress = clock.now();
        while !rest.is_empty() {
            match protocol::with::<Serial, _>(self.device, |line| line.write(rest)) {
                Ok(Ok(())) => break,
                // The line is slower than the firmware expected.
                Ok(Err(error)) if error.status() == Status::TIMEOUT => {
                    let taken = *error.data() + usize::from(self.queues_late_byte);
                    rest = rest.get(taken..).unwrap_or_default();
                    if taken > 0 {
                        last_progress = clock.now();
                    }
                    if !self.catch_up(last_progress, clock) {
                        return false;
                    }
                }
                _ => return false,
            }
        }
        true
    }

    /// Waits until it is worth to write on. False if that takes too long.
    fn catch_up(&self, since: Duration, clock: &TickClock) -> bool {
        loop {
            if clock.now().saturating_sub(since) > PATIENCE {
                return false;
            }
            boot::stall(PAUSE);
            if !self.queues_late_byte {
                return true;
            }
            let control = protocol::with::<Serial, _>(self.device, |line| line.get_control_bits());
            match control {
                Ok(Ok(bits)) if bits.contains(ControlBits::OUTPUT_BUFFER_EMPTY) => return true,
                Ok(Ok(_)) => {}
                _ => return false,
            }
        }
    }

    fn in_words(&self) -> String {
        let speed = protocol::with::<Serial, _>(self.device, |line| line.io_mode().baud_rate);
        speed.map_or_else(|_| "gone".into(), |speed| format!("{speed} baud"))
    }
}
