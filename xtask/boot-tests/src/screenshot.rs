//! Reading a screenshot: text is found by painting it with the program's own font.

use std::fs;
use std::path::Path;

use bootllm_platform::Size;
use bootllm_terminal::{Painter, Screen, WordWrap};

/// The pixels of a screen.
pub struct Screenshot {
    width: usize,
    height: usize,
    /// `0x00RRGGBB`, row by row.
    pixels: Vec<u32>,
    cell: Cell,
}

impl Screenshot {
    /// Reads a PPM file (P6, 8 bits), as QEMU writes it.
    pub fn read(file: &Path) -> Self {
        let bytes = fs::read(file).unwrap();
        let mut fields = bytes.splitn(4, |byte| byte.is_ascii_whitespace());
        let mut field = || fields.next().expect("a PPM header");
        assert_eq!(field(), b"P6");
        let number = |text: &[u8]| str::from_utf8(text).unwrap().parse::<usize>().unwrap();
        let (width, height) = (number(field()), number(field()));
        let rest = field();
        let pixels = rest.strip_prefix(b"255\n").expect("8 bits a colour");
        assert_eq!(pixels.len(), width * height * 3);
        let pixels = pixels
            .chunks_exact(3)
            .map(|rgb| u32::from_be_bytes([0, rgb[0], rgb[1], rgb[2]]))
            .collect();
        Self { width, height, pixels, cell: Cell::of_screen(width, height) }
    }

    /// Columns and rows of text on a screen of this size.
    pub fn size(&self) -> Size {
        self.painter().size()
    }

    /// Whether these rows of plain text are anywhere on the screen, one below the other, from the
    /// left edge on.
    pub fn shows(&self, rows: &[String]) -> bool {
        let mut painter = self.painter();
        let last = painter.size().rows.saturating_sub(rows.len());
        (0..=last).any(|first| {
            (first..).zip(rows).all(|(at, row)| {
                let mut screen = Screen::new(painter.size());
                screen.write(row);
                let columns = screen.cursor().column;
                // In the next row the cursor covers nothing.
                screen.write("\n");
                painter.restart();
                self.part(painter.paint(&mut screen).pixels, 0, columns)
                    == self.part(&self.pixels, at, columns)
            })
        })
    }

    /// The first columns of a row of text in pixels of this size.
    fn part(&self, pixels: &[u32], row: usize, columns: usize) -> Vec<u32> {
        let Cell { left, top, width, height } = self.cell;
        let first = top + row * height;
        (first..first + height)
            .flat_map(|y| &pixels[y * self.width + left..][..columns * width])
            .copied()
            .collect()
    }

    fn painter(&self) -> Painter {
        Painter::new(self.width, self.height).expect("a screen with pixels")
    }
}

/// The place of a screen's first character, in pixels.
struct Cell {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Cell {
    /// The place of the cursor, which is all that an empty screen shows.
    fn of_screen(width: usize, height: usize) -> Self {
        let mut painter = Painter::new(width, height).expect("a screen with pixels");
        let mut screen = Screen::new(painter.size());
        let pixels = painter.paint(&mut screen).pixels;
        let background = pixels[pixels.len() - 1];
        let marked = |at: &usize| pixels[*at] != background;
        let first = (0..pixels.len()).find(marked).expect("a cursor");
        let last = (0..pixels.len()).rfind(marked).expect("a cursor");
        let (left, top) = (first % width, first / width);
        Self { left, top, width: last % width + 1 - left, height: last / width + 1 - top }
    }
}

/// Text in rows, wrapped as the program wraps it on a screen with so many columns.
pub fn rows_of(text: &str, size: Size) -> Vec<String> {
    // More rows than the text can need, so nothing scrolls away.
    let size = Size { columns: size.columns, rows: text.len() + 2 };
    let mut screen = Screen::new(size);
    let (mut wrap, mut wrapped) = (WordWrap::new(size.columns), String::new());
    wrap.set_on(true);
    wrap.write(text, &mut wrapped);
    screen.write(&wrapped);
    let row = |row| -> String { screen.row(row).iter().map(|cell| cell.character()).collect() };
    let mut rows: Vec<_> = (0..=screen.cursor().row).map(row).collect();
    for row in &mut rows {
        row.truncate(row.trim_end().len());
    }
    rows
}

#[test]
fn text_breaks_between_words() {
    let size = Size { columns: 10, rows: 3 };
    assert_eq!(rows_of("one two three\nfour", size), ["one two", "three", "four"]);
}
