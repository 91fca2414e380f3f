//! Words, within which tokens are merged.

/// Splits a text into words: letters or punctuation, with the space before them; a single digit,
/// with the space before it; other white space, each on its own.
///
/// Whether two adjacent characters belong to one word depends on these two alone.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut characters = rest.char_indices();
        let (_, mut before) = characters.next()?;
        let end = characters.find(|&(_, character)| {
            !same_word(std::mem::replace(&mut before, character), character)
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
    Punctuation,
}

fn kind(character: char) -> Kind {
    match character {
        c if c.is_whitespace() => Kind::Space,
        c if c.is_alphabetic() => Kind::Letter,
        c if c.is_numeric() => Kind::Digit,
        _ => Kind::Punctuation,
    }
}

fn same_word(left: char, right: char) -> bool {
    match (kind(left), kind(right)) {
        (Kind::Space, Kind::Space) => false,
        (Kind::Space, _) => left == ' ',
        (Kind::Letter, Kind::Letter) | (Kind::Punctuation, Kind::Punctuation) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_start_with_their_space() {
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
