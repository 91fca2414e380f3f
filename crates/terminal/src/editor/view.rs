//! The prompt and the line as they stand on the screen, and the least text that changes them.

use crate::{Position, char_width};
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::Size;
use core::cmp::Ordering;
use core::fmt::Write;

/// What the console shows, and where its cursor is.
///
/// Rows are counted from the one in which the prompt began. The console cannot be asked where that
/// is, nor how far it scrolled; but a row is certainly still on the screen if, since, no more rows
/// came than the screen has. Where the cursor must go to a row that may have gone out at the top,
/// the screen is cleared and begun anew: that happens only with lines longer than a screen.
#[derive(Debug)]
pub(super) struct View {
    rows: usize,
    prompt: String,
    /// The prompt and the text.
    line: String,
    layout: Layout,
    cursor: Position,
    /// Where what is on the screen ends: the end of the line, or of the screen if the line goes on
    /// below it.
    drawn: Position,
    /// The first row that was drawn.
    first: usize,
    /// The last row that the screen is known to have. Below it, it may have to scroll.
    last: usize,
}

impl View {
    /// An empty line on a console of 80 by 24.
    pub(super) fn new() -> Self {
        let mut view = Self {
            rows: 0,
            prompt: String::new(),
            line: String::new(),
            layout: Layout::new(1),
            cursor: Position::default(),
            drawn: Position::default(),
            first: 0,
            last: 0,
        };
        view.begin("", Size { columns: 80, rows: 24 });
        view
    }

    /// Begins a line with this prompt. The cursor must be in the first column.
    pub(super) fn begin(&mut self, prompt: &str, size: Size) {
        self.rows = size.rows.max(1);
        self.layout = Layout::new(size.columns.max(1));
        self.prompt.clear();
        self.prompt.extend(prompt.chars().filter(|&c| !c.is_control() || c == ESCAPE));
        self.restart();
    }

    /// The cursor's column.
    pub(super) fn column(&self) -> usize {
        self.cursor.column
    }

    /// Says that the line is no longer on the screen, or not where it was, and the cursor is in
    /// the first column.
    pub(super) fn restart(&mut self) {
        self.line.clear();
        self.layout = Layout::new(self.layout.columns);
        self.restart_at(0);
    }

    /// Says that the cursor is where this row begins, and that nothing is on the screen from
    /// there on.
    fn restart_at(&mut self, row: usize) {
        self.cursor = start_of(row);
        self.drawn = self.cursor;
        self.first = row;
        self.last = row;
    }

    /// Makes the console show this text after the prompt, with the cursor before its byte
    /// `cursor`.
    pub(super) fn show(&mut self, text: &str, cursor: usize, out: &mut String) {
        let changed = self.take(text);
        let target = self.layout.position(self.prompt.len() + cursor);

        let top = self.first.max((self.last + 1).saturating_sub(self.rows));
        let (changed, limit) = if target.row < top {
            let top = if target.row < self.rows { 0 } else { target.row - self.rows / 2 };
            out.push_str("\x1b[H\x1b[J");
            self.restart_at(top);
            (start_of(top), top.saturating_add(self.rows))
        } else {
            (changed.max(start_of(top)), top.saturating_add(self.rows).max(target.row + 1))
        };

        let start = changed.min(self.drawn);
        let end = self.layout.end.min(start_of(limit));
        if start < end {
            self.move_to(start, out);
            self.draw(start, limit, out);
        }
        if end < self.drawn {
            self.move_to(end, out);
            out.push_str(if end.row == self.drawn.row { "\x1b[K" } else { "\x1b[J" });
        }
        self.drawn = end;
        self.move_to(target, out);
    }

    /// Takes a new text over. Gives the place from which on it stands differently.
    fn take(&mut self, text: &str) -> Position {
        let old_and_new = self.line.bytes().zip(self.prompt.bytes().chain(text.bytes()));
        let same = old_and_new.take_while(|(old, new)| old == new).count();
        self.line.clear();
        self.line.push_str(&self.prompt);
        self.line.push_str(text);
        self.layout.keep(same, &self.line);
        let kept = self.layout.end;
        self.layout.extend(&self.line);
        kept
    }

    /// Writes what stands from `start`, where the cursor is, up to the row `limit`. There must be
    /// something. Each row ends with a line feed: the console may have more columns than this line
    /// uses, and if it has as many, terminals differ in where the cursor is after the last one.
    fn draw(&mut self, start: Position, limit: usize, out: &mut String) {
        let first = self.layout.pieces.partition_point(|piece| piece.at < start);
        let mut row = start.row;
        for piece in &self.layout.pieces[first..] {
            if piece.gap.is_some_and(|gap| gap >= start) {
                out.push(' ');
            }
            if piece.at.row >= limit {
                break;
            }
            if piece.at.row > row {
                out.push('\n');
                row = piece.at.row;
            }
            out.push_str(&self.line[piece.start..piece.end]);
        }
        self.cursor = self.layout.end.min(start_of(limit));
        if self.cursor.row == limit {
            // Below is no row to go to.
            out.push('\r');
            self.cursor.row -= 1;
        } else if self.cursor.row > row {
            out.push('\n');
        }
        self.last = self.last.max(self.cursor.row);
    }

    /// Moves the cursor, and makes the screen scroll if there is no such row yet.
    fn move_to(&mut self, target: Position, out: &mut String) {
        let row = target.row.min(self.last);
        match row.cmp(&self.cursor.row) {
            Ordering::Less => sequence(out, self.cursor.row - row, 'A'),
            Ordering::Greater => sequence(out, row - self.cursor.row, 'B'),
            Ordering::Equal => {}
        }
        self.cursor.row = row;
        while self.cursor.row < target.row {
            out.push('\n');
            self.cursor = start_of(self.cursor.row + 1);
        }
        self.last = self.last.max(target.row);

        let from = self.cursor.column;
        match target.column {
            to if to > from => sequence(out, to - from, 'C'),
            to if to == from => {}
            0 => out.push('\r'),
            // Shorter than a sequence.
            to if from - to < 4 => out.extend(core::iter::repeat_n('\u{08}', from - to)),
            to => sequence(out, from - to, 'D'),
        }
        self.cursor = target;
    }
}

fn start_of(row: usize) -> Position {
    Position { row, column: 0 }
}

fn sequence(out: &mut String, number: usize, letter: char) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\x1b[{number}{letter}");
}

/// Where everything in the line stands.
#[derive(Debug)]
struct Layout {
    columns: usize,
    pieces: Vec<Piece>,
    /// Where the next one would stand.
    end: Position,
}

/// A character with what takes no column and follows it: marks, and styles in the prompt.
#[derive(Debug)]
struct Piece {
    /// Its bytes in the line.
    start: usize,
    end: usize,
    at: Position,
    /// The column that stays empty before it, because it has two and did not fit.
    gap: Option<Position>,
}

impl Layout {
    fn new(columns: usize) -> Self {
        Self { columns, pieces: Vec::new(), end: Position::default() }
    }

    /// How many bytes of the line are laid out.
    fn length(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// Forgets what does not stand in this line as it did, given that the first `same` bytes are
    /// the same.
    fn keep(&mut self, same: usize, line: &str) {
        while let Some(piece) = self.pieces.last() {
            // What takes no column belongs to the piece before it.
            let is_whole = |end| line[end..].chars().next().is_none_or(|c| char_width(c) > 0);
            if piece.end <= same && is_whole(piece.end) {
                break;
            }
            self.end = piece.gap.unwrap_or(piece.at);
            self.pieces.pop();
        }
    }

    /// Lays out what follows in the line.
    fn extend(&mut self, line: &str) {
        let mut start = self.length();
        while let Some((length, width)) = piece(&line[start..]) {
            let width = width.min(self.columns);
            let mut at = self.end;
            let gap = (at.column + width > self.columns).then_some(at);
            if gap.is_some() {
                at = start_of(at.row + 1);
            }
            let end = start + length;
            self.pieces.push(Piece { start, end, at, gap });
            self.end = Position { row: at.row, column: at.column + width };
            if self.end.column == self.columns {
                self.end = start_of(at.row + 1);
            }
            start = end;
        }
    }

    /// Where the piece stands that begins at this byte of the line.
    fn position(&self, byte: usize) -> Position {
        let index = self.pieces.partition_point(|piece| piece.start < byte);
        self.pieces.get(index).map_or(self.end, |piece| piece.at)
    }
}

const ESCAPE: char = '\u{1B}';

/// The length in bytes and the columns of the first piece of a text.
fn piece(text: &str) -> Option<(usize, usize)> {
    let (mut length, width) = unit(text)?;
    while let Some((more, 0)) = unit(&text[length..]) {
        length += more;
    }
    Some((length, width))
}

/// The length in bytes and the columns of the first character or escape sequence.
fn unit(text: &str) -> Option<(usize, usize)> {
    let first = text.chars().next()?;
    if first == ESCAPE {
        let letter = text.find(|c: char| c.is_ascii_alphabetic());
        return Some((letter.map_or(text.len(), |letter| letter + 1), 0));
    }
    Some((first.len_utf8(), char_width(first)))
}
