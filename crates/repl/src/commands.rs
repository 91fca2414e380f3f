//! What the commands do.

use crate::bench::bench;
use crate::prompt::Prompt;
use crate::waiting::Waiting;
use crate::{Leave, World};
use alloc::format;
use alloc::string::String;
use bootllm_chat::{Command, DIGEST_POSITIONS, DigestRun, DigestStep, SETTINGS, report};
use bootllm_engine::{RunError, Session};
use bootllm_sampling::likeliest;
use bootllm_units as units;
use core::fmt::Write;
use core::time::Duration;

/// Positions that `/logits` shows.
const LOGITS_POSITIONS: usize = 3;

/// Does what a command says. `Some` leaves the program.
pub(crate) fn run(
    prompt: &mut Prompt<'_>,
    world: &mut World<'_>,
    command: Command,
    arguments: &str,
) -> Option<Leave> {
    match command {
        Command::Help => help(world),
        Command::Set => set(prompt, world, arguments),
        Command::Show => show(prompt, world),
        Command::Stats => stats(prompt, world),
        Command::Logits => logits(prompt, world, arguments),
        Command::Bench => bench(prompt, world),
        Command::Diag => diag(prompt, world),
        Command::Licenses => licenses(world),
        // The prompt's own.
        Command::Models => {}
        Command::Exit if arguments == "firmware" => return Some(Leave::Firmware),
        Command::Exit => return Some(Leave::PowerOff),
    }
    None
}

/// Lines of a label and a value.
#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, label: &str, value: impl core::fmt::Display) {
        let _ = writeln!(self.0, "  {label:<14} {value}");
    }
}

fn help(world: &mut World<'_>) {
    let mut table = Table::default();
    for info in Command::ALL {
        table.0 += &format!("  {:<9} {:<12} {}\n", info.names[0], info.arguments, info.help);
    }
    world.terminal.write(
        "Type how a text begins; the model goes on. Esc or Ctrl+C stops it, the up and\n\
        down keys bring back what was typed.\n\n",
    );
    world.terminal.page(&table.0);
}

fn set(prompt: &mut Prompt<'_>, world: &mut World<'_>, arguments: &str) {
    let (name, value) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
    if name.is_empty() || value.is_empty() {
        let mut table = Table::default();
        for setting in SETTINGS {
            let value = (setting.get)(&world.settings);
            table.row(setting.name, format_args!("{value:<10} {}", setting.help));
        }
        return world.terminal.page(&table.0);
    }
    let free = world.machine.memory_free();
    let settings = &mut world.settings;
    let changed =
        settings.set(name, value.trim()).and_then(|()| prompt.keep_as_set(settings, free));
    match changed {
        Ok(()) => {
            let setting = SETTINGS.iter().find(|setting| setting.name == name);
            let value = setting.map(|setting| (setting.get)(&world.settings)).unwrap_or_default();
            world.terminal.quiet(&format!("{name} = {value}\n"));
        }
        Err(message) => world.terminal.problem(&message),
    }
}

fn show(prompt: &Prompt<'_>, world: &mut World<'_>) {
    let loaded = prompt.loaded;
    let shape = loaded.model.shape();
    let file = loaded.model.plan().file();
    let mut table = Table::default();
    table.row("model", &loaded.name);
    table.row("format", file.format_name());
    table.row("parameters", units::count(file.parameters()));
    table.row(
        "shape",
        format_args!(
            "width {}, hidden {}, {} layers, {} heads, {} for keys and values",
            shape.width, shape.hidden, shape.layers, shape.heads, shape.kv_heads
        ),
    );
    table.row("context", format_args!("{} tokens", loaded.model.context()));
    let tokens = loaded.tokenizer.len();
    table.row("tokenizer", format_args!("{}, {tokens} tokens", loaded.tokenizer_name));
    for setting in SETTINGS {
        table.row(setting.name, (setting.get)(&world.settings));
    }
    world.terminal.page(&table.0);
}

fn stats(prompt: &Prompt<'_>, world: &mut World<'_>) {
    let mut table = Table::default();
    let loaded = prompt.loaded;
    let (size, time) = (loaded.model.plan().file().size, loaded.time);
    table.row(
        "loading",
        format_args!(
            "{} in {}, {}/s",
            units::bytes(size),
            units::duration(time),
            units::bytes(units::rate(size as f64, time) as u64)
        ),
    );
    if let Some((last, seed)) = &prompt.last {
        let row = |count: usize, time: Duration| {
            let (time, rate) = (units::duration(time), units::rate(count as f64, time));
            format!("{count} tokens in {time}, {rate:.1} tokens/s")
        };
        table.row("prompt", row(last.prompt_tokens, last.prompt_time));
        table.row("first token", format_args!("after {}", units::duration(last.prompt_time)));
        table.row("generation", row(last.decoded, last.decode_time));
        let positions = last.prompt_tokens + last.decoded;
        table.row("positions", format_args!("{positions} of {}", loaded.model.context()));
        if let Some(seed) = seed {
            table.row("seed", seed);
        }
    }
    world.terminal.page(&table.0);
}

/// The same lines as `bootllm logits MODEL` on Linux, or `--digest`'s.
fn logits(prompt: &mut Prompt<'_>, world: &mut World<'_>, arguments: &str) {
    match arguments.split_once(char::is_whitespace).unwrap_or((arguments, "")) {
        ("", _) => {}
        ("digest", count) => return digest(prompt, world, count.trim()),
        _ => return world.terminal.problem("it is /logits, or /logits digest [POSITIONS]"),
    }
    prompt.session.rewind(0);
    let mut token = prompt.loaded.tokenizer.rules().bos;
    for position in 0..LOGITS_POSITIONS.min(prompt.loaded.model.context()) {
        match prompt.session.decode(token) {
            Ok(logits) => {
                world.terminal.write(&report::logits(position, token, logits));
                world.terminal.write("\n");
                token = likeliest(logits);
            }
            Err(error) => return world.terminal.problem(&format!("{error}")),
        }
    }
}

/// One number for the logits of `count` positions.
fn digest(prompt: &mut Prompt<'_>, world: &mut World<'_>, count: &str) {
    let context = prompt.loaded.model.context();
    let positions = match count {
        "" => Some(DIGEST_POSITIONS.min(context)),
        count => count.parse().ok().filter(|count| (1..=context).contains(count)),
    };
    let Some(positions) = positions else {
        return world.terminal.problem(&format!("the positions must be 1 to {context}"));
    };
    let bos = prompt.loaded.tokenizer.rules().bos;
    let mut waiting = Waiting::new(world, "computing");
    let Session { engine, sequence, .. } = &mut prompt.session;
    let mut run = DigestRun::new(bos, positions, sequence);
    let digest = loop {
        match run.step(engine, sequence, &mut || core::ops::ControlFlow::Continue(())) {
            Ok(DigestStep::Fed { done, total }) => {
                if waiting.show(done, total).is_break() {
                    break Err(RunError::Stopped);
                }
            }
            Ok(DigestStep::Done(digest)) => break Ok(digest),
            Err(error) => break Err(error),
        }
    };
    waiting.clear();
    match digest {
        Ok(digest) if digest.agrees() => world.terminal.write(&format!("{digest}\n")),
        Ok(digest) => world.terminal.problem(&format!("{digest}: this machine computes wrong")),
        Err(error) => world.terminal.problem(&format!("{error}")),
    }
}

fn licenses(world: &mut World<'_>) {
    let license = include_str!("../../../LICENSE");
    world.terminal.page(&format!("{license}\n{}", bootllm_terminal::FONT_LICENSE));
}

fn diag(prompt: &Prompt<'_>, world: &mut World<'_>) {
    let mut table = Table::default();
    for fact in world.machine.facts() {
        table.row(fact.label, fact.value);
    }
    let used = units::cores_phrase(world.cores.count());
    table.row("computing", format_args!("{used}, kernels: {}", prompt.loaded.model.isa()));
    let context = prompt.loaded.model.context();
    let kv = prompt.session.sequence.kv_format();
    let needed = prompt.loaded.model.plan().memory(context, kv);
    table.row(
        "model",
        format_args!(
            "{}: weights {}, KV cache {} ({}), activations {}",
            prompt.loaded.name,
            units::bytes(needed.weights),
            units::bytes(needed.kv_cache),
            kv.name(),
            units::bytes(needed.activations)
        ),
    );
    world.terminal.page(&table.0);
}
