//! Where the cursor may stand in a text.
//!
//! The cursor steps over a character and the marks that follow it and take no column of their
//! own. Positions are bytes.

use crate::char_width;

/// The end of what stands at `from`.
pub(super) fn after(text: &str, from: usize) -> usize {
    let rest = &text[from..];
    let mut characters = rest.char_indices().skip(1);
    let next = characters.find(|&(_, character)| char_width(character) > 0);
    from + next.map_or(rest.len(), |(at, _)| at)
}

/// The beginning of what stands before `from`.
pub(super) fn before(text: &str, from: usize) -> usize {
    let mut characters = text[..from].char_indices().rev();
    characters.find(|&(_, character)| char_width(character) > 0).map_or(0, |(at, _)| at)
}

/// The end of the word at `from`, or of the next one.
pub(super) fn word_after(text: &str, from: usize) -> usize {
    let rest = &text[from..];
    let word = rest.find(char::is_alphanumeric).unwrap_or(rest.len());
    let length = rest[word..].find(is_break).unwrap_or(rest.len() - word);
    from + word + length
}

/// The beginning of the word before `from`.
pub(super) fn word_before(text: &str, from: usize) -> usize {
    let word = text[..from].trim_end_matches(|character| !char::is_alphanumeric(character));
    let gap = word.char_indices().rfind(|&(_, character)| is_break(character));
    gap.map_or(0, |(at, _)| after(text, at))
}

/// Whether a character ends a word. Marks belong to the letters under them.
fn is_break(character: char) -> bool {
    !character.is_alphanumeric() && char_width(character) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_over_marks() {
        let text = "e\u{301}\u{323}漢x";
        assert_eq!([0, 5, 8, 9].map(|from| after(text, from)), [5, 8, 9, 9]);
        assert_eq!([0, 5, 8, 9].map(|from| before(text, from)), [0, 0, 5, 8]);
    }

    #[test]
    fn words() {
        let text = "  un été, de\u{301}ja!";
        let end = text.len();
        for (from, next) in [(0, 4), (2, 4), (4, 10), (10, 18), (18, end)] {
            assert_eq!(word_after(text, from), next, "{from}");
        }
        for (from, previous) in [(end, 12), (12, 5), (8, 5), (5, 2), (2, 0), (0, 0)] {
            assert_eq!(word_before(text, from), previous, "{from}");
        }
    }
}
