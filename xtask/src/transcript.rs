//! What a user would have read on a terminal, from the bytes that were sent to it.
//!
//! A small terminal emulator: text, carriage returns, backspaces and the cursor movements that the
//! program uses. Overwritten text is gone, styles are left out, and because it reports a very wide
//! screen, the program wraps no line. A row is settled when the cursor has left it and it has not
//! changed for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Columns and rows of this terminal: so many that the program wraps no line and never waits after a
/// page.
const COLUMNS: usize = 30_000;
const ROWS: usize = 999;
/// How long a row may still change: a menu that counts down redraws it every second.
const SETTLES_AFTER: Duration = Duration::from_millis(1500);

/// A terminal that remembers.
pub struct Transcript {
    rows: VecDeque<Row>,
    row: usize,
    column: usize,
    state: State,
    /// The first bytes of a character that is incomplete.
    partial: Vec<u8>,
    /// Settled text that was not taken yet.
    settled: String,
    lines: usize,
    /// The cursor that `ESC 7` saved, as a row and a column.
    saved: (usize, usize),
    /// Whether the program has asked where the cursor is, to learn the size of the terminal.
    asked_size: bool,
}

struct Row {
    cells: Vec<char>,
    /// Whether the line continues in the next row.
    wrapped: bool,
    touched: Instant,
}

/// Where in an escape sequence the stream is.
enum State {
    Text,
    Escape,
    Sequence(String),
}

impl Default for Transcript {
    /// An empty screen.
    fn default() -> Self {
        Self {
            rows: VecDeque::from([Row::new()]),
            row: 0,
            column: 0,
            state: State::Text,
            partial: Vec::new(),
            settled: String::new(),
            lines: 0,
            saved: (0, 0),
            asked_size: false,
        }
    }
}

impl Transcript {
    /// Shows bytes that were sent.
    pub fn write(&mut self, bytes: &[u8]) {
        self.partial.extend(bytes);
        let bytes = std::mem::take(&mut self.partial);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (valid, bad) = match std::str::from_utf8(rest) {
                Ok(_) => (rest.len(), 0),
                Err(error) => match error.error_len() {
                    Some(bad) => (error.valid_up_to(), bad),
                    None => {
                        self.partial = rest[error.valid_up_to()..].to_vec();
                        rest = &rest[..error.valid_up_to()];
                        (rest.len(), 0)
                    }
                },
            };
            let (text, after) = rest.split_at(valid);
            for c in String::from_utf8_lossy(text).chars() {
                self.put(c);
            }
            if bad > 0 {
                self.put(char::REPLACEMENT_CHARACTER);
            }
            rest = &after[bad..];
        }
    }

    /// What the terminal answers if it was asked for its size since this was last called.
    pub fn take_size_report(&mut self) -> Option<String> {
        std::mem::take(&mut self.asked_size).then(|| format!("\x1b[{ROWS};{COLUMNS}R"))
    }

    /// Newlines so far.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// The text in the cursor's row before and after the cursor.
    pub fn at_cursor(&self) -> (String, String) {
        let cells = &self.rows[self.row].cells;
        let column = self.column.min(cells.len());
        let (before, after) = cells.split_at(column);
        (before.iter().collect(), after.iter().collect())
    }

    /// The last lines that are not empty, for error messages.
    pub fn tail(&self, lines: usize) -> String {
        let shown: Vec<String> = self
            .rows
            .iter()
            .map(|row| row.cells.iter().collect::<String>())
            .filter(|line| !line.trim().is_empty())
            .collect();
        shown[shown.len().saturating_sub(lines)..].join("\n")
    }

    /// The text that settled since the last call.
    pub fn take_settled(&mut self, now: Instant) -> String {
        while self.row > 0 {
            // A line settles as a whole, with all its rows.
            let end = self.rows.iter().position(|row| !row.wrapped).unwrap_or(self.row);
            let old = |row: &Row| now.saturating_duration_since(row.touched) >= SETTLES_AFTER;
            if end >= self.row || !self.rows.iter().take(end + 1).all(old) {
                break;
            }
            self.settle_first_line(end);
        }
        std::mem::take(&mut self.settled)
    }

    /// The rest of the text, with the cursor's row.
    pub fn take_all(&mut self) -> String {
        self.settle_all();
        std::mem::take(&mut self.settled)
    }

    fn settle_first_line(&mut self, end: usize) {
        for row in self.rows.drain(..=end) {
            self.settled.extend(row.cells);
        }
        self.settled.push('\n');
        self.row -= end + 1;
    }

    fn settle_all(&mut self) {
        while self.row > 0 || self.rows.len() > 1 {
            let end = self.rows.iter().position(|row| !row.wrapped).unwrap_or(self.rows.len() - 1);
            if end + 1 == self.rows.len() {
                break;
            }
            self.row = self.row.max(end + 1);
            self.settle_first_line(end);
        }
        let last: String = self.rows.drain(..).flat_map(|row| row.cells).collect();
        if !last.is_empty() {
            self.settled.push_str(&last);
            self.settled.push('\n');
        }
        self.rows.push_back(Row::new());
        (self.row, self.column) = (0, 0);
    }

    fn put(&mut self, c: char) {
        match &mut self.state {
            State::Text => self.show(c),
            State::Escape => {
                self.state = if c == '[' { State::Sequence(String::new()) } else { State::Text };
                match c {
                    '7' => self.saved = (self.row, self.column),
                    '8' => {
                        self.row = self.saved.0.min(self.rows.len() - 1);
                        self.column = self.saved.1;
                    }
                    _ => {}
                }
            }
            State::Sequence(parameters) => {
                if c.is_ascii_alphabetic() {
                    let parameters = std::mem::take(parameters);
                    self.state = State::Text;
                    self.obey(&parameters, c);
                } else if parameters.len() < 32 {
                    parameters.push(c);
                } else {
                    self.state = State::Text;
                }
            }
        }
    }

    fn show(&mut self, c: char) {
        match c {
            '\n' => {
                self.lines += 1;
                self.rows[self.row].wrapped = false;
                self.move_down(1);
                self.column = 0;
            }
            '\r' => self.column = 0,
            '\u{8}' => self.column = self.column.saturating_sub(1),
            '\u{1b}' => self.state = State::Escape,
            c if c.is_control() => {}
            c => {
                if self.column >= COLUMNS {
                    self.rows[self.row].wrapped = true;
                    self.move_down(1);
                    self.column = 0;
                }
                let row = &mut self.rows[self.row];
                row.touched = Instant::now();
                while row.cells.len() <= self.column {
                    row.cells.push(' ');
                }
                row.cells[self.column] = c;
                self.column += 1;
            }
        }
    }

    fn obey(&mut self, parameters: &str, command: char) {
        let number = |default: usize| match parameters.split(';').next_back() {
            Some(number) => number.parse().unwrap_or(default).clamp(1, COLUMNS),
            None => default,
        };
        match command {
            'A' => self.row -= number(1).min(self.row),
            'B' => self.row = (self.row + number(1)).min(self.rows.len() - 1),
            'C' => self.column = (self.column + number(1)).min(COLUMNS - 1),
            'D' => self.column -= number(1).min(self.column),
            // A program that starts at the top draws a new page; the last one was read.
            'H' => {
                self.settle_all();
                self.column = number(1) - 1;
            }
            'J' if parameters == "2" => self.settle_all(),
            'J' => {
                self.clear_line();
                self.rows.truncate(self.row + 1);
            }
            'K' => self.clear_line(),
            'n' if parameters == "6" => self.asked_size = true,
            _ => {}
        }
    }

    fn clear_line(&mut self) {
        let row = &mut self.rows[self.row];
        row.cells.truncate(self.column);
        row.touched = Instant::now();
    }

    fn move_down(&mut self, rows: usize) {
        self.row += rows;
        while self.rows.len() <= self.row {
            self.rows.push_back(Row::new());
        }
    }
}

impl Row {
    fn new() -> Self {
        Self { cells: Vec::new(), wrapped: false, touched: Instant::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sent: &str) -> String {
        let mut transcript = Transcript::default();
        transcript.write(sent.as_bytes());
        transcript.take_all()
    }

    #[test]
    fn what_a_user_reads() {
        let long = "x".repeat(200);
        let cases = [
            ("one\r\ntwo\r\n", "one\ntwo\n"),
            ("no end", "no end\n"),
            ("10%\r20%\r\u{1b}[Kdone\r\n", "done\n"),
            ("\u{1b}[1mbold\u{1b}[0m \u{1b}[91mred\u{1b}[39m\n", "bold red\n"),
            ("abc\u{8}\u{8}X\n", "aXc\n"),
            ("abcd\u{1b}[2D\u{1b}[K!\n", "ab!\n"),
            ("a\nb\n\u{1b}[2AA\u{1b}[B\rB\n", "A\nB\n"),
            ("first\n\u{1b}[2J\u{1b}[01;01Hsecond\n", "first\nsecond\n"),
            ("a\nb\nc\u{1b}[2A\r\u{1b}[Jz\n", "z\n"),
            ("\u{1b}[=3htext\n", "text\n"),
            ("\u{e9}\u{4e2d}\u{1f600}\n", "\u{e9}\u{4e2d}\u{1f600}\n"),
            ("trailing  \n\n  leading\n", "trailing  \n\n  leading\n"),
            (&format!("{long}\nnext\n"), &format!("{long}\nnext\n")),
        ];
        for (sent, expected) in cases {
            assert_eq!(read(sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn the_terminal_reports_its_size_when_asked() {
        let mut transcript = Transcript::default();
        transcript.write(b"before\r\n>>> \x1b7\x1b[999B\x1b[999C\x1b[6");
        assert_eq!(transcript.take_size_report(), None);
        transcript.write(b"n\x1b8typed\r\n");
        assert_eq!(transcript.take_size_report(), Some(format!("\x1b[{ROWS};{COLUMNS}R")));
        assert_eq!(transcript.take_size_report(), None);
        assert_eq!(transcript.take_all(), "before\n>>> typed\n");
    }

    #[test]
    fn bytes_come_in_any_portions() {
        let sent = "caf\u{e9} \u{1b}[1m\u{1f600}\u{1b}[0m\r\n";
        let mut transcript = Transcript::default();
        for byte in sent.bytes() {
            transcript.write(&[byte]);
        }
        transcript.write(b"bad \xff byte\n");
        assert_eq!(transcript.take_all(), "caf\u{e9} \u{1f600}\nbad \u{fffd} byte\n");
    }

    #[test]
    fn a_row_settles_when_it_has_stayed_for_a_while() {
        let mut transcript = Transcript::default();
        transcript.write(b"starts in 3 s\r\n");
        let now = Instant::now();
        assert_eq!(transcript.take_settled(now), "");
        transcript.write(b"\x1b[Astarts in 2 s\r\nstory");
        let later = Instant::now() + SETTLES_AFTER;
        assert_eq!(transcript.take_settled(later), "starts in 2 s\n");
        assert_eq!(transcript.take_settled(later), "");
        assert_eq!(transcript.at_cursor(), ("story".to_owned(), String::new()));
        assert_eq!(transcript.take_all(), "story\n");
    }

    #[test]
    fn a_hostile_stream_does_no_harm() {
        let mut state = 1u32;
        let mut transcript = Transcript::default();
        for _ in 0..200_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bytes = b"ab \r\n\x08\x1b[[[0123456789;;;ABCDHJKmn\xff\xc3\xa9";
            transcript.write(&[bytes[(state >> 16) as usize % bytes.len()]]);
        }
        transcript.take_all();
    }
}
