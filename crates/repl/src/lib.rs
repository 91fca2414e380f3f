#![no_std]
#![forbid(unsafe_code)]
//! The program that a person sees, on bare metal and on Linux alike: it looks for models, lets
//! the person choose one, loads it, tells a story, and then continues what is typed.
//!
//! ```text
//! catalog ─► menu ─► loading ─► prompt ─┐
//!              ▲                        │ /models, or something went wrong
//!              └────────────────────────┘
//! ```
//!
//! It knows a machine only by the traits of `bootllm-platform`.

extern crate alloc;

mod bench;
mod catalog;
mod commands;
mod loading;
mod menu;
mod prompt;
mod terminal;
mod waiting;

use alloc::format;
use bootllm_cores::Cores;
use bootllm_engine::KvFormat;
use bootllm_platform::{Clock, Console, Entropy, Machine, Storage};
use bootllm_simd::Cpu;
use core::time::Duration;
use loading::Loaded;
use prompt::Prompt;
use terminal::Terminal;

/// The machine that the program runs on.
pub struct Platform<'a> {
    /// Where the person reads and types.
    pub console: &'a mut dyn Console,
    /// Where the models lie.
    pub storage: &'a mut dyn Storage,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Where seeds come from.
    pub entropy: &'a mut dyn Entropy,
    /// What the machine says of itself.
    pub machine: &'a mut dyn Machine,
    /// The cores that compute.
    pub cores: &'a dyn Cores,
}

/// What happened before the program began, and what it is to begin with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// From power-on until the program began, if the machine knows.
    pub firmware_time: Option<Duration>,
    /// In which form keys and values are kept, as long as nobody sets another.
    pub kv: KvFormat,
    /// The instructions that are used, if not all that the CPU has.
    pub cpu: Option<Cpu>,
}

/// How the person wants to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Switch the machine off.
    PowerOff,
    /// Go back to the firmware.
    Firmware,
}

/// The machine and the terminal on it, as all parts of the program use them.
struct World<'a> {
    terminal: Terminal<'a>,
    storage: &'a mut dyn Storage,
    clock: &'a dyn Clock,
    entropy: &'a mut dyn Entropy,
    machine: &'a mut dyn Machine,
    cores: &'a dyn Cores,
    start: Start,
}

/// What comes after a prompt.
enum After {
    Menu,
    Leave(Leave),
}

/// Runs the program until the person leaves it.
pub fn run(platform: Platform<'_>, start: &Start) -> Leave {
    let Platform { console, storage, clock, entropy, machine, cores } = platform;
    let terminal = Terminal::new(console);
    let mut world = World { terminal, storage, clock, entropy, machine, cores, start: *start };
    banner(&mut world.terminal);

    let begun = world.clock.now();
    let mut catalog = catalog::find(world.storage);
    let looked = world.clock.now().saturating_sub(begun);
    // The first time a model starts by itself and tells a story, so that a person who only
    // switches the machine on gets one.
    let mut first_time = true;
    loop {
        let choice = menu::choose(&mut world, &mut catalog, first_time);
        let found = match choice {
            menu::Choice::Model(found) => found,
            menu::Choice::Leave(leave) => return leave,
        };
        let after = match loading::load(&mut world, &found) {
            Ok(loaded) => {
                let spent = first_time.then(|| start_up(start, looked, &loaded));
                with_model(&mut world, &loaded, spent)
            }
            Err(message) => {
                world.terminal.problem(&format!("{}: {message}", found.name));
                // It was meant for the prompt; in the menu, letters do things.
                world.terminal.forget_typed();
                After::Menu
            }
        };
        first_time = false;
        if let After::Leave(leave) = after {
            return leave;
        }
    }
}

/// Tells a story first if `start_up` is given, then continues what the person types.
fn with_model(world: &mut World<'_>, loaded: &Loaded, start_up: Option<StartUp>) -> After {
    let mut prompt = match Prompt::new(world.cores, loaded) {
        Ok(prompt) => prompt,
        Err(error) => {
            world.terminal.problem(&format!("{}: {error}", loaded.name));
            return After::Menu;
        }
    };
    if let Some(start_up) = start_up {
        prompt.first_story(world, start_up);
    }
    prompt.run(world)
}

/// What the time from power-on to the first word was spent on.
struct StartUp {
    firmware: Option<Duration>,
    looking: Duration,
    loading: Duration,
}

fn start_up(start: &Start, looking: Duration, loaded: &Loaded) -> StartUp {
    StartUp { firmware: start.firmware_time, looking, loading: loaded.time }
}

fn banner(terminal: &mut Terminal<'_>) {
    let version = env!("CARGO_PKG_VERSION");
    terminal
        .write(&format!("\x1b[1mbootllm {version}\x1b[0m: a language model and nothing else\n"));
    terminal
        .quiet("after llama2.c by Andrej Karpathy, for models of Meta's LLaMA architecture\n\n");
}
