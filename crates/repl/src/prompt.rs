//! The prompt: the user types the beginning of a text, the model goes on.

use crate::catalog::Catalog;
use crate::loading::Loaded;
use crate::menu::Choice;
use crate::terminal::LineInput;
use crate::{BootTimes, Leave, NextScreen, World, choose, commands};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_chat::{
    Command, Generation, Line, Report, SETTINGS, Settings, Step, report, short_seed,
};
use bootllm_engine::{LoadError, Session};
use bootllm_sampling::Sampler;
use bootllm_terminal::LineEditor;
use bootllm_units as units;

/// What asks the user to type.
const PROMPT: &str = ">>> ";

/// A model that is talked to.
pub(crate) struct Prompt<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) session: Session<'a>,
    /// The figures of the last text, and its seed if one mattered.
    pub(crate) last: Option<(Report, Option<u64>)>,
    editor: LineEditor,
}

impl<'a> Prompt<'a> {
    pub(crate) fn new<'t: 'a>(
        world: &mut World<'t>,
        loaded: &'a Loaded,
    ) -> Result<Self, LoadError> {
        let session = Session::with_kv_format(&loaded.model, world.cores, loaded.kv)?;
        world.settings.kv = loaded.kv;
        let mut editor = LineEditor::new();
        let settings = SETTINGS.iter().map(|setting| format!("/set {} ", setting.name));
        let names = Command::ALL.iter().map(|info| String::from(info.names[0]));
        let completions: Vec<String> = names.chain(settings).collect();
        editor.set_completions(&completions.iter().map(String::as_str).collect::<Vec<_>>());
        Ok(Prompt { loaded, session, last: None, editor })
    }

    /// Keeps keys and values as the settings say. If there is no memory for that, the settings say
    /// what is. `free`: bytes that the machine has beside what is taken so far.
    pub(crate) fn keep_as_set(&mut self, settings: &mut Settings, free: u64) -> Result<(), String> {
        let (before, wanted) = (self.session.sequence.kv_format(), settings.kv);
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
            settings.kv = before;
            format!("{problem}; they stay in {}", before.name())
        })
    }

    /// Tells a story without being asked, and says what the time until its first word was spent on.
    pub(crate) fn first_story(&mut self, world: &mut World<'_>, times: BootTimes) {
        world
            .terminal
            .quiet("Esc or Ctrl+C stops the story. Then type how a story begins, or /help.\n\n");
        self.tell(world, "");
        let Some((report, _)) = self.last else {
            return;
        };
        let BootTimes { firmware, looking, loading } = times;
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
    pub(crate) fn run(&mut self, world: &mut World<'_>, catalog: &mut Catalog) -> NextScreen {
        loop {
            world.cores.park();
            let input = world.terminal.line(&mut self.editor, PROMPT);
            // A text goes on where it was typed.
            let text = match &input {
                LineInput::Line(line) => match Line::parse(line) {
                    Line::Text(text) => Some(text),
                    _ => None,
                },
                _ => None,
            };
            if let Some(text) = text {
                self.tell(world, text);
                continue;
            }
            world.terminal.leave_row(&self.editor);
            let line = match input {
                LineInput::Line(line) => line,
                LineInput::Cancelled => continue,
                LineInput::End => return NextScreen::Leave(Leave::PowerOff),
            };
            match Line::parse(&line) {
                Line::Empty | Line::Text(_) => {}
                Line::Unknown(name) => world.terminal.problem(&format!(
                    "there is no command {name}; /help lists them. \
                     A text that begins with / needs a space before it."
                )),
                Line::Command(Command::Models, _) => {
                    match choose(world, catalog, Some(&self.loaded.name), false) {
                        Choice::Leave(leave) => return NextScreen::Leave(leave),
                        Choice::Model(index) if catalog.models[index].name != self.loaded.name => {
                            return NextScreen::Model(index);
                        }
                        Choice::Model(_) | Choice::Back | Choice::Search { .. } => {}
                    }
                }
                Line::Command(command, arguments) => {
                    if let Some(leave) = commands::run(self, world, command, arguments) {
                        return NextScreen::Leave(leave);
                    }
                }
            }
        }
    }

    /// Writes the text that begins with `beginning`, as it comes. Esc and Ctrl+C stop it.
    fn tell(&mut self, world: &mut World<'_>, beginning: &str) {
        let tokenizer = &self.loaded.tokenizer;
        let seed = world.settings.seed.unwrap_or_else(|| short_seed(world.entropy.seed()));
        let sampler = match Sampler::new(&world.settings.sampling, seed, tokenizer.len()) {
            Ok(sampler) => sampler,
            Err(_) => return world.terminal.problem("there is no memory to choose tokens"),
        };
        let tokens = tokenizer.encode(beginning, true, false);
        self.session.rewind(0);
        let report = self.write_text(world, sampler, &tokens);
        world.terminal.write("\n");
        match report {
            Ok(report) => {
                let drawn = world.settings.sampling.temperature != 0.0;
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
        let (tokenizer, length) = (self.loaded.tokenizer.clone(), world.settings.length);
        let Session { engine, sequence, .. } = &mut self.session;
        let mut text = Generation::text(tokenizer, sampler, tokens, length, sequence)?;
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
            if world.terminal.poll_cancel().is_break() {
                break;
            }
        }
        Ok(text.report())
    }
}
