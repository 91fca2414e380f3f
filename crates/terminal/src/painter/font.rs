//! Letters.

use super::coverage::Coverage;
use crate::screen::Cell;
use alloc::collections::BTreeMap;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use unifont::Glyph;

/// A font of one size: Noto Sans Mono for Latin letters, and GNU Unifont for all else.
///
/// Noto comes as pictures of letters in four heights. For high resolutions the largest is
/// stretched, and so is Unifont, which has one size of 8 by 16 pixels.
#[derive(Debug)]
pub(super) struct Font {
    cell_width: usize,
    cell_height: usize,
    raster: RasterHeight,
    /// Letters painted before.
    letters: BTreeMap<Letter, Coverage>,
}

/// What a letter's picture depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Letter {
    character: char,
    marks: [Option<char>; 2],
    bold: bool,
    /// How many cells wide it is.
    columns: usize,
}

impl Font {
    /// How many letters are kept: more than a text in one alphabet has.
    const LETTERS: usize = 1024;

    /// The font for a picture of this size in pixels: the largest with which there are 80 columns
    /// and 24 rows, or else the smallest.
    pub(super) fn for_picture(width: usize, height: usize) -> Self {
        let mut font = Self::new(16);
        for cell_height in [20, 24].into_iter().chain((32..).step_by(8)) {
            let larger = Self::new(cell_height);
            if larger.columns_in(width) < 80 || larger.rows_in(height) < 24 {
                break;
            }
            font = larger;
        }
        font
    }

    fn new(cell_height: usize) -> Self {
        let raster = match cell_height {
            ..20 => RasterHeight::Size16,
            20..24 => RasterHeight::Size20,
            24..32 => RasterHeight::Size24,
            32.. => RasterHeight::Size32,
        };
        let width = get_raster_width(FontWeight::Regular, raster);
        let cell_width = width * cell_height / raster.val();
        Self { cell_width, cell_height, raster, letters: BTreeMap::new() }
    }

    /// How many columns fit into this width, with a margin of half a column on both sides.
    pub(super) fn columns_in(&self, width: usize) -> usize {
        width.saturating_sub(self.cell_width) / self.cell_width
    }

    /// How many rows fit into this height, with the same margin above and below.
    pub(super) fn rows_in(&self, height: usize) -> usize {
        height.saturating_sub(self.cell_width) / self.cell_height
    }

    /// The width of a column in pixels.
    pub(super) fn cell_width(&self) -> usize {
        self.cell_width
    }

    /// The height of a row in pixels.
    pub(super) fn cell_height(&self) -> usize {
        self.cell_height
    }

    /// The picture of what is in a cell, which takes this many columns.
    pub(super) fn glyph(&mut self, cell: &Cell, columns: usize) -> &Coverage {
        let mut marks = cell.marks().filter(|&mark| !is_ignorable(mark));
        let letter = Letter {
            character: cell.character(),
            marks: [marks.next(), marks.next()],
            bold: cell.style().bold,
            columns,
        };
        if self.letters.len() >= Self::LETTERS && !self.letters.contains_key(&letter) {
            self.letters.clear();
        }
        let (cell_width, cell_height, raster) = (self.cell_width, self.cell_height, self.raster);
        self.letters.entry(letter).or_insert_with(|| {
            let mut picture = Coverage::new(columns * cell_width, cell_height);
            let pen = Pen { cell_width, cell_height, raster, bold: letter.bold, columns };
            pen.draw(letter.character, &mut picture);
            letter.marks.into_iter().flatten().for_each(|mark| pen.draw(mark, &mut picture));
            picture
        })
    }
}

/// How letters are drawn.
struct Pen {
    cell_width: usize,
    cell_height: usize,
    raster: RasterHeight,
    bold: bool,
    columns: usize,
}

impl Pen {
    fn draw(&self, character: char, picture: &mut Coverage) {
        let weight = if self.bold { FontWeight::Bold } else { FontWeight::Regular };
        if let Some(raster) = get_raster(character, weight, self.raster) {
            let letter = Coverage::from_fn(raster.width(), raster.height(), |x, y| {
                raster.pixel(x, y).unwrap_or_default()
            });
            picture.draw(&letter, 0, self.cell_width, self.cell_height);
        } else if let Some(glyph) = unifont::get_glyph(character) {
            self.draw_unifont(character, glyph, picture);
        } else {
            self.draw_unknown(picture);
        }
    }

    fn draw_unifont(&self, character: char, glyph: &Glyph, picture: &mut Coverage) {
        const HALF_WIDTH: usize = 8;
        const HEIGHT: usize = 16;
        let is_wide = glyph.is_fullwidth() && self.columns > 1;
        // Some letters are drawn over two cells but stand in one: no line of theirs may be lost.
        let squeeze = if glyph.is_fullwidth() && !is_wide { 2 } else { 1 };
        let has_pixel = |x: usize, y| (0..squeeze).any(|i| glyph.get_pixel(x * squeeze + i, y));
        let width = if is_wide { 2 * HALF_WIDTH } else { HALF_WIDTH };
        let letter = Coverage::from_fn(width, HEIGHT, |x, y| {
            let covered = has_pixel(x, y) || self.bold && x > 0 && has_pixel(x - 1, y);
            if covered { 255 } else { 0 }
        });
        let room = self.columns * self.cell_width;
        if is_drawing(character) {
            // These join those beside, above and below them.
            return picture.draw(&letter, 0, room, self.cell_height);
        }
        // Stretched by the same in both directions, so that its baseline comes to that of Noto:
        // 14/16 of twice the width is where the letters of Noto stand, within a pixel.
        let width = width / HALF_WIDTH * self.cell_width;
        picture.draw(&letter, (room - width) / 2, width, 2 * self.cell_width);
    }

    /// A box, for characters that neither font has, such as most emoji.
    fn draw_unknown(&self, picture: &mut Coverage) {
        let (width, height) = (self.columns * self.cell_width, self.cell_height);
        let line = height.div_ceil(24);
        let (left, right) = (line, width.saturating_sub(line + 1));
        let (top, bottom) = (height / 5, height * 4 / 5);
        let frame = Coverage::from_fn(width, height, |x, y| {
            let inside = (left..right).contains(&x) && (top..bottom).contains(&y);
            let hollow = (left + line..right.saturating_sub(line)).contains(&x)
                && (top + line..bottom - line).contains(&y);
            if inside && !hollow { 255 } else { 0 }
        });
        picture.draw(&frame, 0, width, height);
    }
}

/// Box drawing and block elements.
fn is_drawing(character: char) -> bool {
    matches!(character, '\u{2500}'..='\u{259F}')
}

/// Characters that show nothing: joiners, variation selectors and the like (of Unicode's
/// Default_Ignorable_Code_Point those that are no letters).
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{AD}'
            | '\u{34F}'
            | '\u{61C}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
}
