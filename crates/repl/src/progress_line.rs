//! A line that shows how far something is, and vanishes.

use crate::terminal::Terminal;
use alloc::format;
use bootllm_platform::Clock;
use core::time::Duration;

/// The time between two pictures, and before the first one: what is done sooner needs none.
const EVERY: Duration = Duration::from_millis(100);

/// The line. The cursor is in the first column of its row, or at the end of a line above it.
pub(crate) struct ProgressLine {
    /// When it was shown last, or when the work began.
    shown: Duration,
    visible: bool,
    /// The column of the line above to which the cursor goes back; `None`: there is no such line.
    above: Option<usize>,
}

impl ProgressLine {
    /// A line in the cursor's row, whose first column it is in.
    pub(crate) fn here(clock: &dyn Clock) -> Self {
        ProgressLine { shown: clock.now(), visible: false, above: None }
    }

    /// A line below the cursor, which is in this column.
    pub(crate) fn below(clock: &dyn Clock, column: usize) -> Self {
        ProgressLine { shown: clock.now(), visible: false, above: Some(column) }
    }

    /// Whether it is time for another picture.
    pub(crate) fn is_due(&mut self, clock: &dyn Clock) -> bool {
        let now = clock.now();
        let due = now.saturating_sub(self.shown) >= EVERY;
        if due {
            self.shown = now;
        }
        due
    }

    /// Shows a text that fits a row.
    pub(crate) fn show(&mut self, terminal: &mut Terminal<'_>, line: &str) {
        if !terminal.is_screen() {
            return;
        }
        if !self.visible && self.above.is_some() {
            terminal.write("\n");
        }
        self.visible = true;
        terminal.write(&format!("\r\x1b[2m{line}\x1b[0m\x1b[K"));
    }

    /// Takes the line away again.
    pub(crate) fn clear(&mut self, terminal: &mut Terminal<'_>) {
        if !core::mem::take(&mut self.visible) {
            return;
        }
        terminal.write("\r\x1b[K");
        match self.above {
            None => {}
            Some(0) => terminal.write("\x1b[1A"),
            Some(column) => terminal.write(&format!("\x1b[1A\x1b[{column}C")),
        }
    }
}
