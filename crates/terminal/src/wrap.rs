//! Line breaks between words.

use crate::char_width;
use crate::csi::{Csi, Step};
use alloc::string::String;
use core::fmt::Write;

/// Breaks lines between words on a console of a known width.
///
/// Text goes in piece by piece, and what comes out shows it at once: when a word turns out not to
/// fit its row, it is erased there and written again in the next one. A break is a `\n`, so the
/// result is the same on every console that is at least as wide.
///
/// ```
/// let mut wrap = bootllm_terminal::WordWrap::new(10);
/// let mut out = String::new();
/// wrap.set_on(true);
/// wrap.write("one two three", &mut out);
/// assert_eq!(out, "one two th\r\x1b[8C\x1b[K\nthree");
/// ```
#[derive(Debug)]
pub struct WordWrap {
    columns: usize,
    on: bool,
    /// The cursor's column; `columns` after the last one was written.
    column: usize,
    /// The unfinished word before the cursor, with the styles inside it, and its first column.
    word: String,
    word_start: usize,
    /// A space at the end of the row was left out: what follows goes to the next row.
    space_dropped: bool,
    /// The styles (`ESC[…m`) since the last reset, and those at the start of the word.
    style: String,
    word_style: String,
    sequence: Sequence,
}

/// How far an escape sequence has come.
#[derive(Debug)]
enum Sequence {
    None,
    Escape,
    /// With its text so far.
    Csi(Csi, String),
}

/// Words longer than this in bytes, and more styles than this, are not kept; words can break there.
const LONGEST: usize = 1024;
const TAB_STOP: usize = 8;

impl WordWrap {
    /// Starts in the first column, switched off.
    pub fn new(columns: usize) -> Self {
        Self {
            columns: columns.max(1),
            on: false,
            column: 0,
            word: String::with_capacity(LONGEST),
            word_start: 0,
            space_dropped: false,
            style: String::new(),
            word_style: String::new(),
            sequence: Sequence::None,
        }
    }

    /// Sets the width of the console from now on.
    pub fn set_columns(&mut self, columns: usize) {
        self.columns = columns.max(1);
    }

    /// Switches breaks between words on or off. While they are off, text passes unchanged.
    pub fn set_on(&mut self, on: bool) {
        self.on = on;
    }

    /// Takes text and appends what the console is to show. A sequence may start in one text and end
    /// in the next.
    pub fn write(&mut self, text: &str, out: &mut String) {
        for character in text.chars() {
            self.character(character, out);
        }
    }

    fn character(&mut self, character: char, out: &mut String) {
        match core::mem::replace(&mut self.sequence, Sequence::None) {
            Sequence::None => self.plain(character, out),
            Sequence::Escape if character == '[' => {
                out.push(character);
                self.sequence = Sequence::Csi(Csi::new(), "\x1b[".into());
            }
            Sequence::Escape => out.push(character),
            Sequence::Csi(mut csi, mut text) => match csi.push(character) {
                Step::Broken => self.plain(character, out),
                step => {
                    out.push(character);
                    text.push(character);
                    match step {
                        Step::Final(letter) => self.control_sequence(&csi, letter, &text),
                        _ => self.sequence = Sequence::Csi(csi, text),
                    }
                }
            },
        }
    }

    fn control_sequence(&mut self, csi: &Csi, letter: char, text: &str) {
        let distance = usize::from(csi.numbers()[0].max(1));
        match letter {
            'm' => return self.select_style(csi, text),
            'K' | 'J' => return,
            'C' => self.column = self.column.saturating_add(distance).min(self.columns - 1),
            'D' => self.column = self.column.saturating_sub(distance),
            'H' => self.column = 0,
            _ => {}
        }
        self.end_word();
    }

    fn select_style(&mut self, csi: &Csi, text: &str) {
        if csi.numbers()[0] == 0 {
            self.style.clear();
        }
        if self.style.len() < LONGEST && csi.numbers() != [0] {
            self.style.push_str(text);
        }
        match self.word.is_empty() {
            true => self.end_word(),
            false => self.word.push_str(text),
        }
    }

    fn plain(&mut self, character: char, out: &mut String) {
        match character {
            '\x1b' => {
                out.push(character);
                self.sequence = Sequence::Escape;
            }
            '\n' | '\r' | '\x08' | '\t' => {
                out.push(character);
                self.column = match character {
                    '\t' => (self.column / TAB_STOP + 1) * TAB_STOP,
                    '\x08' => self.column.saturating_sub(1),
                    _ => 0,
                };
                self.column = self.column.min(self.columns - 1);
                self.end_word();
            }
            _ => match char_width(character) {
                0 => {
                    out.push(character);
                    self.word.push(character);
                }
                width => self.put(character, width.min(self.columns), out),
            },
        }
        if self.word.len() > LONGEST {
            self.end_word();
        }
    }

    /// Writes a character of one or two columns.
    fn put(&mut self, character: char, width: usize, out: &mut String) {
        if self.columns - self.column.min(self.columns) < width {
            if !self.on {
                // The console breaks the line.
                self.column = 0;
            } else if character == ' ' {
                self.space_dropped = true;
                return;
            } else {
                self.break_line(width, out);
            }
        }
        self.space_dropped = false;
        out.push(character);
        self.column += width;
        // A character of two columns is a word by itself.
        if character == ' ' || width > 1 {
            self.end_word();
        } else {
            self.word.push(character);
        }
    }

    /// Starts a new row for a character of this width, and takes the unfinished word along.
    fn break_line(&mut self, width: usize, out: &mut String) {
        let moves = !self.space_dropped && width == 1 && self.word_start > 0;
        if !moves || self.word.is_empty() {
            out.push('\n');
            self.column = 0;
            return self.end_word();
        }
        // Writing to a String cannot fail. A console that is exactly as wide keeps the cursor in
        // the last column, a wider one does not: so the way back is counted from the left.
        let _ = write!(out, "\r\x1b[{}C\x1b[K\n", self.word_start);
        if self.word.contains('\x1b') {
            out.push_str("\x1b[0m");
            out.push_str(&self.word_style);
        }
        out.push_str(&self.word);
        self.column = self.column.saturating_sub(self.word_start);
        self.word_start = 0;
    }

    /// The next word starts at the cursor.
    fn end_word(&mut self) {
        self.word.clear();
        self.word_start = self.column;
        self.space_dropped = false;
        self.word_style.clone_from(&self.style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Screen, Style};
    use alloc::vec::Vec;
    use bootllm_platform::Size;
    use proptest::prelude::*;

    /// The rows of a screen of `size` after text was wrapped for `columns`, one piece per write.
    fn shown<'t>(
        size: Size,
        columns: usize,
        pieces: impl IntoIterator<Item = &'t str>,
    ) -> (Screen, Vec<String>) {
        let mut wrap = WordWrap::new(columns);
        wrap.set_on(true);
        let mut screen = Screen::new(size);
        for piece in pieces {
            let mut out = String::new();
            wrap.write(piece, &mut out);
            screen.write(&out);
        }
        let row = |row| -> String {
            let cells = screen.row(row).iter().filter(|cell| !cell.is_right_half());
            cells
                .flat_map(|cell| core::iter::once(cell.character()).chain(cell.marks()))
                .collect::<String>()
        };
        let rows = (0..size.rows).map(|at| row(at).trim_end().into()).collect();
        (screen, rows)
    }

    #[test]
    fn words_stay_whole() {
        for (text, rows, cursor) in [
            ("ab cd", ["ab cd", "", ""], (0, 4)),
            ("ab cde", ["ab", "cde", ""], (1, 3)),
            ("abcde f", ["abcde", "f", ""], (1, 1)),
            ("abcde  f", ["abcde", "f", ""], (1, 1)),
            ("abcde \nf", ["abcde", "f", ""], (1, 1)),
            ("abcdefg", ["abcde", "fg", ""], (1, 2)),
            ("a bcdefg", ["a", "bcdef", "g"], (2, 1)),
            ("漢字漢", ["漢字", "漢", ""], (1, 2)),
            ("漢 ab", ["漢 ab", "", ""], (0, 4)),
            ("漢 abc", ["漢", "abc", ""], (1, 3)),
            ("漢abcd", ["漢", "abcd", ""], (1, 4)),
            ("ab cd\u{301}e", ["ab", "cd\u{301}e", ""], (1, 3)),
            ("1\n2\n3 abcd", ["2", "3", "abcd"], (2, 4)),
            ("ab \x1b[1mcd\x1b[0me", ["ab", "cde", ""], (1, 3)),
        ] {
            let (screen, found) = shown(Size { columns: 5, rows: 3 }, 5, [text]);
            assert_eq!(found, rows, "{text:?}");
            assert_eq!((screen.cursor().row, screen.cursor().column), cursor, "{text:?}");
        }
    }

    #[test]
    fn a_word_keeps_its_styles_when_it_moves() {
        let size = Size { columns: 6, rows: 2 };
        let text = "\x1b[2mab \x1b[1mc\x1b[31md\x1b[0me\x1b[2mf";
        let (screen, rows) = shown(size, 6, [text]);
        assert_eq!(rows, ["ab", "cdef"]);
        let bold = Style { bold: true, dim: true, ..Style::default() };
        let styles = [
            bold,
            Style { colour: Some(1), ..bold },
            Style::default(),
            Style { dim: true, ..Style::default() },
        ];
        assert_eq!([0, 1, 2, 3].map(|column| screen.row(1)[column].style()), styles);
        assert_eq!(screen.row(0)[3], crate::Cell::default());
    }

    #[test]
    fn without_wrapping_text_passes_and_columns_are_counted() {
        let mut wrap = WordWrap::new(8);
        let mut out = String::new();
        let text = ">>> one\x1b[3D\x1b[1m two\nthree four";
        wrap.write(text, &mut out);
        assert_eq!(out, text);
        // The last line stands where the console broke it: "three fo", "ur".
        wrap.set_on(true);
        out.clear();
        wrap.write(" and more", &mut out);
        assert_eq!(out, " and m\r\x1b[7C\x1b[K\nmore");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

        /// On any console that is wide enough, in any pieces, all words are there in their order,
        /// and none that fits a row is broken.
        #[test]
        fn words_are_all_there(
            columns in 1..20usize,
            wider in 0..5usize,
            words in prop::collection::vec("[a-zé\u{301}]{1,25}", 0..30),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let words: Vec<String> =
                words.into_iter().map(|word| String::from("x") + &word).collect();
            let text = words.join(" ");
            let size = Size { columns: columns + wider, rows: text.len() + 1 };
            let (screen, rows) = shown(size, columns, [text.as_str()]);
            let mut left = rows.iter();
            let mut row = String::new();
            for word in &words {
                // Marks beyond those that a cell holds are not shown.
                let kept = shown(Size { columns: 50, rows: 1 }, 50, [word.as_str()]).1.remove(0);
                let mut rest = kept.as_str();
                while !rest.is_empty() {
                    if row.is_empty() {
                        row = left.next().unwrap().clone();
                    }
                    let width = |text: &str| text.chars().map(char_width).sum::<usize>();
                    if let Some(after) = row.strip_prefix(rest) {
                        row = after.trim_start().into();
                        rest = "";
                    } else {
                        prop_assert!(width(&kept) > columns, "{} was broken: {:?}", kept, rows);
                        rest = rest.strip_prefix(row.as_str()).unwrap();
                        row.clear();
                    }
                }
            }
            for row in &rows {
                prop_assert!(row.chars().map(char_width).sum::<usize>() <= columns);
            }

            let mut cuts: Vec<usize> =
                cuts.iter().map(|cut| text.floor_char_boundary(cut.index(text.len() + 1))).collect();
            cuts.sort();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            pieces.push(&text[from..]);
            let (in_pieces, rows_in_pieces) = shown(size, columns, pieces);
            prop_assert_eq!(rows_in_pieces, rows);
            prop_assert_eq!(in_pieces.cursor(), screen.cursor());
        }

        /// Whatever is written, nothing panics and the memory stays bounded.
        #[test]
        fn anything_can_be_written(columns in 1..6usize, on: bool, text in "\\PC*|[\\x00-\\x20\x1b\\[0-9mCDHKa-z漢]*") {
            let mut wrap = WordWrap::new(columns);
            wrap.set_on(on);
            let mut out = String::new();
            wrap.write(&text, &mut out);
            prop_assert!(wrap.column <= columns && wrap.word.len() <= 2 * LONGEST);
        }
    }
}
