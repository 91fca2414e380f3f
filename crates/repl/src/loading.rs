//! Loading a model and its tokenizer.

use crate::World;
use crate::catalog::CatalogEntry;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use bootllm_engine::{KvFormat, Loading, Model, cpu_after_self_test};
use bootllm_platform::{Retrying, StorageError};
use bootllm_simd::Cpu;
use bootllm_tokenizer::{Tokenizer, names_beside};
use bootllm_units as units;
use core::cell::RefCell;
use core::time::Duration;

/// A model that is ready to run.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) model: Arc<Model>,
    /// In which form keys and values are kept at first.
    pub(crate) kv: KvFormat,
    pub(crate) tokenizer_name: String,
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// How long loading took.
    pub(crate) time: Duration,
}

/// Loads a model that was found, with a progress bar. Esc and Ctrl+C stop it.
///
/// # Errors
/// What went wrong and what to do, in a sentence.
pub(crate) fn load(world: &mut World<'_>, entry: &CatalogEntry) -> Result<Loaded, String> {
    let begun = world.clock.now();
    let (tokenizer_name, tokenizer) = load_tokenizer(world, entry)?;
    let context = entry.plan.shape().context;
    let free = world.machine.memory_free();
    let kv = kv_that_fits(world, entry, free)?;
    let mut source = world.storage.open(&entry.name).map_err(|error| error.to_string())?;
    let (terminal, clock, cores) = (RefCell::new(&mut world.terminal), world.clock, world.cores);
    // A read that fails takes the firmware's own time-outs each time.
    let again = |error: &StorageError| {
        let terminal = &mut *terminal.borrow_mut();
        terminal.write("\r\x1b[K");
        terminal.problem(&format!("{}: {error}; Esc stops", entry.name));
        terminal.poll_cancel().is_continue()
    };
    let mut source = Retrying { file: &mut *source, again };
    let mut shown = begun;
    let cpu = cpu_after_self_test(world.start.cpu.unwrap_or_else(Cpu::detect));
    let mut progress = |loading: Loading| {
        let now = clock.now();
        let time = now.saturating_sub(begun);
        if now.saturating_sub(shown) >= Duration::from_millis(100) {
            shown = now;
            let mut terminal = terminal.borrow_mut();
            let columns = terminal.size().columns;
            let line = units::progress_line("loading", loading.done, loading.total, time, columns);
            terminal.write(&format!("\r{line}\x1b[K"));
        }
        terminal.borrow_mut().poll_cancel()
    };
    let model = Model::load_for(cpu, &entry.plan, &mut source, cores, context, &mut progress);
    let terminal = terminal.into_inner();
    terminal.write("\r\x1b[K");
    let model = model.map_err(|error| error.to_string())?;
    let time = clock.now().saturating_sub(begun);
    terminal.quiet(&format!(
        "{}: {} parameters, {} loaded in {}, {}/s\n",
        entry.name,
        units::count(entry.plan.file().parameters()),
        units::bytes(entry.plan.file().size),
        units::duration(time),
        units::bytes(units::rate(entry.plan.file().size as f64, time) as u64)
    ));
    let (name, tokenizer) = (entry.name.clone(), Arc::new(tokenizer));
    Ok(Loaded { name, model, kv, tokenizer_name, tokenizer, time })
}

/// In which form keys and values are kept: as it was asked for, or in the least memory that it takes
/// to fit, which the person is told, for the text is a little different then.
fn kv_that_fits(
    world: &mut World<'_>,
    entry: &CatalogEntry,
    free: u64,
) -> Result<KvFormat, String> {
    let wanted = world.settings.kv;
    let needed = |kv| entry.plan.memory(entry.plan.shape().context, kv).total();
    let mut narrower = KvFormat::ALL.into_iter().skip_while(|&kv| kv != wanted);
    let Some(fits) = narrower.find(|&kv| needed(kv) <= free) else {
        return Err(format!(
            "it needs {} of memory, this machine has {} free; take a smaller model",
            units::bytes(needed(KvFormat::Q8)),
            units::bytes(free)
        ));
    };
    if fits != wanted {
        world.terminal.quiet(&format!(
            "keys and values are kept in {}: in {} this model needs {}, this machine has {} free\n",
            fits.name(),
            wanted.name(),
            units::bytes(needed(wanted)),
            units::bytes(free)
        ));
    }
    Ok(fits)
}

/// What is inside the model, else the file beside it; with the name of the file it is in.
fn load_tokenizer(
    world: &mut World<'_>,
    entry: &CatalogEntry,
) -> Result<(String, Tokenizer), String> {
    let mut open =
        |name: &str| world.storage.open(name).map_err(|error| format!("{name}: {error}"));
    if let Some(vocabulary) = &entry.plan.file().vocabulary {
        let tokenizer = Tokenizer::inside(vocabulary, &mut *open(&entry.name)?);
        return Ok((entry.name.clone(), tokenizer.map_err(|error| error.to_string())?));
    }
    let Some(name) = &entry.tokenizer else {
        let [own, common] = names_beside(&entry.name);
        return Err(format!(
            "it has no tokenizer; copy its tokenizer beside it as {own} or {common}"
        ));
    };
    let tokenizer = Tokenizer::open(&mut *open(name)?, entry.plan.shape().vocab_size);
    Ok((name.clone(), tokenizer.map_err(|error| format!("its tokenizer {name}: {error}"))?))
}
