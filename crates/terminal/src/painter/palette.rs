//! Colours.

use crate::screen::Style;

/// The background of the text.
pub(super) const BACKGROUND: u32 = 0x12161C;
/// The block that is the cursor.
pub(super) const CURSOR: u32 = 0xE8B04A;

/// Plain text.
const TEXT: u32 = 0xD9DEE5;

/// The sixteen colours of terminals. "Black" is a grey, since the background is dark: text in any
/// of them can be read.
const PALETTE: [u32; 16] = [
    0x7A8594, // black
    0xE56B6F, // red
    0x88C070, // green
    0xDDB65C, // yellow
    0x6CA8E8, // blue
    0xC086D8, // magenta
    0x5BBDC4, // cyan
    0xC9CFD8, // white
    0x98A2B0, // bright black
    0xF49296, // bright red
    0xA9D995, // bright green
    0xF0D08A, // bright yellow
    0x96C4F7, // bright blue
    0xD8ABEA, // bright magenta
    0x8AD9DF, // bright cyan
    0xF6F8FA, // bright white
];

/// The two colours of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colours {
    pub(super) text: u32,
    pub(super) background: u32,
}

impl Colours {
    pub(super) fn of(style: Style) -> Self {
        let text = style.colour.and_then(|colour| PALETTE.get(usize::from(colour)).copied());
        let plain = Self { text: text.unwrap_or(TEXT), background: BACKGROUND };
        let text = if style.dim { plain.mix(DIM) } else { plain.text };
        if style.reverse {
            Self { text: BACKGROUND, background: text }
        } else {
            Self { text, background: BACKGROUND }
        }
    }

    /// The colour of a pixel of which the letter covers this much of 255.
    pub(super) fn mix(self, coverage: u8) -> u32 {
        let coverage = u32::from(coverage);
        let channel = |shift: u32| {
            let (text, background) = (self.text >> shift & 0xFF, self.background >> shift & 0xFF);
            ((text * coverage + background * (255 - coverage) + 127) / 255) << shift
        };
        match coverage {
            0 => self.background,
            255 => self.text,
            _ => channel(16) | channel(8) | channel(0),
        }
    }
}

/// How much of its colour dim text keeps, of 255.
const DIM: u8 = 160;

#[cfg(test)]
mod tests {
    use super::*;

    /// The contrast ratio of two colours (WCAG 2.2, "contrast ratio"): 1 to 21.
    fn contrast(a: u32, b: u32) -> f64 {
        let luminance = |colour: u32| {
            [(16, 0.2126), (8, 0.7152), (0, 0.0722)]
                .map(|(shift, weight)| {
                    let value = f64::from(colour >> shift & 0xFF) / 255.0;
                    weight * ((value + 0.055) / 1.055).max(0.0).powf(2.4).max(value / 12.92)
                })
                .iter()
                .sum::<f64>()
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read() {
        for colour in (0..16).map(Some).chain([None]) {
            for reverse in [false, true] {
                let style = Style { colour, reverse, ..Style::default() };
                let colours = Colours::of(style);
                let found = contrast(colours.text, colours.background);
                assert!(found >= 4.5, "{style:?}: {found}");
                let dim = Colours::of(Style { dim: true, ..style });
                let found = contrast(dim.text, dim.background);
                assert!(found >= 2.5, "{style:?} dim: {found}");
            }
        }
        assert!(contrast(CURSOR, BACKGROUND) >= 7.0);
    }

    #[test]
    fn mixing() {
        let colours = Colours { text: 0xFF8000, background: 0x0080FF };
        assert_eq!(colours.mix(0), 0x0080FF);
        assert_eq!(colours.mix(255), 0xFF8000);
        assert_eq!(colours.mix(51), 0x3380CC);
    }

    #[test]
    fn reverse_exchanges() {
        let style = Style { colour: Some(1), ..Style::default() };
        let plain = Colours::of(style);
        let reverse = Colours::of(Style { reverse: true, ..style });
        assert_eq!(reverse, Colours { text: plain.background, background: plain.text });
    }
}
