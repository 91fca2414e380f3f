//! ANSI control sequences while they come in.

/// What follows `ESC [`: numbers separated by `;`, and a letter that says what they are for
/// (ECMA-48, 5.4).
///
/// Text carries them to a screen and keyboards send them for keys: both read them with this.
#[derive(Clone, Debug, Default)]
pub(crate) struct Csi {
    numbers: [u16; 8],
    /// Which number is being read; numbers past the last are dropped.
    index: usize,
    empty: bool,
    /// Holds a character that is in none of the sequences we know.
    foreign: bool,
}

/// What a character made of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It belongs to the sequence, and more must follow.
    More,
    /// It ends the sequence and is its letter.
    Final(char),
    /// It cannot be in a sequence: the sequence is broken, and the character stands for itself.
    Broken,
}

impl Csi {
    /// A sequence of which nothing came yet.
    pub(crate) fn new() -> Self {
        Self { empty: true, ..Self::default() }
    }

    /// Takes the next character after `ESC [`.
    pub(crate) fn push(&mut self, character: char) -> Step {
        self.empty = false;
        match character {
            '0'..='9' => {
                if let Some(number) = self.numbers.get_mut(self.index) {
                    let digit = character as u16 - '0' as u16;
                    *number = number.saturating_mul(10).saturating_add(digit);
                }
            }
            ';' => self.index = (self.index + 1).min(self.numbers.len()),
            ' '..='/' | ':' | '<'..='?' => self.foreign = true,
            '@'..='~' => return Step::Final(character),
            _ => return Step::Broken,
        }
        Step::More
    }

    /// The numbers in order. There is always one; those left out are 0.
    pub(crate) fn numbers(&self) -> &[u16] {
        &self.numbers[..self.numbers.len().min(self.index + 1)]
    }

    /// Whether nothing came after `ESC [` yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Whether only numbers and `;` came. Other sequences mean something else by the same letter.
    pub(crate) fn is_plain(&self) -> bool {
        !self.foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Csi, Step) {
        let mut csi = Csi::new();
        let step = text.chars().fold(Step::More, |_, character| csi.push(character));
        (csi, step)
    }

    #[test]
    fn numbers_and_letter() {
        for (text, numbers, letter, plain) in [
            ("A", &[0][..], 'A', true),
            ("12A", &[12], 'A', true),
            ("1;31m", &[1, 31], 'm', true),
            (";5H", &[0, 5], 'H', true),
            ("99999999m", &[u16::MAX], 'm', true),
            ("1;2;3;4;5;6;7;8;9;10m", &[1, 2, 3, 4, 5, 6, 7, 8], 'm', true),
            ("?25h", &[25], 'h', false),
            ("4:3m", &[43], 'm', false),
        ] {
            let (csi, step) = read(text);
            assert_eq!(
                (csi.numbers(), step, csi.is_plain()),
                (numbers, Step::Final(letter), plain),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_in_a_sequence_breaks_it() {
        for text in ["1\n", "\u{1b}", "2\u{e9}"] {
            assert_eq!(read(text).1, Step::Broken, "{text:?}");
        }
    }
}
