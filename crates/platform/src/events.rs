//! Events: the one thing that the program waits for.

use core::time::Duration;

/// The queue of everything that happens to the program. It waits here and nowhere else.
pub trait Events {
    /// Returns the next event. It sleeps until there is one, but no longer than `wait`: `None` is no
    /// limit, zero only looks. It never waits in a busy loop.
    fn next(&mut self, wait: Option<Duration>) -> Event;
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// The time to wait is over, and nothing happened.
    Timeout,
    /// No key will come any more: the end of a file or of a connection.
    Closed,
}

/// A key by its name, whatever device it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Key {
    /// A character to show, the space included.
    Char(char),
    /// Ctrl with a letter, in lower case.
    Ctrl(char),
    /// Alt with a character.
    Alt(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    Escape,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    PageUp,
    PageDown,
}
