use super::*;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

#[test]
fn letters_are_as_large_as_the_picture_allows() {
    for (width, height, columns, rows) in [
        (640, 480, 90, 29),
        (800, 600, 87, 29),
        (1024, 768, 92, 31),
        (1280, 720, 115, 29),
        (1366, 768, 123, 31),
        (1920, 1080, 111, 26),
        (2560, 1440, 105, 25),
        (3840, 2160, 100, 24),
        // Too small for 80 columns.
        (320, 200, 44, 12),
        (10, 10, 1, 1),
        (1, 1, 1, 1),
    ] {
        let painter = Painter::new(width, height).unwrap();
        assert_eq!(painter.size(), Size { columns, rows }, "{width}x{height}");
    }
}

#[test]
fn impossible_pictures() {
    for (width, height) in [(0, 0), (0, 768), (1024, 0), (usize::MAX, 2), (1 << 40, 1 << 20)] {
        assert!(Painter::new(width, height).is_none(), "{width}x{height}");
    }
}

/// The picture of a screen, and the parts of it that were painted last.
fn paint(painter: &mut Painter, screen: &mut Screen) -> (Vec<u32>, Vec<Rectangle>) {
    let update = painter.paint(screen);
    (update.pixels.to_vec(), update.changed.to_vec())
}

#[test]
fn only_what_changed_is_painted() {
    let mut painter = Painter::new(320, 200).unwrap();
    let mut screen = Screen::new(painter.size());
    let everything = Rectangle { x: 0, y: 0, width: 320, height: 200 };
    // Cells are 7 by 16 pixels; the margins are 6 on the left and 4 at the top.
    let cells = |column: usize, row: usize, columns: usize| Rectangle {
        x: 6 + column * 7,
        y: 4 + row * 16,
        width: columns * 7,
        height: 16,
    };
    for (text, changed) in [
        ("", vec![everything]),
        ("", vec![]),
        // The letter, and the cursor after it.
        ("a", vec![cells(0, 0, 2)]),
        ("漢", vec![cells(1, 0, 3)]),
        // Both halves of the character that the cursor is on.
        ("\u{8}", vec![cells(1, 0, 3)]),
        ("\n", vec![cells(1, 0, 2), cells(0, 1, 1)]),
        ("\n\n\n\n\n\n\n\n\n\n", vec![cells(0, 1, 1), cells(0, 11, 1)]),
        ("\n", vec![Rectangle { x: 6, y: 4, width: 44 * 7, height: 12 * 16 }]),
        ("\x1b[7m", vec![]),
    ] {
        screen.write(text);
        assert_eq!(paint(&mut painter, &mut screen).1, changed, "{text:?}");
    }
    painter.restart();
    assert_eq!(paint(&mut painter, &mut screen).1, [everything]);
}

#[test]
fn every_character_shows_something() {
    let mut font = Font::for_picture(640, 480);
    let blank = ['\u{115F}', '\u{2800}', '\u{3164}'];
    let characters = ('\u{21}'..'\u{3000}').chain('\u{FE10}'..'\u{10010}').chain(['😀', '𝒳', '🇦']);
    for character in characters {
        let width = crate::char_width(character);
        if width == 0 || character.is_whitespace() || blank.contains(&character) {
            continue;
        }
        let mut screen = Screen::new(Size { columns: 2, rows: 1 });
        screen.write(character.encode_utf8(&mut [0; 4]));
        let glyph = font.glyph(&screen.row(0)[0], width);
        let covered = glyph.lines().flatten().filter(|&&pixel| pixel > 64).count();
        assert!(covered > 0, "U+{:04X}", u32::from(character));
    }
}

#[test]
fn marks_and_weights_are_seen() {
    let mut pictures = Vec::new();
    for text in
        ["e", "e\u{301}", "e\u{301}\u{323}", "\x1b[1me", "ж", "\x1b[1mж", "\x1b[7me", "e\u{200d}"]
    {
        let mut painter = Painter::new(100, 40).unwrap();
        let mut screen = Screen::new(painter.size());
        screen.write(text);
        pictures.push(paint(&mut painter, &mut screen).0);
    }
    // A joiner shows nothing.
    assert_eq!(pictures.pop().as_ref(), pictures.first());
    for (index, picture) in pictures.iter().enumerate() {
        assert!(!pictures[..index].contains(picture), "{index}");
    }
}

#[test]
fn blocks_fill_their_cells() {
    for (width, height) in [(640, 480), (1920, 1080)] {
        let mut painter = Painter::new(width, height).unwrap();
        let mut screen = Screen::new(painter.size());
        screen.write("\x1b[97m██\n██\x1b[H\x1b[20B");
        let (cell_width, cell_height) = (painter.font.cell_width(), painter.font.cell_height());
        let corner = painter.rectangle(0, 0..1);
        let (pixels, _) = paint(&mut painter, &mut screen);
        for y in corner.y..corner.y + 2 * cell_height {
            let row = &pixels[y * width + corner.x..][..2 * cell_width];
            assert!(row.iter().all(|&pixel| pixel == 0xF6F8FA), "{width}x{height} row {y}");
        }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-zA-Zé漢😀█ \u{301}]{1,8}".prop_map(String::from),
        2 => prop::sample::select(vec!["\n", "\r", "\u{8}", "\t", "\n\n\n", "\x1b[K", "\x1b[J"])
            .prop_map(String::from),
        1 => prop::sample::select(vec!["\x1b[H", "\x1b[2J", "\x1b[2A", "\x1b[3B", "\x1b[5C"])
            .prop_map(String::from),
        1 => prop::sample::select(vec!["\x1b[1m", "\x1b[7m", "\x1b[0m", "\x1b[2;33m"])
            .prop_map(String::from),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Painting what changed, bit by bit, gives what painting everything at the end does, also for
    /// a copy of only the areas that are reported as changed.
    #[test]
    fn little_by_little_is_all_at_once(
        (width, height) in prop_oneof![(1..120usize, 1..90usize), Just((100, 60)), Just((16, 40))],
        screen_size in prop::option::weighted(0.2, (1..30usize, 1..10usize)),
        texts in prop::collection::vec(any_text(), 1..8),
    ) {
        let mut painter = Painter::new(width, height).unwrap();
        let size = screen_size.map_or(painter.size(), |(columns, rows)| Size { columns, rows });
        let mut screen = Screen::new(size);
        let mut copy = vec![0; width * height];
        for text in texts {
            screen.write(&text);
            let (pixels, changed) = paint(&mut painter, &mut screen);
            for area in changed {
                for y in area.y..area.y + area.height {
                    let row = y * width + area.x..y * width + area.x + area.width;
                    copy[row.clone()].copy_from_slice(&pixels[row]);
                }
            }
            let (wanted, _) = paint(&mut Painter::new(width, height).unwrap(), &mut screen.clone());
            prop_assert!(pixels == wanted, "painted");
            prop_assert!(copy == wanted, "copied");
        }
    }
}
