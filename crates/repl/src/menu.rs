//! Choosing a model.

use crate::catalog::{self, Catalog, Found};
use crate::{Leave, World};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use bootllm_platform::{Input, Key};
use bootllm_terminal::char_width;
use bootllm_units::{bytes, count};
use core::time::Duration;

/// How long the menu waits before the first model starts by itself.
const COUNTDOWN: u64 = 5;
/// Lines of the screen that the menu needs besides its list.
const OTHER_LINES: usize = 6;

/// Columns that a name has even where a screen is too narrow for the figures.
const SHORTEST_NAME: usize = 16;

/// What the person chose.
pub(crate) enum Choice {
    /// This model.
    Model(Box<Found>),
    /// No model: to leave.
    Leave(Leave),
}

/// Lets the person choose a model. With `automatic`, a single model is taken at once, and the
/// first of several after a countdown that any key stops.
pub(crate) fn choose(world: &mut World<'_>, catalog: &mut Catalog, automatic: bool) -> Choice {
    say_what_cannot_be_used(world, catalog);
    let mut countdown = automatic.then_some(COUNTDOWN);
    if let ([only], true) = (catalog.models.as_slice(), automatic) {
        return Choice::Model(Box::new(only.clone()));
    }
    world.cores.rest();
    let mut selected = 0;
    let mut drawn = 0;
    if catalog.models.is_empty() {
        world
            .terminal
            .write("There is no model on this volume. Copy one onto it: a GGUF file, or ");
        world.terminal.write("one in llama2.c's\nformat, NAME.bin, and its NAME.tokenizer.bin.\n");
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
    Choice::Model(Box::new(catalog.models[index].clone()))
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
    let room = name_room(catalog, size.columns);
    for (index, found) in catalog.models.iter().enumerate().skip(first).take(shown) {
        let (style, mark) = if index == selected { ("\x1b[7m", '>') } else { ("", ' ') };
        let name = shorten(&found.name, room);
        let padding = room - width(&name);
        let line = format!("{mark} {:>2}  {name}{:padding$}{}", index + 1, "", figures(found));
        text += &format!("{style}{}\x1b[0m\x1b[K\n", cut(&line, size.columns));
    }
    let help = match (countdown, catalog.models.get(selected)) {
        (Some(seconds), Some(found)) => {
            let name = shorten(&found.name, room);
            format!("{name} starts in {seconds} s; a number or an arrow key chooses")
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

/// What the menu says about a model after its name.
fn figures(found: &Found) -> String {
    let file = found.plan.file();
    let (size, parameters) = (bytes(file.size), count(file.parameters()));
    format!("{size:>11}  {parameters} parameters, {}", file.format_name())
}

/// Columns for the names: those of the longest, if every line still has room for its figures.
fn name_room(catalog: &Catalog, columns: usize) -> usize {
    let widest = |width: &dyn Fn(&Found) -> usize| catalog.models.iter().map(width).max();
    let longest = widest(&|found| width(&found.name)).unwrap_or(0);
    let figures = widest(&|found| width(&figures(found))).unwrap_or(0);
    let left = columns.saturating_sub("> 12  ".len() + figures + 1);
    longest.min(left.max(SHORTEST_NAME))
}

/// A name in so many columns. Its middle says least: models of a family begin alike, and end in
/// what tells them apart.
fn shorten(name: &str, columns: usize) -> String {
    if width(name) <= columns {
        return name.into();
    }
    let end = fitting(name.chars().rev(), (columns - 1) / 2);
    let start = fitting(name.chars(), columns - 1 - width(&end));
    format!("{start}…{}", end.chars().rev().collect::<String>())
}

fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// As many characters as fit.
fn fitting(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut width = 0;
    let fits = |c: &char| {
        width += char_width(*c);
        width <= columns
    };
    characters.take_while(fits).collect()
}

/// As much of a line as fits, one column left free so that no terminal wraps.
fn cut(line: &str, columns: usize) -> String {
    fitting(line.chars().filter(|c| !c.is_control()), columns.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle() {
        for (columns, expected) in [
            (25, "models/stories110M-q8.bin"),
            (16, "models/s…-q8.bin"),
            (9, "mode….bin"),
            (1, "…"),
        ] {
            let short = shorten("models/stories110M-q8.bin", columns);
            assert!(width(&short) <= columns, "{columns}: {short}");
            assert_eq!(short, expected, "{columns}");
        }
        for columns in 1..12 {
            assert!(width(&shorten("日本語日本語", columns)) <= columns);
        }
    }
}
