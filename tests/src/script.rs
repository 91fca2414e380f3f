//! A scripted user: what a test types, and when.

use bootllm_platform::{Console, Event, Events, Key, Size};
use core::time::Duration;
use std::collections::VecDeque;

/// What a user does, step by step. At the end the console is closed.
#[derive(Clone, Debug, Default)]
pub struct Script(VecDeque<Step>);

#[derive(Clone, Debug)]
enum Step {
    /// Keys, each pressed when the program waits for one.
    Keys(VecDeque<Key>),
    /// Keys that are pressed as soon as the program has shown this since the step before, even if
    /// it only looks whether there are any.
    Once(String, VecDeque<Key>),
    /// Keys that are pressed when the program looks for keys for the given time, without waiting.
    AtLook(u32, VecDeque<Key>),
    /// No key is pressed until the program has waited this many times.
    Idle(u32),
    /// The console is closed, and reports that.
    HangUp,
}

/// The keys of a line, Enter included.
pub fn typed(line: &str) -> Vec<Key> {
    line.chars().map(Key::Char).chain([Key::Enter]).collect()
}

impl Script {
    /// An empty script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Presses keys when the program waits for them.
    pub fn keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.0.push_back(Step::Keys(keys.into_iter().collect()));
        self
    }

    /// Types a line and Enter when the program waits for it.
    pub fn line(self, line: &str) -> Self {
        self.keys(typed(line))
    }

    /// Presses keys as soon as the program has shown `text`.
    pub fn once(mut self, text: &str, keys: impl IntoIterator<Item = Key>) -> Self {
        self.0.push_back(Step::Once(text.into(), keys.into_iter().collect()));
        self
    }

    /// Presses keys when the program looks for keys the `look`th time, from now on.
    pub fn at_look(mut self, look: u32, keys: impl IntoIterator<Item = Key>) -> Self {
        self.0.push_back(Step::AtLook(look, keys.into_iter().collect()));
        self
    }

    /// Lets the program wait `times` times without a key.
    pub fn idle(mut self, times: u32) -> Self {
        self.0.push_back(Step::Idle(times));
        self
    }

    /// Closes the console.
    pub fn hang_up(mut self) -> Self {
        self.0.push_back(Step::HangUp);
        self
    }
}

/// The console at which a [`Script`] is played.
pub(crate) struct ScriptedConsole {
    script: Script,
    pub(crate) output: String,
    /// Where in the output the current step began.
    begun: usize,
    size: Size,
}

impl ScriptedConsole {
    pub(crate) fn new(script: Script, size: Size) -> Self {
        ScriptedConsole { script, output: String::new(), begun: 0, size }
    }

    /// Whether the script was played to its end.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.script.0.front(), None | Some(Step::HangUp))
    }

    /// The next of these keys, and whether it was the last.
    fn take(keys: &mut VecDeque<Key>) -> (Event, bool) {
        let key = keys.pop_front().map_or(Event::Timeout, Event::Key);
        (key, keys.is_empty())
    }
}

impl Events for ScriptedConsole {
    fn next(&mut self, wait: Option<Duration>) -> Event {
        let only_looks = wait == Some(Duration::ZERO);
        let shown = &self.output[self.begun..];
        let (input, done) = match self.script.0.front_mut() {
            Some(Step::HangUp) => return Event::Closed,
            Some(Step::Once(text, keys)) if shown.contains(text.as_str()) => Self::take(keys),
            Some(Step::AtLook(left, keys)) => {
                assert!(only_looks, "a key is waited for, but {left} looks are missing");
                *left = left.saturating_sub(1);
                match *left {
                    0 => Self::take(keys),
                    _ => return Event::Timeout,
                }
            }
            _ if only_looks => return Event::Timeout,
            Some(Step::Once(text, _)) => {
                panic!("a key is waited for, but {text:?} was not shown; only {shown:?}")
            }
            Some(Step::Keys(keys)) => Self::take(keys),
            Some(Step::Idle(times)) => {
                assert!(wait.is_some(), "nobody presses a key and the program waits for ever");
                *times -= 1;
                (Event::Timeout, *times == 0)
            }
            None => return Event::Closed,
        };
        if done {
            self.script.0.pop_front();
            self.begun = self.output.len();
        }
        input
    }
}

impl Console for ScriptedConsole {
    fn write(&mut self, text: &str) {
        self.output.push_str(text);
    }

    fn set_word_wrap(&mut self, _on: bool) {}

    fn size(&self) -> Size {
        self.size
    }
}
