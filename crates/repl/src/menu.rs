//! Choosing a model.

use crate::catalog::{self, Catalog, Found};
use crate::{Leave, World};
use alloc::format;
use alloc::string::String;
use bootllm_chat::report::{bytes, count};
use bootllm_platform::{Input, Key};
use bootllm_terminal::char_width;
use core::time::Duration;

/// How long the menu waits before the first model starts by itself.
const COUNTDOWN: u64 = 5;
/// Lines of the screen that the menu needs besides its list.
const OTHER_LINES: usize = 6;

/// What the person chose.
pub(crate) enum Choice {
    /// This model.
    Model(Found),
    /// No model: to leave.
    Leave(Leave),
}

/// Lets the person choose a model. With `automatic`, a single model is taken at once, and the
/// first of several after a countdown that any key stops.
pub(crate) fn choose(world: &mut World<'_>, catalog: &mut Catalog, automatic: bool) -> Choice {
    say_what_cannot_be_used(world, catalog);
    let mut countdown = automatic.then_some(COUNTDOWN);
    if let ([only], true) = (catalog.models.as_slice(), automatic) {
        return Choice::Model(only.clone());
    }
    let mut selected = 0;
    let mut drawn = 0;
    if catalog.models.is_empty() {
        world.terminal.write("There is no model on this volume. Copy one onto it: a model in ");
        world.terminal.write("llama2.c's format, NAME.bin, and its NAME.tokenizer.bin.\n");
        countdown = None;
    }
    loop {
        drawn = draw(world, catalog, selected, countdown, drawn);
        let wait = countdown.map(|_| Duration::from_secs(1));
        let key = match world.terminal.key(wait) {
            Input::Key(key) => key,
            Input::Closed => return Choice::Leave(Leave::PowerOff),
            Input::Nothing => {
                match countdown {
                    Some(seconds) if seconds > 1 => countdown = Some(seconds - 1),
                    _ => return take(world, catalog, selected),
                }
                continue;
            }
        };
        countdown = None;
        let last = catalog.models.len().saturating_sub(1);
        match key {
            Key::Up => selected = selected.saturating_sub(1),
            Key::Down => selected = (selected + 1).min(last),
            Key::Home => selected = 0,
            Key::End => selected = last,
            Key::Enter if !catalog.models.is_empty() => return take(world, catalog, selected),
            Key::Char(digit @ '1'..='9') => {
                let index = digit as usize - '1' as usize;
                if index < catalog.models.len() {
                    return take(world, catalog, index);
                }
            }
            Key::Char('r') => {
                *catalog = catalog::find(world.storage);
                world.terminal.write("\n");
                say_what_cannot_be_used(world, catalog);
                (selected, drawn) = (0, 0);
            }
            Key::Char('q') => return leave(world, Leave::PowerOff),
            Key::Char('f') => return leave(world, Leave::Firmware),
            _ => {}
        }
    }
}

fn take(world: &mut World<'_>, catalog: &Catalog, index: usize) -> Choice {
    world.terminal.write("\n");
    Choice::Model(catalog.models[index].clone())
}

fn leave(world: &mut World<'_>, leave: Leave) -> Choice {
    world.terminal.write("\n");
    Choice::Leave(leave)
}

fn say_what_cannot_be_used(world: &mut World<'_>, catalog: &Catalog) {
    if let Some(error) = &catalog.error {
        world.terminal.problem(&format!("The volume cannot be read: {error}"));
    }
    for file in &catalog.unusable {
        world.terminal.problem(&format!("{} cannot be used: {}", file.name, file.reason));
    }
}

/// Draws the list over the one drawn before, which had `drawn` lines. Returns its lines.
fn draw(
    world: &mut World<'_>,
    catalog: &Catalog,
    selected: usize,
    countdown: Option<u64>,
    drawn: usize,
) -> usize {
    let size = world.terminal.size();
    let shown = size.rows.saturating_sub(OTHER_LINES).clamp(1, catalog.models.len().max(1));
    let first = selected.saturating_sub(shown - 1);
    let mut text = String::new();
    if drawn > 0 {
        text += &format!("\r\x1b[{drawn}A");
    }
    for (index, found) in catalog.models.iter().enumerate().skip(first).take(shown) {
        let (style, mark) = if index == selected { ("\x1b[7m", '>') } else { ("", ' ') };
        let line = format!(
            "{mark} {:>2}  {:<28} {:>10}  {} parameters, {}",
            index + 1,
            found.name,
            bytes(found.file.size),
            count(found.file.parameters()),
            found.file.version
        );
        text += &format!("{style}{}\x1b[0m\x1b[K\n", cut(&line, size.columns));
    }
    let help = match (countdown, catalog.models.get(selected)) {
        (Some(seconds), Some(found)) => {
            format!("{} starts in {seconds} s; a number or an arrow key chooses", found.name)
        }
        (_, None) => "r: look again · q: power off · f: firmware".into(),
        _ => {
            "number or arrows and Enter: choose · r: look again · q: power off · f: firmware".into()
        }
    };
    text += &format!("{}\x1b[K", cut(&help, size.columns));
    world.terminal.write(&text);
    shown.min(catalog.models.len())
}

/// As much of a line as fits, one column left free so that no terminal wraps.
fn cut(line: &str, columns: usize) -> String {
    let mut width = 0;
    let fits = |c: &char| {
        width += char_width(*c);
        width < columns
    };
    line.chars().filter(|c| !c.is_control()).take_while(fits).collect()
}
