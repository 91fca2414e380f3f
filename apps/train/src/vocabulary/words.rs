//! Words, within which pieces lie.

/// Parts a text into words: letters, or signs, either with a space before them; a digit, with a
/// space before it; any other white space on its own.
///
/// Whether a word ends between two characters depends on these two alone.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut characters = rest.char_indices();
        let (_, mut before) = characters.next()?;
        let end = characters.find(|&(_, character)| {
            !together(std::mem::replace(&mut before, character), character)
        });
        let (word, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(word)
    })
}

#[derive(PartialEq)]
enum Kind {
    Space,
    Letter,
    Digit,
    Sign,
}

fn kind(character: char) -> Kind {
    match character {
        c if c.is_whitespace() => Kind::Space,
        c if c.is_alphabetic() => Kind::Letter,
        c if c.is_numeric() => Kind::Digit,
        _ => Kind::Sign,
    }
}

fn together(left: char, right: char) -> bool {
    match (kind(left), kind(right)) {
        (Kind::Space, Kind::Space) => false,
        (Kind::Space, _) => left == ' ',
        (Kind::Letter, Kind::Letter) | (Kind::Sign, Kind::Sign) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_begin_with_their_space() {
        let text = " \"Don't go,\" said  Émile\n\n in 1837—!\t";
        let found: Vec<_> = words(text).collect();
        let expected = [
            " \"", "Don", "'", "t", " go", ",\"", " said", " ", " Émile", "\n", "\n", " in", " 1",
            "8", "3", "7", "—!", "\t",
        ];
        assert_eq!(found, expected);
        assert_eq!(words("").count(), 0);
    }
}
