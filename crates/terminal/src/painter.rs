//! Cells of a screen as pixels.

mod coverage;
mod font;
mod palette;

use crate::screen::{Cell, Position, Screen};
use alloc::vec::Vec;
use bootllm_platform::Size;
use core::ops::Range;
use font::Font;
use palette::{BACKGROUND, CURSOR, Colours};

/// Paints a [`Screen`] into pixels of its own, as little of them as changed.
///
/// The pixels are `0x00RRGGBB`, row by row, which is how UEFI's blits take them (blue, green, red,
/// reserved). The size of the letters follows from that of the picture: 80 to 120 columns, so that
/// a person can read from a chair.
#[derive(Debug)]
pub struct Painter {
    width: usize,
    height: usize,
    pixels: Vec<u32>,
    font: Font,
    size: Size,
    /// Where the cursor is painted.
    cursor: Option<Position>,
    /// Nothing of the screen is painted yet.
    empty: bool,
    changed: Vec<Rectangle>,
}

/// What [`Painter::paint`] changed.
#[derive(Debug)]
pub struct Update<'a> {
    /// All pixels, row by row from the top.
    pub pixels: &'a [u32],
    /// Pixels in a row.
    pub stride: usize,
    /// Where they changed.
    pub changed: &'a [Rectangle],
}

/// A part of a picture, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Rectangle {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Painter {
    /// A painter for a picture of this size in pixels. `None` if it has no pixels, or more than
    /// there is memory for (4 bytes a pixel).
    pub fn new(width: usize, height: usize) -> Option<Self> {
        let count = width.checked_mul(height).filter(|&count| count > 0)?;
        let mut pixels = Vec::new();
        pixels.try_reserve_exact(count).ok()?;
        pixels.resize(count, BACKGROUND);
        let font = Font::for_picture(width, height);
        let size =
            Size { columns: font.columns_in(width).max(1), rows: font.rows_in(height).max(1) };
        Some(Self {
            width,
            height,
            pixels,
            font,
            size,
            cursor: None,
            empty: true,
            changed: Vec::new(),
        })
    }

    /// The columns and rows that fit: the size that the screen should have.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Says that the picture was lost: the next [`paint`](Self::paint) paints all of it.
    pub fn restart(&mut self) {
        self.empty = true;
    }

    /// Paints what changed on the screen, and clears its damage.
    ///
    /// Of a screen of another size than [`size`](Self::size), what fits is painted.
    pub fn paint(&mut self, screen: &mut Screen) -> Update<'_> {
        let rows = self.size.rows.min(screen.size().rows);
        let columns = self.size.columns.min(screen.size().columns);
        let scrolled = screen.scrolled();
        // What comes up from below the picture was never painted.
        let unseen = scrolled > 0 && screen.size() != self.size;
        let everything = core::mem::take(&mut self.empty) || unseen;
        self.changed.clear();
        if everything {
            self.pixels.fill(BACKGROUND);
            self.cursor = None;
            self.changed.push(Rectangle { x: 0, y: 0, width: self.width, height: self.height });
        } else if scrolled > 0 {
            self.scroll(scrolled);
        }

        let old_cursor = self.cursor.replace(screen.cursor());
        for row in 0..rows {
            let mut damage = if everything { 0..columns } else { screen.damage(row) };
            if old_cursor != self.cursor {
                for cursor in [old_cursor, self.cursor].into_iter().flatten() {
                    if cursor.row == row {
                        damage = union(damage, cursor.column..cursor.column + 1);
                    }
                }
            }
            let cells = &screen.row(row)[..columns];
            let damage = whole_characters(cells, damage.start..damage.end.min(columns));
            if !damage.is_empty() {
                self.paint_row(cells, row, damage.clone());
                if !everything && scrolled == 0 {
                    let rectangle = self.rectangle(row, damage);
                    self.changed.push(rectangle);
                }
            }
        }
        screen.clear_damage();
        Update { pixels: &self.pixels, stride: self.width, changed: &self.changed }
    }

    /// Moves all rows of text up.
    fn scroll(&mut self, rows: usize) {
        let text = self.rectangle(0, 0..self.size.columns);
        let height = (self.size.rows * self.font.cell_height()).min(self.height);
        // The margins beside the text are empty and can move with it.
        let line = |y: usize| (text.y + y) * self.width;
        let distance = rows.saturating_mul(self.font.cell_height());
        if distance < height {
            self.pixels.copy_within(line(distance)..line(height), line(0));
        }
        self.cursor = self
            .cursor
            .and_then(|cursor| Some(Position { row: cursor.row.checked_sub(rows)?, ..cursor }));
        self.changed.push(Rectangle { height, ..text });
    }

    /// Paints characters that begin and end within these columns.
    fn paint_row(&mut self, cells: &[Cell], row: usize, columns: Range<usize>) {
        let mut column = columns.start;
        while column < columns.end {
            let end = character_end(cells, column);
            let has_cursor = self
                .cursor
                .is_some_and(|cursor| cursor.row == row && (column..end).contains(&cursor.column));
            self.paint_character(&cells[column], row, column..end, has_cursor);
            column = end;
        }
    }

    fn paint_character(&mut self, cell: &Cell, row: usize, columns: Range<usize>, cursor: bool) {
        let mut colours = Colours::of(cell.style());
        if cursor {
            colours = Colours { text: BACKGROUND, background: CURSOR };
        }
        let area = self.rectangle(row, columns.clone());
        let glyph = self.font.glyph(cell, columns.len());
        let lines = self.pixels.chunks_exact_mut(self.width).skip(area.y).take(area.height);
        for (line, coverage) in lines.zip(glyph.lines()) {
            let line = &mut line[area.x..area.x + area.width];
            for (pixel, &coverage) in line.iter_mut().zip(coverage) {
                *pixel = colours.mix(coverage);
            }
        }
    }

    /// The pixels of some columns of a row, so far as the picture has them.
    fn rectangle(&self, row: usize, columns: Range<usize>) -> Rectangle {
        let (cell_width, cell_height) = (self.font.cell_width(), self.font.cell_height());
        // What is left over is divided among both sides.
        let left = self.width.saturating_sub(self.size.columns * cell_width) / 2;
        let top = self.height.saturating_sub(self.size.rows * cell_height) / 2;
        let x = (left + columns.start * cell_width).min(self.width);
        let y = (top + row * cell_height).min(self.height);
        Rectangle {
            x,
            y,
            width: (columns.len() * cell_width).min(self.width - x),
            height: cell_height.min(self.height - y),
        }
    }
}

/// The smallest range that holds both.
fn union(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    if a.is_empty() { b } else { a.start.min(b.start)..a.end.max(b.end) }
}

/// Widens a range of columns so that it cuts no character in two.
fn whole_characters(cells: &[Cell], columns: Range<usize>) -> Range<usize> {
    if columns.is_empty() {
        return columns;
    }
    let cut = columns.start > 0 && cells[columns.start].is_right_half();
    columns.start - usize::from(cut)..character_end(cells, columns.end - 1)
}

/// The column after the character in this column.
fn character_end(cells: &[Cell], column: usize) -> usize {
    column + 1 + usize::from(cells.get(column + 1).is_some_and(Cell::is_right_half))
}

#[cfg(test)]
mod tests;
