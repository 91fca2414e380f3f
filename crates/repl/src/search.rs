//! The search for models.

use crate::catalog::{Catalog, CatalogEntry, Refused};
use crate::menu::{Menu, cut};
use crate::state::State;
use crate::{World, loading};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_engine::Plan;
use bootllm_model_file::ReadError;
use bootllm_platform::{Event, Key, Storage, Walk};
use bootllm_tokenizer::names_beside;
use core::time::Duration;

/// The time between two pictures.
const REDRAW: Duration = Duration::from_millis(100);
/// Folders that are shown while they are read however fast that goes, because reading a damaged one
/// may never end.
const ALWAYS_SHOWN: usize = 64;

/// A search for models, one step at a time. Names come first; files are opened afterwards, and only
/// those that are named like models unless all are asked for. A file's content decides whether it is
/// a model.
pub(crate) struct Search {
    walk: Option<Box<dyn Walk>>,
    names: Vec<String>,
    candidates: VecDeque<String>,
    all: bool,
    catalog: Catalog,
    begun: Duration,
    /// What is shown, since when, and how often it changed.
    shown: (String, Duration),
    changes: usize,
}

impl Search {
    /// Starts to look, and in all files if `all`.
    pub(crate) fn begin(world: &mut World<'_>, all: bool) -> Self {
        let begun = world.clock.now();
        Search {
            walk: Some(world.storage.walk()),
            names: Vec::new(),
            candidates: VecDeque::new(),
            all,
            catalog: Catalog::default(),
            begun,
            shown: (String::new(), begun),
            changes: 0,
        }
    }

    pub(crate) fn on(mut self, event: Event, world: &mut World<'_>) -> State {
        if event == Event::Key(Key::Escape) {
            self.stop();
        }
        self.show_status(world);
        if self.step(world.storage) {
            return State::Search(self);
        }
        if self.changes > 0 {
            world.terminal.write("\r\x1b[K");
        }
        world.catalog = self.catalog;
        let now = world.clock.now();
        let automatic = match &mut world.boot_times {
            Some(times) => {
                times.search = now.saturating_sub(self.begun);
                true
            }
            None => false,
        };
        if !automatic || world.catalog.models.len() != 1 {
            return Menu::begin(world, automatic);
        }
        if world.catalog.refused().next().is_some() {
            world.terminal.quiet("Some files cannot be used; /models says which, and why.\n");
        }
        loading::begin(world, 0)
    }

    fn show_status(&mut self, world: &mut World<'_>) {
        if !world.terminal.is_screen() {
            return;
        }
        let (status, now) = (self.status(), world.clock.now());
        let due = self.changes < ALWAYS_SHOWN || now.saturating_sub(self.shown.1) >= REDRAW;
        if status.is_empty() || status == self.shown.0 || !due {
            return;
        }
        let columns = world.terminal.size().columns;
        let line = cut(&format!("{status} · Esc stops"), columns.saturating_sub(1));
        world.terminal.write(&format!("\r{line}\x1b[K"));
        self.shown = (status, now);
        self.changes += 1;
    }

    /// What the next step does, and on which folder or file.
    fn status(&self) -> String {
        match (&self.walk, self.candidates.front()) {
            (Some(walk), _) => match walk.folder() {
                "" => "looking for models".into(),
                folder => format!("looking for models in {folder}"),
            },
            (None, Some(name)) => format!("reading {name}"),
            (None, None) => String::new(),
        }
    }

    /// Reads a part of a folder, or the description of one file. False at the end.
    fn step(&mut self, storage: &mut dyn Storage) -> bool {
        let Some(walk) = &mut self.walk else {
            let Some(name) = self.candidates.pop_front() else { return false };
            self.open(storage, name);
            return true;
        };
        match walk.step() {
            // A name with control characters would do things to the console instead of being shown.
            Some(Ok(entries)) => self.names.extend(
                entries.into_iter().map(|e| e.name).filter(|n| !n.contains(char::is_control)),
            ),
            Some(Err(error)) => self.catalog.errors.push(error),
            None => self.end_walk(),
        }
        true
    }

    /// Ends the search where it is.
    fn stop(&mut self) {
        if self.walk.is_some() {
            self.end_walk();
        }
        self.catalog.stopped = true;
        self.catalog.unopened += self.candidates.len();
        self.candidates.clear();
    }

    fn end_walk(&mut self) {
        if let Some(walk) = self.walk.take() {
            self.catalog.skipped = walk.skipped().to_vec();
        }
        self.names.sort();
        let all = self.all;
        let models = self.names.iter().filter(|name| !is_tokenizer(name));
        let (wanted, others): (Vec<&String>, Vec<&String>) =
            models.partition(|name| all || is_named_like_a_model(name));
        self.candidates = wanted.into_iter().cloned().collect();
        self.catalog.unopened = others.len();
    }

    fn open(&mut self, storage: &mut dyn Storage, name: String) {
        match read(storage, &name) {
            Ok(plan) => {
                let tokenizer = names_beside(&name).into_iter().find_map(|tokenizer| {
                    self.names.iter().find(|name| name.eq_ignore_ascii_case(&tokenizer)).cloned()
                });
                self.catalog.models.push(CatalogEntry { name, plan, tokenizer });
            }
            Err((reason, is_other)) if is_named_like_a_model(&name) => {
                self.catalog.all_refused.push(Refused { name, reason, is_other });
            }
            Err(_) => {}
        }
    }
}

/// What is to be computed, or why nothing can be, and whether the file is no model at all.
fn read(storage: &mut dyn Storage, name: &str) -> Result<Arc<Plan>, (String, bool)> {
    let mut file = storage.open(name).map_err(|error| (error.to_string(), false))?;
    let file = bootllm_model_file::read(&mut *file).map_err(|error| {
        use ReadError::{Empty, Foreign, NotAModel, TooShort};
        let is_other = matches!(error, NotAModel | Foreign { .. } | Empty | TooShort { .. });
        (error.to_string(), is_other)
    })?;
    Plan::new(Arc::new(file)).map(Arc::new).map_err(|error| (error.to_string(), false))
}

/// FAT keeps names in any case.
fn ends_with(name: &str, ending: &str) -> bool {
    let start = name.len().checked_sub(ending.len());
    start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

fn is_tokenizer(name: &str) -> bool {
    ends_with(name, ".tokenizer.bin")
        || ends_with(name, "/tokenizer.bin")
        || name.eq_ignore_ascii_case("tokenizer.bin")
}

fn is_named_like_a_model(name: &str) -> bool {
    ends_with(name, ".bin") || ends_with(name, ".gguf")
}
