#![no_std]
#![forbid(unsafe_code)]
//! The program that the user sees, on bare metal and on Linux alike: it looks for models, lets the
//! user choose one, loads it, writes a story, and then continues what is typed.
//!
//! It is a state machine over the events of its console:
//!
//! ```text
//! search ─► menu ─► loading ─► writing ─► prompt ─► writing, digest, logits, page
//!             ▲                             │  ▲                 │
//!             └────── /models ──────────────┘  └─────────────────┘
//! ```
//!
//! [`run`] waits for an event and hands it to the present [`State`](state::State), which returns the
//! next one. A state that works does one step per event and looks for keys between the layers of the
//! model, so nothing blocks but the one wait.
//!
//! It knows a machine only by the traits of `bootllm-platform`.

extern crate alloc;

mod bench;
mod catalog;
mod chat;
mod commands;
mod digest;
mod loading;
mod logits;
mod menu;
mod pager;
mod progress_line;
mod prompt;
mod search;
mod state;
mod terminal;
mod typed_ahead;
mod writing;

use alloc::format;
use bootllm_chat::Settings;
use bootllm_cores::Cores;
use bootllm_engine::KvFormat;
use bootllm_platform::{Clock, Console, Entropy, Machine, Storage};
use bootllm_simd::Cpu;
use bootllm_terminal::LineEditor;
use catalog::Catalog;
use chat::Chat;
use core::time::Duration;
use search::Search;
use state::{State, Wait};
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

/// How the program starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// From power-on until the program began, if the machine knows.
    pub firmware_time: Option<Duration>,
    /// The format of keys and values, until the user sets another.
    pub kv: KvFormat,
    /// The instructions that are used, if not all that the CPU has.
    pub cpu: Option<Cpu>,
    /// Whether leaving the program switches the machine off or returns to its firmware. Otherwise
    /// the program ends, and [`Leave`] says nothing.
    pub owns_machine: bool,
    /// The time per token at which the first story is shown, to be read as it comes; `None` shows it
    /// as fast as it is computed. Any key ends it.
    pub story_pace: Option<Duration>,
}

/// A pace for [`Options::story_pace`]: fast for a reader, slow for a machine.
pub const STORY_PACE: Duration = Duration::from_millis(40);

/// How the user wants to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Switch the machine off.
    PowerOff,
    /// Go back to the firmware.
    Firmware,
}

/// Everything that outlives a state.
struct World<'a> {
    terminal: Terminal<'a>,
    storage: &'a mut dyn Storage,
    clock: &'a dyn Clock,
    entropy: &'a mut dyn Entropy,
    machine: &'a mut dyn Machine,
    cores: &'a dyn Cores,
    options: Options,
    /// How texts are generated. They stay when another model is chosen.
    settings: Settings,
    editor: LineEditor,
    catalog: Catalog,
    /// The model that is loaded.
    chat: Option<Chat<'a>>,
    /// What the time until the first word was spent on; `None` once it was told.
    boot_times: Option<BootTimes>,
}

/// What the time from power-on to the first word was spent on.
#[derive(Clone, Copy, Default)]
struct BootTimes {
    search: Duration,
    loading: Duration,
}

/// Temperature of the program's texts, until the user sets another: at 1, llama2.c's own, small
/// models lose the thread.
const TEMPERATURE: f32 = 0.8;

/// Runs the program until the user leaves it.
pub fn run(platform: Platform<'_>, options: &Options) -> Leave {
    let Platform { console, storage, clock, entropy, machine, cores } = platform;
    let sampling = bootllm_sampling::SamplerSettings {
        temperature: TEMPERATURE,
        ..bootllm_sampling::SamplerSettings::default()
    };
    let mut world = World {
        terminal: Terminal::new(console, clock),
        storage,
        clock,
        entropy,
        machine,
        cores,
        options: *options,
        // A text is as long as the model can.
        settings: Settings { sampling, kv: options.kv, length: 0, ..Settings::default() },
        editor: prompt::editor(),
        catalog: Catalog::default(),
        chat: None,
        boot_times: Some(BootTimes::default()),
    };
    banner(&mut world.terminal);
    let mut state = State::Search(Search::begin(&mut world, false));
    loop {
        let event = match state.wait(&world) {
            Wait::Key(limit) => world.terminal.next(limit),
            Wait::Work(pause) => world.terminal.poll(pause),
        };
        state = state.on(event, &mut world);
        if let State::Left(leave) = state {
            return leave;
        }
    }
}

fn banner(terminal: &mut Terminal<'_>) {
    let version = env!("CARGO_PKG_VERSION");
    terminal
        .write(&format!("\x1b[1mbootllm {version}\x1b[0m: a language model and nothing else\n"));
    terminal.quiet("after llama2.c by Andrej Karpathy\n\n");
}
