//! Long texts, shown page by page.

use crate::state::State;
use crate::{World, prompt};
use alloc::string::String;
use bootllm_platform::{Event, Key, Size};
use bootllm_terminal::WordWrap;

/// What asks the user to go on.
const MORE: &str = "-- Space: next page, Enter: next line, q: end --";

/// A text of which a part was shown.
pub(crate) struct Pager {
    text: String,
    /// Bytes that were shown.
    shown: usize,
}

impl Pager {
    /// Shows the first page of a text, and goes on to the prompt if that is all of it.
    pub(crate) fn begin(text: String, world: &mut World<'_>) -> State {
        let page = page_rows(world);
        Pager { text, shown: 0 }.show(page, world)
    }

    pub(crate) fn on(self, event: Event, world: &mut World<'_>) -> State {
        let rows = match event {
            Event::Key(Key::Char(' ') | Key::PageDown) => page_rows(world),
            Event::Key(Key::Enter | Key::Down) => 1,
            Event::Key(Key::Char('q' | 'Q') | Key::Escape | Key::Ctrl('c' | 'd'))
            | Event::Closed => 0,
            Event::Key(_) | Event::Timeout => return State::Page(self),
        };
        world.terminal.write("\r\x1b[K");
        if rows == 0 { prompt::begin(world) } else { self.show(rows, world) }
    }

    fn show(mut self, rows: usize, world: &mut World<'_>) -> State {
        let rest = &self.text[self.shown..];
        let page = &rest[..page_length(rest, world.terminal.size().columns, rows)];
        world.terminal.write(page);
        self.shown += page.len();
        if self.shown == self.text.len() {
            return prompt::begin(world);
        }
        world.terminal.quiet(MORE);
        State::Page(self)
    }
}

fn page_rows(world: &World<'_>) -> usize {
    let Size { rows, .. } = world.terminal.size();
    rows.saturating_sub(1).max(1)
}

/// Bytes of the lines that fit `rows`; one line at least.
fn page_length(text: &str, columns: usize, rows: usize) -> usize {
    let (mut end, mut used) = (0, 0usize);
    for line in text.split_inclusive('\n') {
        let mut wrap = WordWrap::new(columns);
        wrap.set_on(true);
        let mut out = String::new();
        wrap.write(line, &mut out);
        let unfinished = usize::from(!line.ends_with('\n'));
        used = used.saturating_add(out.matches('\n').count() + unfinished);
        if used > rows && end > 0 {
            break;
        }
        end += line.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn pages_count_rows_and_lose_nothing() {
        let text = "one\ntwo words\nthree longer words here\n\nlast";
        for (columns, rows, pages) in [
            (80, 2, &["one\ntwo words\n", "three longer words here\n\n", "last"][..]),
            (12, 2, &["one\ntwo words\n", "three longer words here\n", "\nlast"]),
            (12, 1, &["one\n", "two words\n", "three longer words here\n", "\n", "last"]),
            (usize::MAX, usize::MAX, &[text]),
        ] {
            let (mut rest, mut found) = (text, Vec::new());
            while !rest.is_empty() {
                let (page, after) = rest.split_at(page_length(rest, columns, rows));
                found.push(page);
                rest = after;
            }
            assert_eq!(found, pages, "{columns} x {rows}");
        }
    }
}
