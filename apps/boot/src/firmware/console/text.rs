//! The firmware's own text console, where there is neither a framebuffer nor a serial line.

use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::Size;
use bootllm_terminal::{Cell, Screen, WordWrap};
use core::mem;
use core::ops::Range;
use uefi::proto::console::text::Output;
use uefi::{CStr16, system};

/// What is shown on the firmware's text console, in ASCII: it mangles other characters.
pub struct TextOutput {
    wrap: WordWrap,
    /// Reused, so that writing allocates nothing once it is large enough.
    wrapped: String,
    screen: Screen,
    /// Reused, so that writing allocates nothing.
    units: Vec<u16>,
}

impl TextOutput {
    /// Clears the text console and takes it.
    pub fn open() -> Option<Self> {
        if !crate::firmware::has_text_output() {
            return None;
        }
        let (columns, rows) = system::with_stdout(|out| {
            let _ = out.clear();
            let _ = out.enable_cursor(true);
            let mode = out.current_mode().ok().flatten();
            // Every text console has at least this (UEFI specification 2.10, 12.4).
            mode.map_or((80, 25), |mode| (mode.columns(), mode.rows()))
        });
        let mut screen = Screen::new(Size { columns, rows });
        screen.clear_damage();
        let wrap = WordWrap::new(columns);
        Some(Self { wrap, wrapped: String::new(), screen, units: Vec::with_capacity(columns + 1) })
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        self.screen.size()
    }

    /// Shows text.
    pub fn write(&mut self, text: &str) {
        let mut wrapped = mem::take(&mut self.wrapped);
        wrapped.clear();
        self.wrap.write(text, &mut wrapped);
        // A scroll in the middle of a text would take rows away that nobody has seen.
        for line in wrapped.split_inclusive('\n') {
            self.screen.write(line);
            system::with_stdout(|out| self.show(out));
        }
        self.wrapped = wrapped;
    }

    /// Sets whether lines break between words.
    pub fn set_word_wrap(&mut self, on: bool) {
        self.wrap.set_on(on);
    }

    /// Shows what changed. What the firmware does not do cannot be helped here.
    fn show(&mut self, out: &mut Output) {
        let Size { rows, .. } = self.screen.size();
        for _ in 0..self.screen.scrolled().min(rows) {
            let _ = out.set_cursor_position(0, rows - 1);
            let _ = out.output_string(uefi::cstr16!("\r\n"));
        }
        for row in 0..rows {
            self.show_row(out, row);
        }
        self.screen.clear_damage();
        let cursor = self.screen.cursor();
        let _ = out.set_cursor_position(cursor.column, cursor.row);
    }

    fn show_row(&mut self, out: &mut Output, row: usize) {
        let Size { columns, rows } = self.screen.size();
        let Range { start, mut end } = self.screen.damage(row);
        if row + 1 == rows {
            // Writing the last place of all would scroll.
            end = end.min(columns - 1);
        }
        let Some(cells) = self.screen.row(row).get(start..end).filter(|cells| !cells.is_empty())
        else {
            return;
        };
        self.units.clear();
        self.units.extend(cells.iter().map(|cell| u16::from(simplified(cell))));
        self.units.push(0);
        if let Ok(text) = CStr16::from_u16_with_nul(&self.units) {
            let _ = out.set_cursor_position(start, row);
            let _ = out.output_string(text);
        }
    }
}

/// The ASCII character that stands for a cell.
fn simplified(cell: &Cell) -> u8 {
    match cell.character() {
        character @ ' '..='~' => character as u8,
        '‘' | '’' | '‚' | '′' => b'\'',
        '“' | '”' | '„' | '«' | '»' | '″' => b'"',
        '‐'..='―' | '−' | '─' => b'-',
        '•' | '·' | '●' | '…' => b'.',
        '│' => b'|',
        '█' | '▓' | '▒' | '▉'..='▏' => b'#',
        '░' => b'.',
        '▶' | '►' | '❯' | '›' => b'>',
        '\u{A0}' => b' ',
        _ => b'?',
    }
}
