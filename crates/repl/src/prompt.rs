//! The prompt: the user types the start of a text, or a command.

use crate::menu::Menu;
use crate::state::State;
use crate::writing::Writing;
use crate::{Leave, World, commands};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_chat::{Command, Line, SETTINGS};
use bootllm_platform::Event;
use bootllm_terminal::{Edit, LineEditor};

/// What asks the user to type.
const PROMPT: &str = ">>> ";

/// The editor of the line, with what Tab completes.
pub(crate) fn editor() -> LineEditor {
    let settings = SETTINGS.iter().map(|setting| format!("/set {} ", setting.name));
    let names = Command::ALL.iter().map(|info| String::from(info.names[0]));
    let completions: Vec<String> = names.chain(settings).collect();
    let mut editor = LineEditor::new();
    editor.set_completions(&completions.iter().map(String::as_str).collect::<Vec<_>>());
    editor
}

/// Asks for a line.
pub(crate) fn begin(world: &mut World<'_>) -> State {
    world.cores.park();
    world.terminal.begin_line(&mut world.editor, PROMPT);
    State::Prompt
}

pub(crate) fn on(event: Event, world: &mut World<'_>) -> State {
    let edit = match event {
        Event::Key(key) => world.terminal.edit_line(&mut world.editor, key),
        Event::Timeout => return State::Prompt,
        Event::Closed => {
            world.terminal.end_line();
            Edit::EndOfInput
        }
    };
    match edit {
        Edit::Continue => State::Prompt,
        Edit::Line(line) => enter(&line, world),
        Edit::Cancelled => {
            world.terminal.leave_row(&world.editor);
            begin(world)
        }
        Edit::EndOfInput => {
            world.terminal.leave_row(&world.editor);
            State::Left(Leave::PowerOff)
        }
    }
}

fn enter(line: &str, world: &mut World<'_>) -> State {
    let parsed = Line::parse(line);
    // A text goes on where it was typed.
    if let Line::Text(text) = parsed {
        return Writing::begin(world, text, world.editor.column());
    }
    world.terminal.leave_row(&world.editor);
    match parsed {
        Line::Empty => match world.chat.as_mut().and_then(|chat| chat.unfinished.take()) {
            Some(unfinished) => Writing::go_on(world, unfinished),
            None => begin(world),
        },
        Line::Text(_) => begin(world),
        Line::Unknown(name) => {
            world.terminal.problem(&format!(
                "there is no command {name}; /help lists them. \
                 A text that begins with / needs a space before it."
            ));
            begin(world)
        }
        Line::Command(Command::Models, "") => Menu::begin(world, false),
        Line::Command(command, arguments) => commands::run(command, arguments, world),
    }
}
