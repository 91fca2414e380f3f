//! The console: bytes to keys, keys to a line, text to a screen, a screen to pixels.

use bootllm_platform::{Key, Size};
use bootllm_terminal::{Edit, KeyDecoder, LineEditor, Painter, Screen, WordWrap};

/// Feeds a terminal. The first two bytes are its size, the others come over its line; each byte
/// 0xFF is a pause that ends an incomplete key sequence.
pub fn console(bytes: &[u8]) {
    let [columns, rows, bytes @ ..] = bytes else {
        return;
    };
    let size = Size { columns: (columns % 90).into(), rows: (rows % 40).into() };
    let mut typing = Typing::new(size);
    let mut decoder = KeyDecoder::new();
    for &byte in bytes {
        match byte {
            0xff => decoder.flush(),
            _ => decoder.push_byte(byte),
        }
        while let Some(key) = decoder.next_key() {
            typing.key(key);
        }
    }
    decoder.flush();
    while let Some(key) = decoder.next_key() {
        typing.key(key);
    }
    assert!(!decoder.is_pending());
    show(size, &String::from_utf8_lossy(bytes));
    from_devices(bytes);
}

/// A user who types.
struct Typing {
    editor: LineEditor,
    screen: Screen,
    out: String,
}

impl Typing {
    fn new(size: Size) -> Self {
        let mut editor = LineEditor::new();
        editor.set_completions(&["/set", "/show", "/stats", "/übung", "/über"]);
        let mut typing = Typing { editor, screen: Screen::new(size), out: String::new() };
        typing.begin();
        typing
    }

    fn begin(&mut self) {
        self.out.clear();
        self.editor.begin("\x1b[1m>>>\x1b[0m ", self.screen.size(), &mut self.out);
        self.screen.write(&self.out);
    }

    fn key(&mut self, key: Key) {
        self.out.clear();
        let edit = self.editor.key(key, &mut self.out);
        self.screen.write(&self.out);
        check(&self.screen);
        if let Edit::Line(line) = &edit {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        if edit != Edit::Continue {
            self.out.clear();
            self.editor.leave_row(&mut self.out);
            self.screen.write(&self.out);
            assert_eq!(self.screen.cursor().column, 0);
            self.begin();
        }
    }
}

/// Text on a screen, words whole or not, and the screen in pixels.
fn show(size: Size, text: &str) {
    for word_wrap in [false, true] {
        let mut screen = Screen::new(size);
        let mut wrap = WordWrap::new(size.columns);
        wrap.set_on(word_wrap);
        let middle = text.floor_char_boundary(text.len() / 2);
        let mut painter = Painter::new(1 + 7 * size.columns, 1 + 15 * size.rows).expect("memory");
        for half in [&text[..middle], &text[middle..]] {
            let mut wrapped = String::new();
            wrap.write(half, &mut wrapped);
            screen.write(&wrapped);
            check(&screen);
            if text.len() < 300 {
                let update = painter.paint(&mut screen);
                assert!(update.pixels.iter().all(|pixel| pixel >> 24 == 0));
                for area in update.changed {
                    assert!(area.x + area.width <= update.stride);
                    assert!((area.y + area.height) * update.stride <= update.pixels.len());
                }
            }
        }
    }
}

/// The invariants of every screen.
fn check(screen: &Screen) {
    let Size { columns, rows } = screen.size();
    let cursor = screen.cursor();
    assert!(cursor.row < rows && cursor.column < columns, "{cursor:?}");
    for row in 0..rows {
        let (cells, damage) = (screen.row(row), screen.damage(row));
        assert!(cells.len() == columns && damage.end <= columns);
        assert!(!cells[0].is_right_half(), "half a character");
        assert!(cells.iter().all(|cell| !cell.character().is_control()));
    }
}

/// The same bytes as delivered by devices that report some keys themselves.
fn from_devices(bytes: &[u8]) {
    let mut decoder = KeyDecoder::new();
    let mut keys = 0;
    for &[kind, a, b] in bytes.as_chunks().0 {
        match kind % 4 {
            0 => {
                decoder.push_char(char::from_u32(u16::from_le_bytes([a, b]).into()).unwrap_or('x'))
            }
            1 => decoder.push_key(Key::Left),
            2 => decoder.push_byte_or_char(a),
            _ => decoder.push_byte(a),
        }
        while decoder.next_key().is_some() {
            keys += 1;
        }
        decoder.take_size();
    }
    assert!(keys <= 3 * bytes.len(), "few bytes made many keys");
}
