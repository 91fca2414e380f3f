//! Keys as UEFI firmware reports them.
//!
//! An `é` is one key U+00E9 from a keyboard, but two keys U+00C3 U+00A9 from a serial line, where
//! the firmware makes a key of each byte. A keyboard reports whether Ctrl and Alt are held, a serial
//! line does not ([`Modifiers::known`]). So a key with modifiers is taken as it is. A key without is
//! read as UTF-8 where it is valid UTF-8 and as itself where it is not, because firmware without
//! SimpleTextInputEx reports no modifiers from keyboards either. That is wrong only for a user who,
//! on such firmware, types `Ã` and then `©` within 50 ms.

use bootllm_platform::Key;
use bootllm_terminal::KeyDecoder;

const BACKSPACE: char = '\u{08}';
const ESCAPE: char = '\u{1B}';
const DELETE: char = '\u{7F}';

/// The modifier keys held with a key, as SimpleTextInputEx reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifiers {
    /// Whether the device reports them at all. Keyboards do, serial lines do not.
    pub known: bool,
    /// Ctrl is held.
    pub ctrl: bool,
    /// The left Alt is held. The right one is AltGr on many keyboards and chooses a character.
    pub alt: bool,
}

impl Modifiers {
    /// Reads `EFI_KEY_STATE.KeyShiftState` (UEFI specification 2.10, 12.2.3).
    pub fn from_key_shift_state(state: u32) -> Self {
        const VALID: u32 = 0x8000_0000;
        const RIGHT_CONTROL: u32 = 0x04;
        const LEFT_CONTROL: u32 = 0x08;
        const LEFT_ALT: u32 = 0x20;

        let known = state & VALID != 0;
        Self {
            known,
            ctrl: known && state & (LEFT_CONTROL | RIGHT_CONTROL) != 0,
            alt: known && state & LEFT_ALT != 0,
        }
    }
}

/// Hands an `EFI_INPUT_KEY` to a decoder: its scan code, and its character if the scan code is 0.
pub fn push(decoder: &mut KeyDecoder, scan: u16, unit: u16, modifiers: Modifiers) {
    match (scan, unit) {
        // Shift or another such key alone.
        (0, 0) => {}
        (0, unit) => push_char(decoder, unit, modifiers),
        (scan, _) => push_scan(decoder, scan, modifiers),
    }
}

fn push_char(decoder: &mut KeyDecoder, unit: u16, modifiers: Modifiers) {
    if !modifiers.known
        && let Ok(byte) = u8::try_from(unit)
    {
        return decoder.push_byte_or_char(byte);
    }
    if modifiers.known {
        // No sequence goes on with a key of a keyboard.
        decoder.flush();
    }
    let character = char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
    match modifiers {
        // On some keyboards this is how AltGr comes, which chooses a character.
        Modifiers { ctrl: true, alt: true, .. } => decoder.push_char(character),
        // Ctrl turns a letter into the control character of its place in the alphabet.
        Modifiers { ctrl: true, .. } if character.is_ascii_alphabetic() => {
            decoder.push_char(char::from(character as u8 & 0x1F));
        }
        Modifiers { ctrl: true, .. } if !character.is_ascii_control() => {}
        Modifiers { alt: true, .. } => match character {
            BACKSPACE | DELETE => decoder.push_key(Key::Ctrl('w')),
            _ if character.is_control() => decoder.push_char(character),
            _ => decoder.push_key(Key::Alt(character)),
        },
        _ => decoder.push_char(character),
    }
}

/// Scan codes are those of the UEFI specification 2.10, 12.1.2.
fn push_scan(decoder: &mut KeyDecoder, scan: u16, modifiers: Modifiers) {
    let word = modifiers.ctrl || modifiers.alt;
    decoder.push_key(match scan {
        0x01 => Key::Up,
        0x02 => Key::Down,
        0x03 if word => Key::Alt('f'),
        0x03 => Key::Right,
        0x04 if word => Key::Alt('b'),
        0x04 => Key::Left,
        0x05 => Key::Home,
        0x06 => Key::End,
        // The firmware's serial terminals (edk2's TerminalDxe) make this of 0x7F, which is what
        // terminals send for Backspace; a Delete key comes through them as a sequence.
        0x08 if !modifiers.known => return decoder.push_char(DELETE),
        0x08 => Key::Delete,
        0x09 => Key::PageUp,
        0x0A => Key::PageDown,
        0x17 if modifiers.known => Key::Escape,
        // From a serial line the rest of a sequence that the firmware does not know follows.
        0x17 => return decoder.push_char(ESCAPE),
        _ => return decoder.flush(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYBOARD: Modifiers = Modifiers { known: true, ctrl: false, alt: false };
    const CTRL: Modifiers = Modifiers { ctrl: true, ..KEYBOARD };
    const ALT: Modifiers = Modifiers { alt: true, ..KEYBOARD };
    /// What firmware says of a key from a serial line.
    const SERIAL: Modifiers = Modifiers { known: false, ctrl: false, alt: false };

    /// A character or a scan code, and the modifiers.
    #[derive(Clone, Copy, Debug)]
    enum Uefi {
        Char(u16, Modifiers),
        Scan(u16, Modifiers),
    }
    use Uefi::{Char, Scan};

    /// The keys that are there at once, and those that come when nothing follows.
    fn keys(input: &[Uefi]) -> (Vec<Key>, Vec<Key>) {
        let mut decoder = KeyDecoder::new();
        for &input in input {
            match input {
                Char(unit, modifiers) => push(&mut decoder, 0, unit, modifiers),
                Scan(scan, modifiers) => push(&mut decoder, scan, 0, modifiers),
            }
        }
        let drain = |decoder: &mut KeyDecoder| core::iter::from_fn(|| decoder.next_key()).collect();
        let at_once = drain(&mut decoder);
        decoder.flush();
        (at_once, drain(&mut decoder))
    }

    /// A serial line: each byte is a key.
    fn from_serial(text: &str) -> (Vec<Key>, Vec<Key>) {
        let key = |byte: u8| match byte {
            0x1B => Scan(0x17, SERIAL),
            0x7F => Scan(0x08, SERIAL),
            _ => Char(byte.into(), SERIAL),
        };
        keys(&text.bytes().map(key).collect::<Vec<_>>())
    }

    #[test]
    fn a_serial_line_sends_what_a_terminal_sends() {
        let text =
            "a é漢😀\t\r\na\x08\x7f\x01\x1a\x1b[A\x1b[3~\x1b[1;5D\x1b[15~\x1bb\x1b\x7f\x1b\rz";
        let mut decoder = KeyDecoder::new();
        text.bytes().for_each(|byte| decoder.push_byte(byte));
        let wanted: Vec<Key> = core::iter::from_fn(|| decoder.next_key()).collect();
        assert_eq!(from_serial(text), (wanted, vec![]));
        assert_eq!(from_serial("\x1b").1, [Key::Escape]);
        // A NUL is no key.
        assert_eq!(from_serial("a\0b").0, [Key::Char('a'), Key::Char('b')]);
    }

    #[test]
    fn characters() {
        let wrong = Key::Char('\u{fffd}');
        for (input, at_once, flushed) in [
            // From a keyboard each key is a character.
            (&[Char(0xE9, KEYBOARD)][..], vec![Key::Char('é')], vec![]),
            (
                &[Char(0xC3, KEYBOARD), Char(0xA9, KEYBOARD)],
                vec![Key::Char('Ã'), Key::Char('©')],
                vec![],
            ),
            // From a serial line it is a byte, unless it can be none, as from a keyboard whose
            // firmware does not report modifiers.
            (&[Char(0xC3, SERIAL), Char(0xA9, SERIAL)], vec![Key::Char('é')], vec![]),
            (&[Char(0xE9, SERIAL)], vec![], vec![Key::Char('é')]),
            (&[Char(0xC3, SERIAL), Scan(4, SERIAL)], vec![Key::Char('Ã'), Key::Left], vec![]),
            // Firmware that understands UTF-8 itself.
            (&[Char(0x6F22, SERIAL)], vec![Key::Char('漢')], vec![]),
            (&[Char(0xD83D, SERIAL), Char(0xDE00, KEYBOARD)], vec![wrong, wrong], vec![]),
            // No key at all: a modifier alone.
            (&[Char(0, KEYBOARD), Char(0, SERIAL), Scan(0, KEYBOARD)], vec![], vec![]),
            // Escape of a serial line, and then a keyboard.
            (
                &[Scan(0x17, SERIAL), Char('[' as u16, KEYBOARD)],
                vec![Key::Escape, Key::Char('[')],
                vec![],
            ),
        ] {
            assert_eq!(keys(input), (at_once, flushed), "{input:?}");
        }
    }

    #[test]
    fn keyboard() {
        for (input, wanted) in [
            (Char('a' as u16, KEYBOARD), Some(Key::Char('a'))),
            (Char('\r' as u16, KEYBOARD), Some(Key::Enter)),
            (Char(8, KEYBOARD), Some(Key::Backspace)),
            (Char(9, KEYBOARD), Some(Key::Tab)),
            // Firmware gives Ctrl+C as the letter, as the capital, or as U+0003.
            (Char('c' as u16, CTRL), Some(Key::Ctrl('c'))),
            (Char('C' as u16, CTRL), Some(Key::Ctrl('c'))),
            (Char(3, CTRL), Some(Key::Ctrl('c'))),
            (Char('h' as u16, CTRL), Some(Key::Backspace)),
            (Char('m' as u16, CTRL), Some(Key::Enter)),
            (Char('1' as u16, CTRL), None),
            (Char('b' as u16, ALT), Some(Key::Alt('b'))),
            (Char('[' as u16, ALT), Some(Key::Alt('['))),
            (Char(8, ALT), Some(Key::Ctrl('w'))),
            // AltGr.
            (Char('@' as u16, Modifiers { ctrl: true, ..ALT }), Some(Key::Char('@'))),
            (Scan(1, KEYBOARD), Some(Key::Up)),
            (Scan(2, KEYBOARD), Some(Key::Down)),
            (Scan(3, KEYBOARD), Some(Key::Right)),
            (Scan(3, CTRL), Some(Key::Alt('f'))),
            (Scan(4, KEYBOARD), Some(Key::Left)),
            (Scan(4, ALT), Some(Key::Alt('b'))),
            (Scan(5, KEYBOARD), Some(Key::Home)),
            (Scan(6, KEYBOARD), Some(Key::End)),
            (Scan(7, KEYBOARD), None),
            (Scan(8, KEYBOARD), Some(Key::Delete)),
            (Scan(8, SERIAL), Some(Key::Backspace)),
            (Scan(9, KEYBOARD), Some(Key::PageUp)),
            (Scan(10, KEYBOARD), Some(Key::PageDown)),
            (Scan(11, KEYBOARD), None),
            (Scan(0x17, KEYBOARD), Some(Key::Escape)),
            (Scan(0xFFFF, SERIAL), None),
        ] {
            assert_eq!(keys(&[input]), (wanted.into_iter().collect(), vec![]), "{input:?}");
        }
    }

    #[test]
    fn modifiers() {
        for (state, wanted) in [
            (0, SERIAL),
            (0x0000_0008, SERIAL),
            (0x8000_0000, KEYBOARD),
            (0x8000_0003, KEYBOARD),
            (0x8000_0004, CTRL),
            (0x8000_0008, CTRL),
            (0x8000_0010, KEYBOARD),
            (0x8000_0020, ALT),
            (0x8000_0028, Modifiers { ctrl: true, ..ALT }),
        ] {
            assert_eq!(Modifiers::from_key_shift_state(state), wanted, "{state:#x}");
        }
    }
}
