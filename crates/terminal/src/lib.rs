#![no_std]
#![forbid(unsafe_code)]
//! Line editor, screen of cells, fonts: keys in, cells and pixels out.
//!
//! Nothing here does I/O. A device's driver hands what it received to a [`KeyDecoder`] and takes
//! keys out. A program hands keys to a [`LineEditor`] and writes the text that comes out to its
//! console. A console passes text through a [`WordWrap`] on its way to a terminal, or to a
//! [`Screen`] whose changed pixels a [`Painter`] draws.
//!
//! ```text
//! bytes ─► KeyDecoder ─► Key ─► LineEditor ─► text ─► WordWrap ─┬─► a terminal
//!                                                               └─► Screen ─► Painter ─► pixels
//! ```
//!
//! All of them count the width of a character in the same way, by [`char_width`], so that the
//! cursor is where the text is.

extern crate alloc;

mod csi;
mod editor;
mod keys;
mod painter;
mod screen;
mod wrap;

pub use editor::{Edit, LineEditor};
pub use keys::KeyDecoder;
pub use painter::{Painter, Rectangle, Update};
pub use screen::{Cell, Position, Screen, Style};
pub use wrap::WordWrap;

/// Asks a terminal for its size: sends the cursor to the bottom right corner, asks where it is, and
/// puts it back. The answer comes among the keys; [`KeyDecoder::take_size`] returns it.
pub const SIZE_QUERY: &str = "\x1b7\x1b[999B\x1b[999C\x1b[6n\x1b8";

/// Credits and licence of the fonts that are part of every program with a [`Painter`].
///
/// The SIL Open Font License asks that this text goes along with every copy.
pub const FONT_LICENSE: &str = include_str!("../FONTS.txt");

/// How many columns a terminal gives to a character: 0, 1 or 2.
///
/// The widths are those of Unicode's annex 11. A control character has none.
pub fn char_width(character: char) -> usize {
    match unicode_width::UnicodeWidthChar::width(character) {
        Some(width @ 0..=2) => width,
        // The table gives three columns to the three-em dash; the annex and terminals give it one.
        Some(_) => 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::char_width;

    #[test]
    fn no_character_has_more_than_two_columns() {
        assert_eq!(['a', '日', '\u{301}', '\n', '\u{2e3b}'].map(char_width), [1, 2, 0, 0, 1]);
        assert!(('\0'..=char::MAX).all(|character| char_width(character) <= 2));
    }
}
