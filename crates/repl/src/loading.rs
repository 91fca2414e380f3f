//! Loading a model and its tokenizer.

use crate::catalog::CatalogEntry;
use crate::chat::Chat;
use crate::menu::Menu;
use crate::progress_line::ProgressLine;
use crate::state::State;
use crate::writing::Writing;
use crate::{World, prompt};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_engine::{Engine, KvFormat, Loader, Memory, Plan, Sequence, cpu_after_self_test};
use bootllm_platform::{Event, Key, ReadAt, Retrying, StorageError};
use bootllm_simd::Cpu;
use bootllm_tokenizer::{Tokenizer, names_beside};
use bootllm_units as units;
use core::time::Duration;

/// The longest context that is taken unasked: more costs memory and time that few texts need.
const CONTEXT: usize = 8192;
/// The shortest context that a model is loaded with where there is little memory.
const SHORTEST_CONTEXT: usize = 256;

/// A model that is being loaded.
pub(crate) struct LoadingState {
    entry: CatalogEntry,
    tokenizer: (String, Tokenizer),
    context: usize,
    kv: KvFormat,
    source: Box<dyn ReadAt>,
    loader: Loader,
    begun: Duration,
    progress: ProgressLine,
}

/// Starts to load the model with this index in the catalog, after the one that was loaded is freed.
pub(crate) fn begin(world: &mut World<'_>, index: usize) -> State {
    world.chat = None;
    let entry = world.catalog.models[index].clone();
    match prepare(world, &entry) {
        Ok(loading) => State::Loading(Box::new(loading)),
        Err(message) => fail(world, &entry.name, &message),
    }
}

/// Says what went wrong, and shows the menu.
fn fail(world: &mut World<'_>, name: &str, message: &str) -> State {
    world.terminal.problem(&format!("{name}: {message}"));
    // What was typed was meant for the prompt; in the menu, letters do things.
    world.terminal.forget_typed();
    world.boot_times = None;
    Menu::begin(world, false)
}

fn prepare(world: &mut World<'_>, entry: &CatalogEntry) -> Result<LoadingState, String> {
    let begun = world.clock.now();
    let tokenizer = load_tokenizer(world, entry)?;
    let (context, kv) = context_and_kv(world, &entry.plan)?;
    let source = world.storage.open(&entry.name).map_err(|error| error.to_string())?;
    let cpu = cpu_after_self_test(world.options.cpu.unwrap_or_else(Cpu::detect));
    let loader =
        Loader::new(entry.plan.clone(), cpu, context).map_err(|error| error.to_string())?;
    let progress = ProgressLine::here(world.clock);
    let entry = entry.clone();
    Ok(LoadingState { entry, tokenizer, context, kv, source, loader, begun, progress })
}

/// The context and the format of keys and values that fit the memory: those that are wanted, else a
/// narrower format, else a shorter context. The user is told of a format, since it changes the text
/// a little, and of a context that is shorter than the model's.
fn context_and_kv(world: &mut World<'_>, plan: &Plan) -> Result<(usize, KvFormat), String> {
    let (wanted, free) = (world.settings.kv, world.machine.memory_free());
    let longest = plan.shape().context;
    let halves = core::iter::successors(Some(longest.min(CONTEXT)), |&context| {
        (context / 2 >= SHORTEST_CONTEXT).then_some(context / 2)
    });
    let contexts: Vec<usize> = halves.collect();
    let formats = || KvFormat::ALL.into_iter().skip_while(|&kv| kv != wanted);
    let first = contexts.first().copied().unwrap_or(longest);
    let narrower = formats().map(|kv| (first, kv));
    let narrowest = formats().last().unwrap_or(wanted);
    let shorter = contexts.iter().skip(1).map(|&context| (context, narrowest));
    let fits = |&(context, kv): &(usize, KvFormat)| plan.memory(context, kv).fits(free);
    let Some((context, kv)) = narrower.chain(shorter).find(fits) else {
        let least = plan.memory(contexts.last().copied().unwrap_or(first), narrowest).total();
        return Err(format!(
            "it needs {} of memory, and this machine has {} free, of which {} must stay free; take a \
             smaller model",
            units::bytes(least),
            units::bytes(free),
            units::bytes(Memory::RESERVE)
        ));
    };
    if kv != wanted {
        world.terminal.quiet(&format!(
            "keys and values are kept in {}: in {} this model needs {}, this machine has {} free\n",
            kv.name(),
            wanted.name(),
            units::bytes(plan.memory(first, wanted).total()),
            units::bytes(free)
        ));
    }
    if context < longest {
        world.terminal.quiet(&format!("context: {context} of the model's {longest} tokens\n"));
    }
    Ok((context, kv))
}

impl LoadingState {
    pub(crate) fn on(mut self: Box<Self>, event: Event, world: &mut World<'_>) -> State {
        if event == Event::Key(Key::Escape) {
            self.progress.clear(&mut world.terminal);
            return fail(world, &self.entry.name, "loading was stopped");
        }
        let (terminal, name) = (&mut world.terminal, &self.entry.name);
        // A read that fails takes the firmware's own time-outs each time.
        let again = |error: &StorageError| {
            terminal.write("\r\x1b[K");
            terminal.problem(&format!("{name}: {error}; Esc stops"));
            terminal.poll_cancel().is_continue()
        };
        let mut source = Retrying { file: &mut *self.source, again };
        let loading = match self.loader.step(&mut source, world.cores) {
            Ok(loading) => loading,
            Err(error) => {
                self.progress.clear(&mut world.terminal);
                return fail(world, &self.entry.name, &error.to_string());
            }
        };
        if loading.done < loading.total {
            if self.progress.is_due(world.clock) {
                let time = world.clock.now().saturating_sub(self.begun);
                let columns = world.terminal.size().columns;
                let (done, total) = (loading.done, loading.total);
                let line = units::progress_line("loading", done, total, time, columns);
                self.progress.show(&mut world.terminal, &line);
            }
            return State::Loading(self);
        }
        self.progress.clear(&mut world.terminal);
        let name = self.entry.name.clone();
        match self.finish(world) {
            Ok(()) => first_story_or_prompt(world),
            Err(message) => fail(world, &name, &message),
        }
    }

    fn finish(self, world: &mut World<'_>) -> Result<(), String> {
        let model = self.loader.finish().map_err(|error| error.to_string())?;
        let mut engine = Engine::new(&model, world.cores).map_err(|error| error.to_string())?;
        engine.pace_by(world.clock);
        let sequence =
            Sequence::new(&model, self.context, self.kv).map_err(|error| error.to_string())?;
        let loading_time = world.clock.now().saturating_sub(self.begun);
        if let Some(times) = &mut world.boot_times {
            times.loading = loading_time;
        }
        let file = self.entry.plan.file();
        world.terminal.quiet(&format!(
            "{}: {} parameters, {} loaded in {}, {}/s\n",
            self.entry.name,
            units::count(file.parameters()),
            units::bytes(file.size),
            units::duration(loading_time),
            units::bytes(units::rate(file.size as f64, loading_time) as u64)
        ));
        world.settings.kv = self.kv;
        let (tokenizer_name, tokenizer) = self.tokenizer;
        world.chat = Some(Chat {
            name: self.entry.name,
            model,
            engine,
            sequence,
            tokenizer_name,
            tokenizer: Arc::new(tokenizer),
            loading_time,
            last: None,
            last_prompt: Vec::new(),
            unfinished: None,
        });
        Ok(())
    }
}

/// The first model writes a story, so that a user who only switches the machine on gets one.
fn first_story_or_prompt(world: &mut World<'_>) -> State {
    if world.boot_times.is_none() {
        return prompt::begin(world);
    }
    world
        .terminal
        .quiet("Esc or Ctrl+C stops the story. Then type how a story begins, or /help.\n\n");
    Writing::begin(world, "", 0)
}

/// The tokenizer inside the model, or else of the file beside it, with the name of the file it is in.
fn load_tokenizer(
    world: &mut World<'_>,
    entry: &CatalogEntry,
) -> Result<(String, Tokenizer), String> {
    let mut open =
        |name: &str| world.storage.open(name).map_err(|error| format!("{name}: {error}"));
    if let Some(vocabulary) = &entry.plan.file().vocabulary {
        let tokenizer = Tokenizer::from_gguf(vocabulary, &mut *open(&entry.name)?);
        return Ok((entry.name.clone(), tokenizer.map_err(|error| error.to_string())?));
    }
    let Some(name) = &entry.tokenizer else {
        let [own, common] = names_beside(&entry.name);
        return Err(format!(
            "it has no tokenizer; copy its tokenizer beside it as {own} or {common}"
        ));
    };
    let tokenizer = Tokenizer::from_file(&mut *open(name)?, entry.plan.shape().vocab_size);
    Ok((name.clone(), tokenizer.map_err(|error| format!("its tokenizer {name}: {error}"))?))
}
