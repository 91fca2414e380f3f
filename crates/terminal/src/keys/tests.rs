use super::*;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

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

/// What terminals send, and the keys that it stands for.
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

/// What a device delivers that knows its keys, or some of them.
#[derive(Clone, Copy, Debug)]
enum Input {
    Whole(Key),
    Char(char),
    ByteOrChar(u8),
}

#[test]
fn bytes_characters_and_keys_mix() {
    use Input::{ByteOrChar, Char, Whole};
    let wrong = Key::Char('\u{fffd}');
    for (input, at_once, flushed) in [
        (&[Whole(Key::Char('é'))][..], vec![Key::Char('é')], vec![]),
        (&[ByteOrChar(0xC3), ByteOrChar(0xA9)], vec![Key::Char('é')], vec![]),
        (&[ByteOrChar(0xE9)], vec![], vec![Key::Char('é')]),
        (&[ByteOrChar(0xE9), ByteOrChar(0x74)], vec![Key::Char('é'), Key::Char('t')], vec![]),
        (&[ByteOrChar(0xE9), ByteOrChar(0xE9)], vec![Key::Char('é')], vec![Key::Char('é')]),
        (&[ByteOrChar(0xE6), ByteOrChar(0x9D)], vec![], vec![Key::Char('æ'), wrong]),
        (&[ByteOrChar(0x9D)], vec![wrong], vec![]),
        (&[ByteOrChar(0xC3), Whole(Key::Left)], vec![Key::Char('Ã'), Key::Left], vec![]),
        (&[ByteOrChar(0xC3), Char('x')], vec![Key::Char('Ã'), Key::Char('x')], vec![]),
        (&[Char('漢')], vec![Key::Char('漢')], vec![]),
        // A sequence goes on with characters, not with keys.
        (&[Char('\x1b'), Char('['), Char('A')], vec![Key::Up], vec![]),
        (&[Char('\x1b'), Whole(Key::Char('['))], vec![Key::Escape, Key::Char('[')], vec![]),
    ] {
        let mut decoder = KeyDecoder::new();
        for &input in input {
            match input {
                Whole(key) => decoder.push_key(key),
                Char(character) => decoder.push_char(character),
                ByteOrChar(byte) => decoder.push_byte_or_char(byte),
            }
        }
        assert_eq!(keys(decoder), (at_once, flushed), "{input:?}");
    }
}

#[test]
fn a_terminal_reports_its_size_among_the_keys() {
    for (sent, size, typed) in [
        ("a\x1b[24;80Rb", Some((80, 24)), "ab"),
        ("\x1b[5", None, ""),
        ("\x1b[999;65000R", Some((65000, 999)), ""),
        // F3 with modifiers, and what is no report.
        ("\x1b[1;5R", None, ""),
        ("\x1b[24R\x1b[2;3;4R\x1b[?2;3R", None, ""),
        ("\x1b[24;80R\x1b[30;100R", Some((100, 30)), ""),
    ] {
        let mut decoder = KeyDecoder::new();
        sent.bytes().for_each(|byte| decoder.push_byte(byte));
        let size = size.map(|(columns, rows)| Size { columns, rows });
        assert_eq!((decoder.take_size(), decoder.take_size()), (size, None), "{sent:?}");
        let typed: Vec<Key> = typed.chars().map(Key::Char).collect();
        assert_eq!(keys(decoder).0, typed, "{sent:?}");
    }
}

proptest! {
    /// Whatever a terminal sends, text that is no sequence comes out as it is.
    #[test]
    fn text_comes_through(text in "[^\\p{Cc}]*") {
        let wanted: Vec<Key> = text.chars().map(Key::Char).collect();
        prop_assert_eq!(from_bytes(text.as_bytes()), (wanted, vec![]));
    }

    /// No input leaves a decoder stuck: after a flush the next letter is a letter.
    #[test]
    fn never_stuck(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(),
            prop::sample::select(b"\x1b\x1b[O1;?~A\xc3\xe2\x80".to_vec()),
        ], 0..40),
        others in prop::collection::vec((any::<bool>(), any::<char>()), 0..20),
    ) {
        let mut decoder = KeyDecoder::new();
        bytes.iter().for_each(|&byte| decoder.push_byte(byte));
        for (is_byte, character) in others {
            match u8::try_from(character) {
                Ok(byte) if is_byte => decoder.push_byte_or_char(byte),
                _ => decoder.push_char(character),
            }
        }
        decoder.flush();
        prop_assert!(!decoder.is_pending());
        while decoder.next_key().is_some() {}
        decoder.push_byte(b'a');
        prop_assert_eq!(decoder.next_key(), Some(Key::Char('a')));
    }
}
