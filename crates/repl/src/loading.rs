//! Loading a model and its tokenizer.

use crate::World;
use crate::catalog::Found;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bootllm_chat::report;
use bootllm_engine::{Memory, Model};
use bootllm_model_file::ModelFile;
use bootllm_tokenizer::{FileError, Tokenizer, names_beside};
use core::ops::ControlFlow;
use core::time::Duration;

/// A model that is ready to run.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) file: ModelFile,
    pub(crate) model: Model,
    pub(crate) tokenizer_name: String,
    pub(crate) tokenizer: Tokenizer,
    /// How long loading took.
    pub(crate) time: Duration,
}

/// Loads a model that was found, with a progress bar. Esc and Ctrl+C stop it.
///
/// # Errors
/// What went wrong and what to do, in a sentence.
pub(crate) fn load(world: &mut World<'_>, found: &Found) -> Result<Loaded, String> {
    let begun = world.clock.now();
    let (tokenizer_name, tokenizer) = load_tokenizer(world, found)?;
    let context = found.file.config.context;
    let (needed, free) =
        (Memory::needed(&found.file, context).total(), world.machine.memory_free());
    if needed > free {
        return Err(format!(
            "it needs {} of memory, this machine has {} free; take a smaller model",
            report::bytes(needed),
            report::bytes(free)
        ));
    }
    let mut source = world.storage.open(&found.name).map_err(|error| error.to_string())?;
    let (terminal, clock) = (&mut world.terminal, world.clock);
    let mut shown = begun;
    let model = Model::load(&found.file, &mut *source, context, &mut |loading| {
        let now = clock.now();
        let time = now.saturating_sub(begun);
        if now.saturating_sub(shown) >= Duration::from_millis(100) {
            shown = now;
            let columns = terminal.size().columns;
            let line = report::progress("loading", loading.done, loading.total, time, columns);
            terminal.write(&format!("\r{line}\x1b[K"));
        }
        if terminal.stop_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    terminal.write("\r\x1b[K");
    let model = model.map_err(|error| error.to_string())?;
    let time = clock.now().saturating_sub(begun);
    terminal.quiet(&format!(
        "{}: {} parameters, {} loaded in {}, {}/s\n",
        found.name,
        report::count(found.file.parameters()),
        report::bytes(found.file.size),
        report::duration(time),
        report::bytes(report::rate(found.file.size as f64, time) as u64)
    ));
    let (name, file) = (found.name.clone(), found.file.clone());
    Ok(Loaded { name, file, model, tokenizer_name, tokenizer, time })
}

fn load_tokenizer(world: &mut World<'_>, found: &Found) -> Result<(String, Tokenizer), String> {
    let Some(name) = &found.tokenizer else {
        let [own, common] = names_beside(&found.name);
        return Err(format!(
            "it has no tokenizer; copy its tokenizer beside it as {own} or {common}"
        ));
    };
    let bytes = read_file(world, name).map_err(|message| format!("{name}: {message}"))?;
    let tokenizer = Tokenizer::read_for(&bytes, found.file.config.vocab_size);
    Ok((name.clone(), tokenizer.map_err(|error| format!("its tokenizer {name}: {error}"))?))
}

fn read_file(world: &mut World<'_>, name: &str) -> Result<Vec<u8>, String> {
    let mut file = world.storage.open(name).map_err(|error| error.to_string())?;
    let size = file.size();
    if size > Tokenizer::LARGEST_FILE {
        return Err(FileError::TooLarge { size }.to_string());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size as usize).map_err(|_| "there is no memory to read it")?;
    bytes.resize(size as usize, 0);
    file.read_at(0, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
