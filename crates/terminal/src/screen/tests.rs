use super::*;
use alloc::string::String;
use proptest::prelude::*;

fn screen(columns: usize, rows: usize, text: &str) -> Screen {
    let mut screen = Screen::new(Size { columns, rows });
    screen.write(text);
    screen
}

/// The rows as text, blanks at their ends cut off.
fn rows(screen: &Screen) -> Vec<String> {
    (0..screen.size().rows)
        .map(|row| {
            let cells = screen.row(row).iter().filter(|cell| !cell.is_right_half());
            let text: String = cells
                .flat_map(|cell| core::iter::once(cell.character()).chain(cell.marks()))
                .collect();
            text.trim_end().into()
        })
        .collect()
}

#[test]
fn text_and_cursor() {
    for (text, shown, cursor) in [
        ("ab", ["ab", "", ""], (0, 2)),
        ("ab\ncd", ["ab", "cd", ""], (1, 2)),
        // The cursor stays in the last column until there is something for the next row.
        ("abcde", ["abcde", "", ""], (0, 4)),
        ("abcdef", ["abcde", "f", ""], (1, 1)),
        ("abcde\nf", ["abcde", "f", ""], (1, 1)),
        ("abcde\rx", ["xbcde", "", ""], (0, 1)),
        ("abcde\u{8}x", ["abcxe", "", ""], (0, 4)),
        ("abcde \rx", ["abcde", "x", ""], (1, 1)),
        ("a\nb\nc\nd", ["b", "c", "d"], (2, 1)),
        ("ab\u{8}\u{8}\u{8}c", ["cb", "", ""], (0, 1)),
        ("a\tb", ["a   b", "", ""], (0, 4)),
        ("\u{7}\0a\u{7f}\u{85}b", ["ab", "", ""], (0, 2)),
        ("漢字漢", ["漢字", "漢", ""], (1, 2)),
        ("漢字\u{8}x", ["漢 x", "", ""], (0, 4)),
        ("漢字\rx", ["x 字", "", ""], (0, 1)),
        ("e\u{301}\u{323}\u{300}x", ["e\u{301}\u{323}x", "", ""], (0, 2)),
        ("abcde\u{301}", ["abcde\u{301}", "", ""], (0, 4)),
        ("漢\u{301}", ["漢\u{301}", "", ""], (0, 2)),
        ("\u{301}a", ["a", "", ""], (0, 1)),
    ] {
        let screen = screen(5, 3, text);
        assert_eq!(rows(&screen), shown, "{text:?}");
        assert_eq!((screen.cursor().row, screen.cursor().column), cursor, "{text:?}");
    }
}

#[test]
fn sequences() {
    for (text, shown, cursor) in [
        ("\u{1b}[2B\u{1b}[3Cx\u{1b}[A\u{1b}[2Dy", ["", "  y", "   x"], (1, 3)),
        ("\u{1b}[99B\u{1b}[99Cx", ["", "", "    x"], (2, 4)),
        ("abc\u{1b}[99D\u{1b}[99Ax", ["xbc", "", ""], (0, 1)),
        ("abc\u{1b}[0Dx", ["abx", "", ""], (0, 3)),
        ("abc\u{1b}[2D\u{1b}[K", ["a", "", ""], (0, 1)),
        ("漢字\u{1b}[D\u{1b}[K", ["漢", "", ""], (0, 3)),
        ("a\nb\nc\u{1b}[A\u{1b}[J", ["a", "b", ""], (1, 1)),
        ("a\nb\u{1b}[2J", ["", "", ""], (1, 1)),
        ("a\nb\u{1b}[Hc", ["c", "b", ""], (0, 1)),
        // Sequences that are not ours leave no trace.
        ("a\u{1b}[2;2Hb", ["ab", "", ""], (0, 2)),
        ("a\u{1b}[?25l\u{1b}[6n\u{1b}[1K\u{1b}(B\u{1b}7b", ["ab", "", ""], (0, 2)),
        // Broken ones neither, and what broke them counts.
        ("a\u{1b}[3\nb", ["a", "b", ""], (1, 1)),
        ("a\u{1b}\u{1b}[Cb", ["a b", "", ""], (0, 3)),
        ("a\u{1b}é", ["aé", "", ""], (0, 2)),
    ] {
        let screen = screen(5, 3, text);
        assert_eq!(rows(&screen), shown, "{text:?}");
        assert_eq!((screen.cursor().row, screen.cursor().column), cursor, "{text:?}");
    }
}

#[test]
fn sequence_in_two_writes() {
    let mut screen = screen(5, 1, "ab\u{1b}[");
    screen.write("1");
    screen.write("Dc");
    assert_eq!(rows(&screen), ["ac"]);
}

#[test]
fn styles() {
    let plain = Style::default();
    for (text, style) in [
        ("x", plain),
        ("\u{1b}[1mx", Style { bold: true, ..plain }),
        ("\u{1b}[2;7mx", Style { dim: true, reverse: true, ..plain }),
        ("\u{1b}[31mx", Style { colour: Some(1), ..plain }),
        ("\u{1b}[97mx", Style { colour: Some(15), ..plain }),
        ("\u{1b}[1;31m\u{1b}[39mx", Style { bold: true, ..plain }),
        ("\u{1b}[1;31m\u{1b}[mx", plain),
        ("\u{1b}[1;31m\u{1b}[0;34mx", Style { colour: Some(4), ..plain }),
        ("\u{1b}[38;5;1mx", plain),
        ("\u{1b}[4;3;100mx", plain),
    ] {
        assert_eq!(screen(5, 1, text).row(0)[0].style(), style, "{text:?}");
    }
    // What is cleared has no style.
    assert_eq!(screen(5, 1, "\u{1b}[7mx\r\u{1b}[K").row(0)[0], Cell::default());
}

#[test]
fn damage() {
    let mut screen = screen(8, 3, "");
    assert_eq!((0..4).map(|row| screen.damage(row)).collect::<Vec<_>>(), [0..8, 0..8, 0..8, 0..0]);
    screen.clear_damage();
    for (text, scrolled, damage) in [
        ("", 0, [0..0, 0..0, 0..0]),
        ("ab", 0, [0..2, 0..0, 0..0]),
        ("\u{1b}[3Cx", 0, [5..6, 0..0, 0..0]),
        ("\n\u{1b}[1m漢", 0, [0..0, 0..2, 0..0]),
        ("\u{301}", 0, [0..0, 0..2, 0..0]),
        ("\u{8}x", 0, [0..0, 0..2, 0..0]),
        ("\na", 0, [0..0, 0..0, 0..1]),
        ("b\nc", 1, [0..0, 1..2, 0..8]),
        ("\n\n\n\n", 4, [0..8, 0..8, 0..8]),
    ] {
        screen.write(text);
        assert_eq!(screen.scrolled(), scrolled, "{text:?}");
        assert_eq!([0, 1, 2].map(|row| screen.damage(row)), damage, "{text:?}");
        screen.clear_damage();
    }
}

#[test]
fn smallest() {
    let screen = screen(0, 0, "a漢");
    assert_eq!(rows(&screen), ["漢"]);
    assert_eq!(screen.size(), Size { columns: 1, rows: 1 });
}

proptest! {
    /// Whatever is written, the cursor is on the screen and no half of a character is alone.
    #[test]
    fn stays_whole(
        columns in 1..12usize,
        rows in 1..6usize,
        parts in prop::collection::vec(prop_oneof![
            3 => "\\PC{0,12}",
            2 => "[\\x00-\\x1f\\x7f-\\x9f]{0,3}",
            3 => "[a-z漢字\u{301}]{1,9}",
            3 => "\x1b(\\[[0-9;?:]{0,6}[ -~é\n]?)?",
            3 => "\x1b\\[[0-9]{0,2}[ABCDJKHm]",
        ], 0..40),
    ) {
        let mut screen = Screen::new(Size { columns, rows });
        for part in parts {
            screen.write(&part);
            let cursor = screen.cursor();
            prop_assert!(cursor.row < rows && cursor.column < columns, "{:?}", cursor);
            for row in 0..rows {
                let cells = screen.row(row);
                prop_assert!(!cells[0].is_right_half());
                for (column, cell) in cells.iter().enumerate().filter(|_| columns > 1) {
                    let has_right_half = cells.get(column + 1).is_some_and(Cell::is_right_half);
                    let width = if cell.is_right_half() { 1 } else { char_width(cell.character()) };
                    prop_assert_eq!(has_right_half, width == 2, "{:?}", cells);
                }
                let damage = screen.damage(row);
                prop_assert!(damage.start <= damage.end && damage.end <= columns);
            }
        }
        screen.write("\x1b[m\r\n.");
        prop_assert_eq!(screen.row(screen.cursor().row)[0].character(), '.');
    }
}
