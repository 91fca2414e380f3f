//! The prompt: a person types the beginning of a text, the model goes on.

use crate::loading::Loaded;
use crate::terminal::Typed;
use crate::{After, Leave, StartUp, World, commands};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_chat::{Command, Generation, Line, Report, Settings, Step, report, short_seed};
use bootllm_cores::Cores;
use bootllm_engine::{LoadError, Session};
use bootllm_sampling::Sampler;
use bootllm_terminal::LineEditor;
use bootllm_units as units;

/// What the person sees when it is their turn.
const PROMPT: &str = ">>> ";

/// A model that is talked to.
pub(crate) struct Prompt<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) session: Session<'a>,
    pub(crate) settings: Settings,
    /// The figures of the last text, and its seed if one mattered.
    pub(crate) last: Option<(Report, Option<u64>)>,
    editor: LineEditor,
}

impl<'a> Prompt<'a> {
    pub(crate) fn new(cores: &'a dyn Cores, loaded: &'a Loaded) -> Result<Self, LoadError> {
        let session = Session::with_kv_format(&loaded.model, cores, loaded.kv)?;
        let settings = Settings { kv: loaded.kv, ..Settings::default() };
        let mut editor = LineEditor::new();
        let names: Vec<&str> = Command::ALL.iter().map(|info| info.names[0]).collect();
        editor.set_completions(&names);
        Ok(Prompt { loaded, session, settings, last: None, editor })
    }

    /// Keeps keys and values as the settings say. If there is no memory for that, the settings say
    /// what is. `free`: bytes that the machine has beside what is taken so far.
    pub(crate) fn keep_as_set(&mut self, free: u64) -> Result<(), String> {
        let (before, wanted) = (self.session.sequence.kv_format(), self.settings.kv);
        if wanted == before {
            return Ok(());
        }
        let (plan, context) = (self.loaded.model.plan(), self.loaded.model.context());
        let needed = |kv| plan.memory(context, kv).kv_cache;
        // Those of one form are given back before those of another are taken.
        let free = free.saturating_add(needed(before));
        let kept = if needed(wanted) > free {
            Err(format!(
                "keys and values in {} need {} of memory, this machine has {} for them",
                wanted.name(),
                units::bytes(needed(wanted)),
                units::bytes(free)
            ))
        } else {
            self.session.sequence.set_kv_format(wanted).map_err(|error| format!("{error}"))
        };
        kept.map_err(|problem| {
            self.settings.kv = before;
            format!("{problem}; they stay in {}", before.name())
        })
    }

    /// Tells a story without being asked, and says what the time until its first word was spent on.
    pub(crate) fn first_story(&mut self, world: &mut World<'_>, start_up: StartUp) {
        world
            .terminal
            .quiet("Esc or Ctrl+C stops the story. Then type how a story begins, or /help.\n\n");
        self.tell(world, "");
        let Some((report, _)) = self.last else {
            return;
        };
        let StartUp { firmware, looking, loading } = start_up;
        let firmware =
            firmware.map_or(String::new(), |time| format!("firmware {}, ", units::duration(time)));
        world.terminal.quiet(&format!(
            "to the first word: {firmware}looking for models {}, loading {}, first word {}\n",
            units::duration(looking),
            units::duration(loading),
            units::duration(report.prompt_time)
        ));
    }

    /// Reads lines and does what they say.
    pub(crate) fn run(&mut self, world: &mut World<'_>) -> After {
        loop {
            world.cores.rest();
            let line = match world.terminal.line(&mut self.editor, PROMPT) {
                Typed::Line(line) => line,
                Typed::Cancelled => continue,
                Typed::End => return After::Leave(Leave::PowerOff),
            };
            match Line::parse(&line) {
                Line::Empty => {}
                Line::Text(text) => self.tell(world, text),
                Line::Unknown(name) => world.terminal.problem(&format!(
                    "there is no command {name}; /help lists them. \
                     A text that begins with / needs a space before it."
                )),
                Line::Command(command, arguments) => {
                    if let Some(after) = commands::run(self, world, command, arguments) {
                        return after;
                    }
                }
            }
        }
    }

    /// Writes the text that begins with `beginning`, as it comes. Esc and Ctrl+C stop it.
    fn tell(&mut self, world: &mut World<'_>, beginning: &str) {
        let tokenizer = &self.loaded.tokenizer;
        let seed = self.settings.seed.unwrap_or_else(|| short_seed(world.entropy.seed()));
        let sampler = match Sampler::new(self.settings.sampling.chain(seed), tokenizer.len()) {
            Ok(sampler) => sampler,
            Err(_) => return world.terminal.problem("there is no memory to choose tokens"),
        };
        let tokens = tokenizer.encode(beginning, true, false);
        self.session.rewind(0);
        let report = self.write_text(world, sampler, &tokens);
        world.terminal.write("\n");
        match report {
            Ok(report) => {
                let drawn = self.settings.sampling.temperature != 0.0;
                let seed = drawn.then_some(seed);
                let line = report::summary(&report);
                let seed_text = seed.map_or("".into(), |seed| format!(" · seed {seed}"));
                world.terminal.quiet(&format!("{line}{seed_text}\n"));
                self.last = Some((report, seed));
            }
            Err(error) => world.terminal.problem(&format!("{error}")),
        }
    }

    fn write_text(
        &mut self,
        world: &mut World<'_>,
        sampler: Sampler,
        tokens: &[u32],
    ) -> Result<Report, bootllm_chat::GenerateError> {
        let (tokenizer, length) = (self.loaded.tokenizer.clone(), self.settings.length);
        let Session { engine, sequence, .. } = &mut self.session;
        let mut text = Generation::text(tokenizer, sampler, tokens, length, sequence)?;
        world.terminal.write(text.prompt());
        loop {
            let never = &mut || core::ops::ControlFlow::Continue(());
            match text.step(engine, sequence, world.clock, never)? {
                Step::Reading { .. } => {}
                Step::Text(piece) => world.terminal.write(piece),
                Step::Done(_, rest) => {
                    world.terminal.write(rest);
                    break;
                }
            }
            if world.terminal.go_on().is_break() {
                break;
            }
        }
        Ok(text.report())
    }
}
