//! One cell of a screen: a character and how it looks.

/// What is shown in one column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    character: char,
    marks: [Option<char>; Cell::MARKS],
    style: Style,
}

impl Cell {
    /// Accents a character can carry: Vietnamese has two on a letter. Further ones are not shown.
    const MARKS: usize = 2;

    pub(super) fn new(character: char, style: Style) -> Self {
        Self { character, marks: [None; Self::MARKS], style }
    }

    /// The second column of a character that has two.
    pub(super) fn right_half(style: Style) -> Self {
        Self::new('\0', style)
    }

    pub(super) fn add_mark(&mut self, mark: char) {
        if let Some(free) = self.marks.iter_mut().find(|place| place.is_none()) {
            *free = Some(mark);
        }
    }

    /// The character; a space where there is none.
    pub fn character(&self) -> char {
        if self.is_right_half() { ' ' } else { self.character }
    }

    /// The marks that are shown over the character: accents, and also characters such as joiners
    /// that show nothing.
    pub fn marks(&self) -> impl Iterator<Item = char> + '_ {
        self.marks.iter().flatten().copied()
    }

    /// How it looks.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether this is the second column of the character in the cell before it.
    pub fn is_right_half(&self) -> bool {
        self.character == '\0'
    }
}

impl Default for Cell {
    fn default() -> Self {
        Self::new(' ', Style::default())
    }
}

/// How characters look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// The colour of the character: black, red, green, yellow, blue, magenta, cyan, white (0 to
    /// 7), and the same again bright (8 to 15). `None` is the colour of plain text.
    pub colour: Option<u8>,
    /// Bold letters.
    pub bold: bool,
    /// Fainter than other text.
    pub dim: bool,
    /// Foreground and background are exchanged.
    pub reverse: bool,
}

impl Style {
    /// Applies the numbers of `ESC[…m` (ECMA-48, 8.3.117, and the bright colours of aixterm).
    pub(super) fn select(&mut self, numbers: &[u16]) {
        for &number in numbers {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                7 => self.reverse = true,
                30..=37 => self.colour = Some((number - 30) as u8),
                39 => self.colour = None,
                90..=97 => self.colour = Some((number - 90 + 8) as u8),
                // Colours from larger palettes: the numbers that follow are theirs.
                38 | 48 => return,
                _ => {}
            }
        }
    }
}
