#![no_std]
#![forbid(unsafe_code)]
//! The program that the user sees, on bare metal and on Linux alike: it looks for models, lets
//! the user choose one, loads it, writes a story, and then continues what is typed.
//!
//! ```text
//! search ─► menu ─► loading ─► prompt ─┐
//!             ▲                        │ /models, or something went wrong
//!             └────────────────────────┘
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
mod typed_ahead;
mod waiting;

use alloc::format;
use alloc::string::String;
use bootllm_chat::Settings;
use bootllm_cores::Cores;
use bootllm_engine::KvFormat;
use bootllm_platform::{Clock, Console, Entropy, Machine, Storage};
use bootllm_simd::Cpu;
use catalog::{Catalog, Search};
use core::time::Duration;
use loading::Loaded;
use menu::{Choice, Menu};
use prompt::Prompt;
use terminal::Terminal;

/// The machine that the program runs on.
pub struct Platform<'a> {
    /// Where the user reads and types.
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
    /// Whether leaving the program switches the machine off or returns to its firmware. Otherwise
    /// the program ends, and [`Leave`] says nothing.
    pub owns_machine: bool,
}

/// How the user wants to leave.
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
    /// How texts are generated; they stay when another model is chosen.
    settings: Settings,
}

/// What comes after a prompt.
enum NextScreen {
    /// The menu; a model was not loaded, or it was left.
    Menu,
    /// The model with this index in the catalog.
    Model(usize),
    Leave(Leave),
}

/// Runs the program until the user leaves it.
pub fn run(platform: Platform<'_>, start: &Start) -> Leave {
    let Platform { console, storage, clock, entropy, machine, cores } = platform;
    let terminal = Terminal::new(console);
    let settings = Settings { kv: start.kv, ..Settings::default() };
    let mut world =
        World { terminal, storage, clock, entropy, machine, cores, start: *start, settings };
    banner(&mut world.terminal);

    let begun = world.clock.now();
    let mut catalog = search(&mut world, false);
    let looking = world.clock.now().saturating_sub(begun);
    // The first time a model starts by itself and writes a story, so that a user who only switches
    // the machine on gets one.
    let mut first_time = true;
    let mut next = NextScreen::Menu;
    loop {
        let index = match next {
            NextScreen::Menu => match choose(&mut world, &mut catalog, None, first_time) {
                Choice::Model(index) => index,
                Choice::Leave(leave) => return leave,
                Choice::Back | Choice::Search { .. } => continue,
            },
            NextScreen::Model(index) => index,
            NextScreen::Leave(leave) => return leave,
        };
        let entry = catalog.models[index].clone();
        next = match loading::load(&mut world, &entry) {
            Ok(loaded) => {
                let times = first_time.then_some(BootTimes {
                    firmware: start.firmware_time,
                    looking,
                    loading: loaded.time,
                });
                with_model(&mut world, &mut catalog, &loaded, times)
            }
            Err(message) => {
                world.terminal.problem(&format!("{}: {message}", entry.name));
                // It was meant for the prompt; in the menu, letters do things.
                world.terminal.forget_typed();
                NextScreen::Menu
            }
        };
        first_time = false;
    }
}

/// The time between two pictures of something that goes on.
const REDRAW: Duration = Duration::from_millis(100);
/// Folders that are shown while they are read however fast that goes, because reading a damaged one
/// may never end.
const ALWAYS_SHOWN: usize = 64;

/// Looks for models, and shows where. Esc stops it.
fn search(world: &mut World<'_>, all: bool) -> Catalog {
    let mut search = Search::new(world.storage, all);
    let mut shown = (world.clock.now(), String::new());
    let mut changes = 0;
    loop {
        let status = search.status();
        let now = world.clock.now();
        let new = !status.is_empty() && status != shown.1;
        if new && (changes < ALWAYS_SHOWN || now.saturating_sub(shown.0) >= REDRAW) {
            let columns = world.terminal.size().columns;
            let line = menu::cut(&format!("{status} · Esc stops"), columns.saturating_sub(1));
            world.terminal.write(&format!("\r{line}\x1b[K"));
            shown = (now, status);
            changes += 1;
        }
        if !search.step(world.storage) {
            break;
        }
        if world.terminal.poll_cancel().is_break() {
            search.stop();
        }
    }
    world.terminal.write("\r\x1b[K");
    search.finish()
}

/// Lets the user choose a model, beside one that is `loaded`. With `automatic`, a single model is
/// taken at once, and the first of several after a countdown that any key stops.
fn choose(
    world: &mut World<'_>,
    catalog: &mut Catalog,
    loaded: Option<&str>,
    automatic: bool,
) -> Choice {
    if automatic && catalog.models.len() == 1 {
        if catalog.refused().next().is_some() {
            world.terminal.quiet("Some files cannot be used; /models says which, and why.\n");
        }
        return Choice::Model(0);
    }
    let mut automatic = automatic;
    world.cores.park();
    loop {
        let mut menu = Menu::new(catalog, loaded, world, automatic);
        let choice = loop {
            let picture = menu.draw(world.terminal.size(), false);
            world.terminal.write(&picture);
            let event = world.terminal.next(menu.wait());
            if let Some(choice) = menu.on(event) {
                break choice;
            }
        };
        let picture = menu.draw(world.terminal.size(), true);
        world.terminal.write(&picture);
        let Choice::Search { all } = choice else { return choice };
        automatic = false;
        *catalog = search(world, all);
    }
}

/// Writes a story first if `times` are given, then continues what the user types.
fn with_model(
    world: &mut World<'_>,
    catalog: &mut Catalog,
    loaded: &Loaded,
    times: Option<BootTimes>,
) -> NextScreen {
    let mut prompt = match Prompt::new(world, loaded) {
        Ok(prompt) => prompt,
        Err(error) => {
            world.terminal.problem(&format!("{}: {error}", loaded.name));
            return NextScreen::Menu;
        }
    };
    if let Some(times) = times {
        prompt.first_story(world, times);
    }
    prompt.run(world, catalog)
}

/// What the time from power-on to the first word was spent on.
struct BootTimes {
    firmware: Option<Duration>,
    looking: Duration,
    loading: Duration,
}

fn banner(terminal: &mut Terminal<'_>) {
    let version = env!("CARGO_PKG_VERSION");
    terminal
        .write(&format!("\x1b[1mbootllm {version}\x1b[0m: a language model and nothing else\n"));
    terminal
        .quiet("after llama2.c by Andrej Karpathy, for models of Meta's LLaMA architecture\n\n");
}
