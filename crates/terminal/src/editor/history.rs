//! The lines typed before.

use alloc::collections::VecDeque;
use alloc::string::String;

/// Lines typed before, the oldest first, and where among them the user is.
#[derive(Debug, Default)]
pub(super) struct History {
    lines: VecDeque<String>,
    /// The line shown, and what was being typed before the user went to look for it.
    visited: Option<(usize, String)>,
}

impl History {
    const LINES: usize = 200;

    /// Keeps a line, unless it is empty or the one before is the same.
    pub(super) fn add(&mut self, line: &str) {
        if line.is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == Self::LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.into());
    }

    /// Goes back to the line being typed, which is a new one.
    pub(super) fn leave(&mut self) {
        self.visited = None;
    }

    /// The line before the one shown, which is `current`.
    pub(super) fn older(&mut self, current: &str) -> Option<String> {
        let at = match &self.visited {
            Some((at, _)) => at.checked_sub(1)?,
            None => self.lines.len().checked_sub(1)?,
        };
        match &mut self.visited {
            Some(visited) => visited.0 = at,
            None => self.visited = Some((at, current.into())),
        }
        self.lines.get(at).cloned()
    }

    /// The line after the one shown; after the newest, what was being typed.
    pub(super) fn newer(&mut self) -> Option<String> {
        let (at, draft) = self.visited.take()?;
        match self.lines.get(at + 1) {
            Some(line) => {
                self.visited = Some((at + 1, draft));
                Some(line.clone())
            }
            None => Some(draft),
        }
    }
}
