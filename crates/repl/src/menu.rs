//! The menu of models.

use crate::catalog::{Catalog, CatalogEntry};
use crate::search::Search;
use crate::state::State;
use crate::{Leave, World, loading, prompt};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bootllm_platform::{Event, Key, Size};
use bootllm_terminal::char_width;
use bootllm_units::{bytes, cores_phrase, count};
use core::time::Duration;

/// The time in seconds after which the first model starts by itself.
const COUNTDOWN: u64 = 5;
/// Refused files and skipped folders that are shown.
const MOST_REFUSED: usize = 5;
const MOST_SKIPPED: usize = 3;
/// Columns that a name has even where a screen is too narrow for the figures.
const SHORTEST_NAME: usize = 16;
/// Models that are shown even where a screen is too low for everything else.
const FEWEST_MODELS: usize = 3;

/// What the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// The model with this index in the catalog.
    Model(usize),
    /// To go back to the model that is loaded.
    Back,
    /// To look for models again, and in all files if `all`.
    Search { all: bool },
    /// To leave the program.
    Leave(Leave),
}

/// The menu.
pub(crate) struct Menu {
    /// A line about the machine.
    machine: String,
    /// Whether leaving the program switches a machine off.
    owns_machine: bool,
    selected: usize,
    /// A number that is being typed.
    number: usize,
    countdown: Option<u64>,
    /// Whether the next `q` switches the machine off.
    confirming: bool,
    /// Lines on the screen.
    drawn: usize,
}

impl Menu {
    /// Shows the menu, in which the first model starts by itself after a while if `automatic`.
    pub(crate) fn begin(world: &mut World<'_>, automatic: bool) -> State {
        world.cores.park();
        let models = &world.catalog.models;
        let loaded = world.chat.as_ref().map(|chat| chat.name.as_str());
        let machine = format!(
            "{}, {} of memory, {} free",
            cores_phrase(world.cores.count()),
            bytes(world.machine.memory_total()),
            bytes(world.machine.memory_free())
        );
        let mut menu = Menu {
            machine,
            owns_machine: world.options.owns_machine,
            selected: models.iter().position(|e| Some(e.name.as_str()) == loaded).unwrap_or(0),
            number: 0,
            countdown: (automatic && !models.is_empty()).then_some(COUNTDOWN),
            confirming: false,
            drawn: 0,
        };
        menu.show(world, false);
        State::Menu(menu)
    }

    /// The longest time to wait for a key.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.countdown.map(|_| Duration::from_secs(1))
    }

    pub(crate) fn on(mut self, event: Event, world: &mut World<'_>) -> State {
        let choice = self.choose(event, &world.catalog, world.chat.is_some());
        self.show(world, choice.is_some());
        match choice {
            None => State::Menu(self),
            Some(Choice::Leave(leave)) => State::Left(leave),
            Some(Choice::Back) => prompt::begin(world),
            Some(Choice::Search { all }) => {
                world.boot_times = None;
                State::Search(Search::begin(world, all))
            }
            Some(Choice::Model(index)) => {
                let name = &world.catalog.models[index].name;
                match &world.chat {
                    Some(chat) if chat.name == *name => prompt::begin(world),
                    _ => loading::begin(world, index),
                }
            }
        }
    }

    fn show(&mut self, world: &mut World<'_>, at_end: bool) {
        let loaded = world.chat.as_ref().map(|chat| chat.name.as_str());
        let picture = self.draw(&world.catalog, loaded, world.terminal.size(), at_end);
        world.terminal.write(&picture);
    }

    fn choose(&mut self, event: Event, catalog: &Catalog, can_go_back: bool) -> Option<Choice> {
        let count = catalog.models.len();
        let key = match event {
            Event::Key(key) => key,
            Event::Closed => return Some(Choice::Leave(Leave::PowerOff)),
            Event::Timeout => match &mut self.countdown {
                Some(seconds @ 2..) => {
                    *seconds -= 1;
                    return None;
                }
                _ => return Some(Choice::Model(self.selected)),
            },
        };
        self.countdown = None;
        let confirmed = core::mem::take(&mut self.confirming);
        if let Key::Char(digit @ '0'..='9') = key {
            return self.digit(digit as usize - '0' as usize, count);
        }
        self.number = 0;
        let last = count.saturating_sub(1);
        match key {
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => self.selected = (self.selected + 1).min(last),
            Key::PageUp => self.selected = self.selected.saturating_sub(10),
            Key::PageDown => self.selected = (self.selected + 10).min(last),
            Key::Home => self.selected = 0,
            Key::End => self.selected = last,
            Key::Enter if count > 0 => return Some(Choice::Model(self.selected)),
            Key::Escape if can_go_back => return Some(Choice::Back),
            Key::Char('r' | 'R') => return Some(Choice::Search { all: false }),
            Key::Char('a' | 'A') if catalog.unopened > 0 => {
                return Some(Choice::Search { all: true });
            }
            Key::Char('q' | 'Q') if confirmed || !self.owns_machine => {
                return Some(Choice::Leave(Leave::PowerOff));
            }
            Key::Char('q' | 'Q') => self.confirming = true,
            Key::Char('f' | 'F') if self.owns_machine => {
                return Some(Choice::Leave(Leave::Firmware));
            }
            _ => {}
        }
        None
    }

    /// A number is complete as soon as no other digit can follow; Enter completes it before.
    fn digit(&mut self, digit: usize, count: usize) -> Option<Choice> {
        let typed = self.number.saturating_mul(10).saturating_add(digit);
        self.number = if (1..=count).contains(&typed) { typed } else { digit };
        if !(1..=count).contains(&self.number) {
            self.number = 0;
            return None;
        }
        self.selected = self.number - 1;
        (self.number * 10 > count).then_some(Choice::Model(self.selected))
    }

    /// Draws the menu over the one drawn before. At the end its help is taken away, since it no
    /// longer applies.
    fn draw(
        &mut self,
        catalog: &Catalog,
        loaded: Option<&str>,
        size: Size,
        at_end: bool,
    ) -> String {
        let columns = size.columns.saturating_sub(1);
        let remarks = remarks(catalog, columns);
        let help = wrapped(&self.help(catalog, loaded.is_some()), columns, 0);
        let above = Vec::from([dim(&cut(&self.machine, columns)), String::new()]);
        let others = above.len() + remarks.len() + 1 + help.len() + 1;
        let room = size.rows.saturating_sub(others).max(FEWEST_MODELS);
        let mut lines = above;
        if catalog.models.is_empty() {
            lines.extend(wrapped(NO_MODEL, columns, 0));
        } else {
            lines.extend(self.models(catalog, loaded, room, size.columns));
        }
        let text = match self.drawn {
            0 => String::new(),
            1 => "\r\x1b[J".into(),
            drawn => format!("\x1b[{}A\r\x1b[J", drawn - 1),
        };
        lines.extend(remarks);
        lines.push(String::new());
        if at_end {
            self.drawn = 0;
            lines.push(String::new());
        } else {
            lines.extend(help);
            self.drawn = lines.len();
        }
        text + &lines.join("\n")
    }

    /// The lines of the models around the one that is selected: a model's own name and a sentence
    /// about it stand in a second line.
    fn models(
        &self,
        catalog: &Catalog,
        loaded: Option<&str>,
        room: usize,
        columns: usize,
    ) -> Vec<String> {
        let models = &catalog.models;
        let about = |entry: &CatalogEntry| {
            let parts: Vec<&str> = entry.title().into_iter().chain(entry.description()).collect();
            (!parts.is_empty()).then(|| parts.join(": "))
        };
        let two_lines =
            models.iter().any(|entry| about(entry).is_some()) && 2 * models.len() <= room;
        let shown = if two_lines { models.len() } else { room.min(models.len()) };
        let first = self.selected.saturating_sub(shown / 2).min(models.len() - shown);
        let names = name_columns(catalog, columns);
        let numbers = models.len().to_string().len().max(2);
        let width_of_line = columns.saturating_sub(1);
        let mut lines = Vec::new();
        for (index, entry) in models.iter().enumerate().skip(first).take(shown) {
            let name = shorten(&entry.name, names);
            let padding = names.saturating_sub(width(&name));
            let mark = if index == self.selected { '>' } else { ' ' };
            let loaded = if Some(entry.name.as_str()) == loaded { ", loaded" } else { "" };
            let (figures, number) = (figures(entry), index + 1);
            let line = format!("{mark} {number:>numbers$}  {name}{:padding$}{figures}{loaded}", "");
            let style = if index == self.selected { "\x1b[7m" } else { "" };
            lines.push(format!("{style}{}\x1b[0m", cut(&line, width_of_line)));
            if let Some(about) = about(entry).filter(|_| two_lines) {
                let indent = numbers + 4;
                lines.push(dim(&cut(&format!("{:indent$}{about}", ""), width_of_line)));
            }
        }
        lines
    }

    fn help(&self, catalog: &Catalog, can_go_back: bool) -> String {
        if let (Some(seconds), Some(entry)) = (self.countdown, catalog.models.get(self.selected)) {
            let name = shorten(&entry.name, 30);
            return format!("{name} starts in {seconds} s; a number or an arrow key chooses");
        }
        if self.confirming {
            return "q again: power off · any other key: stay here".into();
        }
        let mut parts: Vec<String> = Vec::new();
        if !catalog.models.is_empty() {
            parts.push("number or arrows and Enter: choose".into());
        }
        if can_go_back {
            parts.push("Esc: back".into());
        }
        parts.push("r: look again".into());
        match catalog.unopened {
            0 => {}
            1 => parts.push("a: look into 1 other file, too".into()),
            files => parts.push(format!("a: look into {files} other files, too")),
        }
        match self.owns_machine {
            true => parts.extend(["q: power off", "f: firmware"].map(String::from)),
            false => parts.push("q: quit".into()),
        }
        parts.join(" · ")
    }
}

/// What cannot be used, and why, in dimmed lines.
fn remarks(catalog: &Catalog, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut remark = |text: &str| {
        let wrapped = wrapped(text, columns.saturating_sub(6), 2);
        lines.extend(wrapped.iter().map(|line| dim(&format!("      {line}"))));
    };
    let refused: Vec<_> = catalog.refused().collect();
    for refused in refused.iter().take(MOST_REFUSED) {
        remark(&format!("{} cannot be used: {}", refused.name, refused.reason));
    }
    if refused.len() > MOST_REFUSED {
        remark(&format!("and {} more", refused.len() - MOST_REFUSED));
    }
    for error in &catalog.errors {
        remark(&format!("{error}"));
    }
    for skipped in catalog.skipped.iter().take(MOST_SKIPPED) {
        remark(&format!("not looked at: {}: {}", skipped.name, skipped.reason));
    }
    if catalog.skipped.len() > MOST_SKIPPED {
        remark(&format!("not looked at: {} more", catalog.skipped.len() - MOST_SKIPPED));
    }
    if catalog.stopped {
        remark("the search was stopped; there may be more models");
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

const NO_MODEL: &str = "There is no model here. Copy one onto the stick: a GGUF file, or one in \
    llama2.c's format as NAME.bin together with its NAME.tokenizer.bin.";

/// What the menu says about a model after its name.
fn figures(entry: &CatalogEntry) -> String {
    let file = entry.plan.file();
    let (size, parameters) = (bytes(file.size), count(file.parameters()));
    format!("{size:>11}  {parameters:>7} parameters, {}", file.format_name())
}

/// Columns for the names: those of the longest, if every line still has room for its figures.
fn name_columns(catalog: &Catalog, columns: usize) -> usize {
    let widest = |width: &dyn Fn(&CatalogEntry) -> usize| catalog.models.iter().map(width).max();
    let longest = widest(&|entry| width(&entry.name)).unwrap_or(0);
    let figures = widest(&|entry| width(&figures(entry))).unwrap_or(0);
    let left = columns.saturating_sub("> 12  ".len() + figures + 1);
    longest.min(left.max(SHORTEST_NAME))
}

/// Shortens a name to this many columns. Its middle says least: models of a family begin alike, and
/// end in what tells them apart.
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

/// As much of a line as fits.
pub(crate) fn cut(line: &str, columns: usize) -> String {
    fitting(line.chars().filter(|c| !c.is_control()), columns)
}

/// Breaks a text into lines between words; those after the first are indented.
fn wrapped(text: &str, columns: usize, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let word = cut(word, columns.saturating_sub(indent).max(1));
        if !line.trim().is_empty() && width(&line).saturating_add(1 + width(&word)) > columns {
            lines.push(core::mem::take(&mut line));
            line = " ".repeat(indent);
        } else if !line.trim().is_empty() {
            line.push(' ');
        }
        line += &word;
    }
    lines.push(line);
    lines
}

fn dim(line: &str) -> String {
    format!("\x1b[2m{line}\x1b[0m")
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

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 9, 2), ["one two", "  three"]);
        assert_eq!(wrapped("one", usize::MAX, 2), ["one"]);
        assert_eq!(wrapped("", 9, 2), [""]);
        assert!(wrapped("a-long-word b", 4, 2).iter().all(|line| width(line) <= 4));
    }
}
