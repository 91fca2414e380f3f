use super::*;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

const KEYBOARD: Modifiers = Modifiers { known: true, ctrl: false, alt: false };
const CTRL: Modifiers = Modifiers { ctrl: true, ..KEYBOARD };
const ALT: Modifiers = Modifiers { alt: true, ..KEYBOARD };
/// What firmware says of a key from a serial line.
const SERIAL: Modifiers = Modifiers { known: false, ctrl: false, alt: false };

/// The keys that are there already, and those that come when nothing follows.
fn keys(mut decoder: KeyDecoder) -> (Vec<Key>, Vec<Key>) {
    let drain = |decoder: &mut KeyDecoder| core::iter::from_fn(|| decoder.next_key()).collect();
    let at_once: Vec<Key> = drain(&mut decoder);
    let pending = decoder.is_pending();
    decoder.flush();
    let flushed: Vec<Key> = drain(&mut decoder);
    assert!(!decoder.is_pending());
    assert!(pending || flushed.is_empty(), "{flushed:?} came out of nothing");
    (at_once, flushed)
}

fn from_bytes(bytes: &[u8]) -> (Vec<Key>, Vec<Key>) {
    let mut decoder = KeyDecoder::new();
    bytes.iter().for_each(|&byte| decoder.push_byte(byte));
    keys(decoder)
}

/// What firmware delivers: a character or a scan code, and the modifiers.
#[derive(Clone, Copy, Debug)]
enum Uefi {
    Char(u16, Modifiers),
    Scan(u16, Modifiers),
}
use Uefi::{Char, Scan};

fn from_uefi(input: &[Uefi]) -> (Vec<Key>, Vec<Key>) {
    let mut decoder = KeyDecoder::new();
    for &input in input {
        match input {
            Char(unit, modifiers) => decoder.push_char(unit, modifiers),
            Scan(scan, modifiers) => decoder.push_scan(scan, modifiers),
        }
    }
    keys(decoder)
}

/// A serial line under firmware: each byte is a key.
fn from_serial(text: &str) -> (Vec<Key>, Vec<Key>) {
    let input: Vec<Uefi> = text
        .bytes()
        .map(|byte| match byte {
            0x1B => Scan(0x17, SERIAL),
            0x7F => Scan(0x08, SERIAL),
            _ => Char(byte.into(), SERIAL),
        })
        .collect();
    from_uefi(&input)
}

/// Sequences that mean the same from a terminal and over firmware's serial line.
fn sequences() -> Vec<(&'static str, Vec<Key>)> {
    let a = Key::Char('a');
    vec![
        ("a é漢😀", [a, Key::Char(' '), Key::Char('é'), Key::Char('漢'), Key::Char('😀')].into()),
        ("\ra\na\r\na\r\ra\n\na\r\n\n", {
            let e = Key::Enter;
            [e, a, e, a, e, a, e, e, a, e, e, a, e, e].into()
        }),
        ("\ta\u{8}\u{7f}", [Key::Tab, a, Key::Backspace, Key::Backspace].into()),
        ("\u{1}\u{3}\u{4}\u{1a}\u{1c}\0\u{85}", ['a', 'c', 'd', 'z'].map(Key::Ctrl).into()),
        ("\x1b[A\x1b[B\x1b[C\x1b[D", [Key::Up, Key::Down, Key::Right, Key::Left].into()),
        ("\x1bOA\x1bOB\x1bOH\x1bOF\x1bOM", {
            [Key::Up, Key::Down, Key::Home, Key::End, Key::Enter].into()
        }),
        ("\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1b[8~", {
            [Key::Home, Key::End, Key::Home, Key::End, Key::Home, Key::End].into()
        }),
        ("\x1b[3~\x1b[5~\x1b[6~", [Key::Delete, Key::PageUp, Key::PageDown].into()),
        ("\x1b[1;5D\x1b[1;3C\x1b[1;2D", [Key::Alt('b'), Key::Alt('f'), Key::Left].into()),
        ("\x1bb\x1bé", [Key::Alt('b'), Key::Alt('é')].into()),
        ("\x1b\u{7f}\x1b\u{8}", [Key::Ctrl('w'), Key::Ctrl('w')].into()),
        ("\x1b\x1b[A", [Key::Escape, Key::Up].into()),
        ("\x1b\ra", [Key::Escape, Key::Enter, a].into()),
        // Keys that we do not have: Insert, F5, F1, a report, pasting begins and ends.
        ("\x1b[2~\x1b[15~\x1bOP\x1b[?1;2c\x1b[200~a\x1b[201~", [a].into()),
        // A broken sequence loses what it had, not what broke it.
        ("\x1b[1\ra", [Key::Enter, a].into()),
        ("\x1b[1\x1b[A", [Key::Up].into()),
        ("\x1bO\ra", [Key::Enter, a].into()),
    ]
}

#[test]
fn terminal() {
    for (text, wanted) in sequences() {
        assert_eq!(from_bytes(text.as_bytes()), (wanted, vec![]), "{text:?}");
    }
}

#[test]
fn serial_line_under_firmware() {
    for (text, wanted) in sequences() {
        assert_eq!(from_serial(text), (wanted, vec![]), "{text:?}");
    }
}

#[test]
fn what_nothing_follows() {
    let wrong = Key::Char('\u{fffd}');
    for (bytes, at_once, flushed) in [
        (&b"\x1b"[..], vec![], vec![Key::Escape]),
        (b"a\x1b\x1b", vec![Key::Char('a'), Key::Escape], vec![Key::Escape]),
        (b"\x1b[", vec![], vec![Key::Alt('[')]),
        (b"\x1bO", vec![], vec![Key::Alt('O')]),
        (b"\x1b[3", vec![], vec![]),
        (b"\xc3", vec![], vec![wrong]),
        (b"\xf0\x9f\x98", vec![], vec![wrong]),
        (b"\x1b\xc3", vec![], vec![Key::Alt('\u{fffd}')]),
    ] {
        assert_eq!(from_bytes(bytes), (at_once, flushed), "{bytes:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8() {
    let wrong = Key::Char('\u{fffd}');
    let a = Key::Char('a');
    for (bytes, wanted) in [
        (&b"\xffa"[..], vec![wrong, a]),
        (b"\xa9a", vec![wrong, a]),
        (b"\xc3a", vec![wrong, a]),
        (b"\xe6\xbca", vec![wrong, a]),
        (b"\xe6\xbc\xc3\xa9", vec![wrong, Key::Char('é')]),
        (b"\xc0\x80", vec![wrong, wrong]),
        // A surrogate.
        (b"\xed\xa0\x80", vec![wrong, wrong, wrong]),
        (b"\xc3\ra", vec![wrong, Key::Enter, a]),
    ] {
        assert_eq!(from_bytes(bytes), (wanted, vec![]), "{bytes:?}");
    }
}

#[test]
fn characters_of_firmware() {
    let wrong = Key::Char('\u{fffd}');
    for (input, at_once, flushed) in [
        // From a keyboard each key is a character.
        (&[Char(0xE9, KEYBOARD)][..], vec![Key::Char('é')], vec![]),
        (
            &[Char(0xC3, KEYBOARD), Char(0xA9, KEYBOARD)],
            vec![Key::Char('Ã'), Key::Char('©')],
            vec![],
        ),
        // From a serial line it is a byte.
        (&[Char(0xC3, SERIAL), Char(0xA9, SERIAL)], vec![Key::Char('é')], vec![]),
        // Unless it can be none, as from a keyboard whose firmware does not tell modifiers.
        (&[Char(0xE9, SERIAL)], vec![], vec![Key::Char('é')]),
        (&[Char(0xE9, SERIAL), Char(0x74, SERIAL)], vec![Key::Char('é'), Key::Char('t')], vec![]),
        (&[Char(0xE9, SERIAL), Char(0xE9, SERIAL)], vec![Key::Char('é')], vec![Key::Char('é')]),
        (&[Char(0xE6, SERIAL), Char(0x9D, SERIAL)], vec![], vec![Key::Char('æ'), wrong]),
        (&[Char(0x9D, SERIAL)], vec![wrong], vec![]),
        (&[Char(0xC3, SERIAL), Scan(4, SERIAL)], vec![Key::Char('Ã'), Key::Left], vec![]),
        // Firmware that understands UTF-8 itself.
        (&[Char(0x6F22, SERIAL)], vec![Key::Char('漢')], vec![]),
        (&[Char(0xD83D, SERIAL), Char(0xDE00, KEYBOARD)], vec![wrong, wrong], vec![]),
        // No key at all: a modifier alone.
        (&[Char(0, KEYBOARD), Char(0, SERIAL), Scan(0, KEYBOARD)], vec![], vec![]),
    ] {
        assert_eq!(from_uefi(input), (at_once, flushed), "{input:?}");
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
        assert_eq!(from_uefi(&[input]), (wanted.into_iter().collect(), vec![]), "{input:?}");
    }
}

#[test]
fn escape_of_a_serial_line_and_then_a_keyboard() {
    let input = [Scan(0x17, SERIAL), Char('[' as u16, KEYBOARD)];
    assert_eq!(from_uefi(&input), (vec![Key::Escape, Key::Char('[')], vec![]));
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
        assert_eq!(Modifiers::from_uefi(state), wanted, "{state:#x}");
    }
}

fn any_modifiers() -> impl Strategy<Value = Modifiers> {
    any::<(bool, bool, bool)>().prop_map(|(known, ctrl, alt)| Modifiers { known, ctrl, alt })
}

proptest! {
    /// Whatever a terminal sends, text that is no sequence comes out as it is.
    #[test]
    fn text_comes_through(text in "[^\\p{Cc}]*") {
        let wanted: Vec<Key> = text.chars().map(Key::Char).collect();
        prop_assert_eq!(from_bytes(text.as_bytes()), (wanted.clone(), vec![]));
        prop_assert_eq!(from_serial(&text), (wanted, vec![]));
    }

    /// No input leaves a decoder stuck: after a flush the next letter is a letter.
    #[test]
    fn never_stuck(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(),
            prop::sample::select(b"\x1b\x1b[O1;?~A\xc3\xe2\x80".to_vec()),
        ], 0..40),
        keys in prop::collection::vec((any::<bool>(), any::<u16>(), any_modifiers()), 0..20),
    ) {
        let mut decoder = KeyDecoder::new();
        bytes.iter().for_each(|&byte| decoder.push_byte(byte));
        for (is_scan, code, modifiers) in keys {
            if is_scan {
                decoder.push_scan(code % 0x18, modifiers);
            } else {
                decoder.push_char(code, modifiers);
            }
        }
        decoder.flush();
        prop_assert!(!decoder.is_pending());
        while decoder.next_key().is_some() {}
        decoder.push_byte(b'a');
        prop_assert_eq!(decoder.next_key(), Some(Key::Char('a')));
    }
}
