//! The states of the program.

use crate::digest::DigestState;
use crate::loading::LoadingState;
use crate::logits::LogitsState;
use crate::menu::Menu;
use crate::pager::Pager;
use crate::search::Search;
use crate::writing::Writing;
use crate::{Leave, World, prompt};
use alloc::boxed::Box;
use bootllm_platform::Event;
use core::time::Duration;

/// What the program is doing.
pub(crate) enum State {
    /// Looking for models.
    Search(Search),
    /// Letting the user choose one.
    Menu(Menu),
    /// Loading it.
    Loading(Box<LoadingState>),
    /// Letting the user type a line.
    Prompt,
    /// Reading a prompt and writing the text after it.
    Writing(Box<Writing>),
    /// Computing a digest.
    Digest(Box<DigestState>),
    /// Computing which tokens are likely next.
    Logits(Box<LogitsState>),
    /// Showing a long text, page by page.
    Page(Pager),
    /// The user has left.
    Left(Leave),
}

/// What a state waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A key, also one typed ahead, but no longer than this.
    Key(Option<Duration>),
    /// Nothing: there is work to do, after this pause. Esc and Ctrl+C come at once, other keys are
    /// for later.
    Work(Duration),
}

impl State {
    pub(crate) fn wait(&self, world: &World<'_>) -> Wait {
        match self {
            State::Menu(menu) => Wait::Key(menu.wait()),
            State::Prompt | State::Page(_) | State::Left(_) => Wait::Key(None),
            State::Writing(writing) => Wait::Work(writing.pause(world.clock.now())),
            State::Search(_) | State::Loading(_) | State::Digest(_) | State::Logits(_) => {
                Wait::Work(Duration::ZERO)
            }
        }
    }

    pub(crate) fn on(self, event: Event, world: &mut World<'_>) -> State {
        match self {
            State::Search(search) => search.on(event, world),
            State::Menu(menu) => menu.on(event, world),
            State::Loading(loading) => loading.on(event, world),
            State::Prompt => prompt::on(event, world),
            State::Writing(writing) => writing.on(event, world),
            State::Digest(digest) => digest.on(event, world),
            State::Logits(logits) => logits.on(event, world),
            State::Page(pager) => pager.on(event, world),
            State::Left(leave) => State::Left(leave),
        }
    }
}
