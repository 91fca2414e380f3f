//! What an editor writes, written to a screen, is the prompt and the line, whatever the keys.

use super::*;
use crate::{Position, Screen};
use alloc::vec;
use proptest::prelude::*;

/// The characters of a row, each with its marks.
fn row(screen: &Screen, row: usize) -> impl Iterator<Item = char> {
    screen.row(row).iter().flat_map(|cell| core::iter::once(cell.character()).chain(cell.marks()))
}

/// Checks that the screen shows the prompt and the line around the cursor, as far as it goes, in the
/// columns of `size` and with nothing to the right of them.
fn check(
    screen: &Screen,
    size: Size,
    prompt: &str,
    editor: &LineEditor,
) -> Result<(), TestCaseError> {
    // So high that nothing goes out of it, in the worst case one wide character in three columns.
    let characters = prompt.chars().chain(editor.text.chars()).count();
    let rows = size.rows + characters.div_ceil(size.columns.div_ceil(3)) + 1;
    let mut whole = Screen::new(Size { rows, ..size });

    // The cursor is to be on the character after it, or where the next one will be written.
    let (before, after) = editor.text.split_at(editor.cursor);
    let next = after.chars().next().unwrap_or(' ');
    whole.write(prompt);
    whole.write(before);
    whole.clear_damage();
    whole.write(next.encode_utf8(&mut [0; 4]));
    let cursor = (0..rows).find_map(|row| {
        let columns = whole.damage(row);
        (columns.start < columns.end).then_some(Position { row, column: columns.start })
    });
    let cursor = cursor.unwrap();
    whole.write(after.strip_prefix(next).unwrap_or_default());

    prop_assert_eq!(screen.cursor().column, cursor.column, "the cursor's column");
    for shown in 0..size.rows {
        // Rows above the prompt show what was there before.
        if let Some(wanted) = (cursor.row + shown).checked_sub(screen.cursor().row) {
            let blank = (size.columns..screen.size().columns).map(|_| ' ');
            let same = row(screen, shown).eq(row(&whole, wanted).chain(blank));
            prop_assert!(same, "row {} of the line: {:?}", wanted, screen.row(shown));
        }
    }
    Ok(())
}

/// Checks that nothing is written but what `Console::write` understands.
fn check_sequences(text: &str) -> Result<(), TestCaseError> {
    let mut parts = text.split('\x1b');
    let plain = parts.next().unwrap_or_default();
    let sequences = parts.map(|part| {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap() + 1;
        part.split_at(end)
    });
    for (sequence, plain) in sequences.chain([("", plain)]) {
        let controls = plain.chars().filter(|c| c.is_control());
        prop_assert!(controls.into_iter().all(|c| "\n\r\x08".contains(c)), "{:?}", plain);
        let (number, letter) = sequence.split_at(sequence.len().saturating_sub(1));
        let known = match letter {
            "A" | "B" | "C" | "D" => number[1..].parse::<u16>().is_ok_and(|number| number > 0),
            "J" => ["[", "[2"].contains(&number),
            "K" | "H" => number == "[",
            "m" => ["[0", "[1"].contains(&number),
            _ => sequence.is_empty(),
        };
        prop_assert!(known, "ESC{}", sequence);
    }
    Ok(())
}

fn any_key() -> impl Strategy<Value = Key> {
    let character = prop_oneof![
        6 => prop::char::range('a', 'z'),
        2 => Just(' '),
        2 => prop::sample::select(vec!['漢', '字', '😀', 'é']),
        1 => prop::sample::select(vec!['\u{301}', '\u{323}', '\u{200d}']),
    ];
    let editing = vec![
        Key::Backspace,
        Key::Delete,
        Key::Ctrl('w'),
        Key::Ctrl('u'),
        Key::Ctrl('k'),
        Key::Alt('d'),
        Key::Escape,
        Key::Up,
        Key::Down,
        Key::Tab,
        Key::Ctrl('l'),
        Key::Enter,
        Key::Ctrl('c'),
        Key::Ctrl('z'),
    ];
    let moving =
        vec![Key::Left, Key::Left, Key::Right, Key::Home, Key::End, Key::Alt('b'), Key::Alt('f')];
    prop_oneof![
        8 => character.prop_map(Key::Char),
        3 => prop::sample::select(moving),
        3 => prop::sample::select(editing),
    ]
}

fn any_size() -> impl Strategy<Value = Size> {
    let sizes = prop_oneof![
        4 => (1..=3usize, 1..=3usize),
        4 => (3..=12usize, 1..=6usize),
        1 => Just((40, 10)),
        1 => Just((80, 24)),
    ];
    sizes.prop_map(|(columns, rows)| Size { columns, rows })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn screen_shows_the_line(
        size in any_size(),
        wider in 0..4usize,
        prompt in prop::sample::select(vec!["", "> ", "\x1b[1m>>>\x1b[0m ", "漢字 a long one: "]),
        rows_before in 0..8usize,
        keys in prop::collection::vec(any_key(), 0..120),
    ) {
        let mut editor = LineEditor::new();
        editor.set_completions(&["abc", "abcdef", "bx", "by"]);
        // The console may have more columns than the editor knows of.
        let columns = size.columns + wider;
        let mut screen = Screen::new(Size { columns, ..size });
        screen.write(&"b\n".repeat(rows_before));
        let mut out = String::new();
        editor.begin(prompt, size, &mut out);
        screen.write(&out);
        check(&screen, size, prompt, &editor)?;
        for key in keys {
            out.clear();
            let edit = editor.key(key, &mut out);
            check_sequences(&out)?;
            screen.write(&out);
            if edit != Edit::Continue {
                out.clear();
                editor.leave_row(&mut out);
                screen.write(&out);
                prop_assert_eq!(screen.cursor().column, 0);
                out.clear();
                editor.begin(prompt, size, &mut out);
                screen.write(&out);
            }
            check(&screen, size, prompt, &editor)?;
        }
    }
}
