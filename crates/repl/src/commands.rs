//! What the commands do.

use crate::bench::bench;
use crate::chat::Chat;
use crate::pager::Pager;
use crate::state::State;
use crate::{Leave, World, digest, logits, prompt};
use alloc::format;
use alloc::string::String;
use bootllm_chat::{Command, SETTINGS};
use bootllm_units as units;
use core::fmt::Write;
use core::time::Duration;

/// Does what a command says.
pub(crate) fn run(command: Command, arguments: &str, world: &mut World<'_>) -> State {
    let (first, rest) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
    match (command, first, rest.trim()) {
        (Command::Help, "", _) => Pager::begin(help(), world),
        (Command::Set, ..) => set(world, arguments),
        (Command::Show, "", _) => page(world, show),
        (Command::Stats, "", _) => page(world, |chat, _| stats(chat)),
        (Command::Logits, "", _) => logits::begin(world),
        (Command::Logits, "raw", "") => raw_logits(world),
        (Command::Logits, "digest", count) => digest::begin(count, world),
        (Command::Bench, "", _) => bench(world),
        (Command::Diag, "", _) => page(world, diag),
        (Command::Licenses, "", _) => Pager::begin(licenses(), world),
        (Command::Exit, "", _) => State::Left(Leave::PowerOff),
        (Command::Exit, "firmware", "") => State::Left(Leave::Firmware),
        (command, ..) => {
            let info = Command::ALL.iter().find(|info| info.command == command);
            let usage = info.map_or(String::new(), |info| {
                format!("{} {}", info.names[0], info.arguments).trim().into()
            });
            problem(world, &format!("{arguments:?} is too much: it is {usage}"))
        }
    }
}

fn problem(world: &mut World<'_>, message: &str) -> State {
    world.terminal.problem(message);
    prompt::begin(world)
}

/// Shows a text about the model that is loaded.
fn page(world: &mut World<'_>, text: impl FnOnce(&Chat<'_>, &mut World<'_>) -> String) -> State {
    let Some(chat) = world.chat.take() else { return prompt::begin(world) };
    let text = text(&chat, world);
    world.chat = Some(chat);
    Pager::begin(text, world)
}

/// Lines of a label and a value.
#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, label: &str, value: impl core::fmt::Display) {
        let _ = writeln!(self.0, "  {label:<14} {value}");
    }
}

fn help() -> String {
    let mut text = String::from(
        "Type how a text begins; the model goes on. Esc or Ctrl+C stops it, the up and\n\
        down keys bring back what was typed.\n\n",
    );
    for info in Command::ALL {
        text += &format!("  {:<9} {:<12} {}\n", info.names[0], info.arguments, info.help);
    }
    text
}

/// Changes a setting: `NAME VALUE` or `NAME=VALUE`. Without a value it shows the setting, and all
/// without a name.
fn set(world: &mut World<'_>, arguments: &str) -> State {
    let is_separator = |c: char| c.is_whitespace() || c == '=';
    let (name, value) = arguments.split_once(is_separator).unwrap_or((arguments, ""));
    let value = value.trim_matches(is_separator);
    let known = SETTINGS.iter().any(|setting| setting.name == name);
    if name.is_empty() || value.is_empty() && known {
        let mut table = Table::default();
        for setting in SETTINGS.iter().filter(|setting| name.is_empty() || setting.name == name) {
            let value = (setting.get)(&world.settings);
            table.row(setting.name, format_args!("{value:<10} {}", setting.help));
        }
        return Pager::begin(table.0, world);
    }
    match change(world, name, value) {
        Ok(value) => world.terminal.quiet(&format!("{name} = {value}\n")),
        Err(message) => world.terminal.problem(&message),
    }
    prompt::begin(world)
}

fn change(world: &mut World<'_>, name: &str, value: &str) -> Result<String, String> {
    let before = world.settings;
    world.settings.set(name, value)?;
    if let Some(chat) = &mut world.chat {
        let (length, context) = (world.settings.length, chat.sequence.capacity());
        if length != before.length && length > context {
            world.settings = before;
            return Err(format!(
                "length cannot be {length}: the context has {context} tokens; 0 is all of them"
            ));
        }
        chat.set_kv_format(&mut world.settings, world.machine.memory_free())?;
    }
    let setting = SETTINGS.iter().find(|setting| setting.name == name);
    Ok(setting.map(|setting| (setting.get)(&world.settings)).unwrap_or_default())
}

fn show(chat: &Chat<'_>, world: &mut World<'_>) -> String {
    let shape = chat.model.shape();
    let file = chat.model.plan().file();
    let mut table = Table::default();
    table.row("model", &chat.name);
    table.row("format", file.format_name());
    table.row("parameters", units::count(file.parameters()));
    table.row(
        "shape",
        format_args!(
            "width {}, hidden {}, {} layers, {} heads, {} for keys and values",
            shape.width, shape.hidden, shape.layers, shape.heads, shape.kv_heads
        ),
    );
    table.row("context", format_args!("{} tokens", chat.sequence.capacity()));
    let tokens = chat.tokenizer.len();
    table.row("tokenizer", format_args!("{}, {tokens} tokens", chat.tokenizer_name));
    for setting in SETTINGS {
        table.row(setting.name, (setting.get)(&world.settings));
    }
    table.0
}

fn stats(chat: &Chat<'_>) -> String {
    let mut table = Table::default();
    let (size, time) = (chat.model.plan().file().size, chat.loading_time);
    table.row(
        "loading",
        format_args!(
            "{} in {}, {}/s",
            units::bytes(size),
            units::duration(time),
            units::bytes(units::rate(size as f64, time) as u64)
        ),
    );
    if let Some((last, seed)) = &chat.last {
        let row = |count: usize, time: Duration| {
            let (time, rate) = (units::duration(time), units::rate(count as f64, time));
            format!("{count} tokens in {time}, {rate:.1} tokens/s")
        };
        table.row("prompt", row(last.prompt_tokens, last.prompt_time));
        table.row("first token", format_args!("after {}", units::duration(last.prompt_time)));
        table.row("generation", row(last.decoded, last.decode_time));
        let positions = last.prompt_tokens + last.decoded;
        table.row("positions", format_args!("{positions} of {}", chat.sequence.capacity()));
        if let Some(seed) = seed {
            table.row("seed", seed);
        }
    }
    table.0
}

fn raw_logits(world: &mut World<'_>) -> State {
    let Some(chat) = &mut world.chat else { return prompt::begin(world) };
    match logits::raw(chat) {
        Ok(text) => Pager::begin(text, world),
        Err(error) => problem(world, &format!("{error}")),
    }
}

fn licenses() -> String {
    let license = include_str!("../../../LICENSE");
    format!("{license}\n{}", bootllm_terminal::FONT_LICENSE)
}

fn diag(chat: &Chat<'_>, world: &mut World<'_>) -> String {
    let mut table = Table::default();
    for fact in world.machine.facts() {
        table.row(fact.label, fact.value);
    }
    let used = units::cores_phrase(world.cores.count());
    table.row("computing", format_args!("{used}, kernels: {}", chat.model.isa()));
    let memory = chat.memory();
    table.row(
        "model",
        format_args!(
            "{}: weights {}, KV cache {} ({}), activations {}",
            chat.name,
            units::bytes(memory.weights),
            units::bytes(memory.kv_cache),
            chat.sequence.kv_format().name(),
            units::bytes(memory.activations)
        ),
    );
    table.0
}
