//! What a person sees while nothing else is to be seen.

use crate::World;
use crate::terminal::Terminal;
use alloc::format;
use bootllm_platform::Clock;
use core::ops::ControlFlow;
use core::time::Duration;

/// Between two pictures.
const EVERY: Duration = Duration::from_millis(100);

/// A line that counts tokens while they are fed, and vanishes. Esc and Ctrl+C stop what is waited
/// for.
pub(crate) struct Waiting<'w, 't> {
    terminal: &'w mut Terminal<'t>,
    clock: &'w dyn Clock,
    what: &'static str,
    /// When it was shown last, or when it began.
    shown: Duration,
    visible: bool,
}

impl<'w, 't> Waiting<'w, 't> {
    /// Begins to wait.
    pub(crate) fn new(world: &'w mut World<'t>, what: &'static str) -> Self {
        let World { terminal, clock, .. } = world;
        Waiting { terminal, clock: *clock, what, shown: clock.now(), visible: false }
    }

    /// So many tokens of all have been fed. Says whether to go on.
    pub(crate) fn show(&mut self, done: usize, all: usize) -> ControlFlow<()> {
        let now = self.clock.now();
        if now.saturating_sub(self.shown) >= EVERY {
            (self.shown, self.visible) = (now, true);
            let line = bootllm_units::tokens_line(self.what, done, all);
            self.terminal.write(&format!("\r{line}\x1b[K"));
        }
        self.terminal.poll_cancel()
    }

    /// Takes the line away again.
    pub(crate) fn clear(self) {
        if self.visible {
            self.terminal.write("\r\x1b[K");
        }
    }
}
