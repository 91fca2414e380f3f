//! A screen of cells, as a terminal has it.

mod cell;

use crate::char_width;
use crate::csi::{Csi, Step};
use alloc::vec;
use alloc::vec::Vec;
use bootllm_platform::Size;
use core::ops::Range;

pub use cell::{Cell, Style};

/// A grid of cells that text is written to, with the ANSI sequences of
/// [`Console::write`](bootllm_platform::Console::write) and no others.
///
/// It remembers what changed, for whoever paints it: how many rows were scrolled, and which
/// columns of each row differ, until [`clear_damage`](Self::clear_damage).
#[derive(Clone, Debug)]
pub struct Screen {
    size: Size,
    /// Row by row.
    cells: Vec<Cell>,
    cursor: Position,
    /// The last column was written: the next character goes to the next row, but the cursor does
    /// not until then, as on a VT100.
    wrap_pending: bool,
    style: Style,
    sequence: Sequence,
    scrolled: usize,
    /// The changed columns of each row.
    damage: Vec<Range<usize>>,
}

/// A place in a grid of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From the top, beginning with 0.
    pub row: usize,
    /// From the left, beginning with 0.
    pub column: usize,
}

/// How far an escape sequence has come.
#[derive(Clone, Debug)]
enum Sequence {
    None,
    /// ESC, and maybe characters that announce a longer sequence.
    Escape,
    Csi(Csi),
}

const TAB_STOP: usize = 8;

impl Screen {
    /// An empty screen, with one column and one row at least.
    pub fn new(size: Size) -> Self {
        let size = Size { columns: size.columns.max(1), rows: size.rows.max(1) };
        Self {
            size,
            cells: vec![Cell::default(); size.columns * size.rows],
            cursor: Position::default(),
            wrap_pending: false,
            style: Style::default(),
            sequence: Sequence::None,
            scrolled: 0,
            damage: vec![0..size.columns; size.rows],
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Where the next character goes. (After the last column of a row has been written, it is
    /// still there.)
    pub fn cursor(&self) -> Position {
        self.cursor
    }

    /// The cells of a row, counted from the top.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[Cell] {
        &self.cells[row * self.size.columns..][..self.size.columns]
    }

    /// How many rows went out at the top since the damage was cleared.
    pub fn scrolled(&self) -> usize {
        self.scrolled
    }

    /// The columns of a row that changed since the damage was cleared, beyond what scrolling
    /// moved. Empty if none did, or if there is no such row.
    pub fn damage(&self, row: usize) -> Range<usize> {
        self.damage.get(row).cloned().unwrap_or(0..0)
    }

    /// Says that all changes have been seen.
    pub fn clear_damage(&mut self) {
        self.scrolled = 0;
        self.damage.fill(0..0);
    }

    /// Shows text. A sequence may begin in one text and end in the next.
    pub fn write(&mut self, text: &str) {
        for character in text.chars() {
            self.write_char(character);
        }
    }

    fn write_char(&mut self, character: char) {
        match core::mem::replace(&mut self.sequence, Sequence::None) {
            Sequence::None => self.plain(character),
            Sequence::Escape => match character {
                '[' => self.sequence = Sequence::Csi(Csi::new()),
                // Characters that announce a third one (ECMA-35): not one of ours, but whole.
                ' '..='/' => self.sequence = Sequence::Escape,
                '0'..='~' => {}
                _ => self.plain(character),
            },
            Sequence::Csi(mut csi) => match csi.push(character) {
                Step::More => self.sequence = Sequence::Csi(csi),
                Step::Final(letter) if csi.is_plain() => self.control_sequence(&csi, letter),
                Step::Final(_) => {}
                Step::Broken => self.plain(character),
            },
        }
    }

    /// A character that is in no sequence.
    fn plain(&mut self, character: char) {
        match character {
            '\n' => self.new_line(),
            '\r' => self.move_to(self.cursor.row, 0),
            '\u{08}' => self.move_to(self.cursor.row, self.cursor.column.saturating_sub(1)),
            // Code is full of them, and every terminal has them.
            '\t' => {
                let stop = (self.cursor.column / TAB_STOP + 1) * TAB_STOP;
                self.move_to(self.cursor.row, stop);
            }
            '\u{1B}' => self.sequence = Sequence::Escape,
            _ if character.is_control() => {}
            _ => match char_width(character) {
                0 => self.put_mark(character),
                width => self.put(character, width.min(self.size.columns)),
            },
        }
    }

    fn control_sequence(&mut self, csi: &Csi, letter: char) {
        let Position { row, column } = self.cursor;
        let number = csi.numbers()[0];
        let distance = usize::from(number.max(1));
        match (letter, number) {
            ('A', _) => self.move_to(row.saturating_sub(distance), column),
            ('B', _) => self.move_to(row + distance, column),
            ('C', _) => self.move_to(row, column + distance),
            ('D', _) => self.move_to(row, column.saturating_sub(distance)),
            ('H', 0) => self.move_to(0, 0),
            ('J', 0) => {
                self.erase(row, column..self.size.columns);
                self.erase_rows(row + 1);
            }
            ('J', 2) => self.erase_rows(0),
            ('K', 0) => self.erase(row, column..self.size.columns),
            ('m', _) => self.style.select(csi.numbers()),
            _ => {}
        }
    }

    /// Moves the cursor, to the edge if the place is beyond it.
    fn move_to(&mut self, row: usize, column: usize) {
        self.cursor.row = row.min(self.size.rows - 1);
        self.cursor.column = column.min(self.size.columns - 1);
        self.wrap_pending = false;
    }

    fn new_line(&mut self) {
        if self.cursor.row + 1 == self.size.rows {
            self.scroll();
        }
        self.move_to(self.cursor.row + 1, 0);
    }

    fn scroll(&mut self) {
        self.cells.rotate_left(self.size.columns);
        self.damage.rotate_left(1);
        self.scrolled = self.scrolled.saturating_add(1);
        let last = self.size.rows - 1;
        let first_cell = last * self.size.columns;
        self.cells[first_cell..].fill(Cell::default());
        self.damage[last] = 0..self.size.columns;
    }

    /// Writes a character of one or two columns at the cursor.
    fn put(&mut self, character: char, width: usize) {
        if self.wrap_pending || self.cursor.column + width > self.size.columns {
            self.new_line();
        }
        let Position { row, column } = self.cursor;
        let style = self.style;
        self.change(row, column..column + width)[..]
            .copy_from_slice(&[Cell::new(character, style), Cell::right_half(style)][..width]);
        self.move_to(row, column + width);
        self.wrap_pending = column + width == self.size.columns;
    }

    /// Adds a mark that takes no column to the character before the cursor.
    fn put_mark(&mut self, mark: char) {
        let Position { row, column } = self.cursor;
        let Some(mut column) =
            (if self.wrap_pending { Some(column) } else { column.checked_sub(1) })
        else {
            return;
        };
        if self.row(row)[column].is_right_half() {
            column = column.saturating_sub(1);
        }
        let width = self.character_width(row, column);
        let start = row * self.size.columns + column;
        self.cells[start].add_mark(mark);
        self.mark_damage(row, column..column + width);
    }

    fn erase(&mut self, row: usize, columns: Range<usize>) {
        self.change(row, columns).fill(Cell::default());
        self.wrap_pending = false;
    }

    fn erase_rows(&mut self, from: usize) {
        for row in from..self.size.rows {
            self.erase(row, 0..self.size.columns);
        }
    }

    /// The cells of some columns, to be overwritten. A character of two columns of which one half
    /// is outside of them goes.
    fn change(&mut self, row: usize, columns: Range<usize>) -> &mut [Cell] {
        let cells = self.row(row);
        let splits_first = columns.start > 0 && cells[columns.start].is_right_half();
        let splits_last = cells.get(columns.end).is_some_and(Cell::is_right_half);
        let whole =
            columns.start - usize::from(splits_first)..columns.end + usize::from(splits_last);
        self.mark_damage(row, whole.clone());
        let start = row * self.size.columns;
        self.cells[start + whole.start..start + whole.end].fill(Cell::default());
        &mut self.cells[start + columns.start..start + columns.end]
    }

    /// How many columns the character at this place has.
    fn character_width(&self, row: usize, column: usize) -> usize {
        1 + usize::from(self.row(row).get(column + 1).is_some_and(Cell::is_right_half))
    }

    fn mark_damage(&mut self, row: usize, columns: Range<usize>) {
        let damage = &mut self.damage[row];
        *damage = if Range::is_empty(damage) {
            columns
        } else {
            damage.start.min(columns.start)..damage.end.max(columns.end)
        };
    }
}

#[cfg(test)]
mod tests;
