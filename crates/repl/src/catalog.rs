//! The models that a machine's volumes hold.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_engine::Plan;
use bootllm_model_file::ReadError;
use bootllm_platform::{Skipped, Storage, StorageError, Walk};
use bootllm_tokenizer::names_beside;

/// A model that can be loaded.
#[derive(Clone)]
pub(crate) struct CatalogEntry {
    pub(crate) name: String,
    pub(crate) plan: Arc<Plan>,
    /// The file of its tokenizer, if there is one beside it.
    pub(crate) tokenizer: Option<String>,
}

impl CatalogEntry {
    /// What the model is called, and a sentence about it, if the file or its card says so.
    pub(crate) fn title(&self) -> (Option<&str>, Option<&str>) {
        (None, None)
    }
}

/// A file that should be a model by its name and cannot be run.
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) reason: String,
    /// Whether it is no model at all, rather than one that cannot be run.
    is_other: bool,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) models: Vec<CatalogEntry>,
    refused: Vec<Refused>,
    /// Folders and volumes that were not looked at.
    pub(crate) skipped: Vec<Skipped>,
    /// Volumes that cannot be read.
    pub(crate) errors: Vec<StorageError>,
    /// Files that were not opened because nothing in their names says that they are models.
    pub(crate) unopened: usize,
    /// Whether the user stopped the search.
    pub(crate) stopped: bool,
}

impl Catalog {
    /// The files that are worth a remark: that a file is something else than a model matters only
    /// where no model was found.
    pub(crate) fn refused(&self) -> impl Iterator<Item = &Refused> {
        let any = !self.models.is_empty();
        self.refused.iter().filter(move |refused| !(any && refused.is_other))
    }
}

/// A search for models, one step at a time. Names come first; files are opened afterwards, and only
/// those that are named like models unless all are asked for. A file's content decides whether it is
/// a model.
pub(crate) struct Search {
    walk: Option<Box<dyn Walk>>,
    names: Vec<String>,
    candidates: VecDeque<String>,
    all: bool,
    catalog: Catalog,
}

impl Search {
    pub(crate) fn new(storage: &mut dyn Storage, all: bool) -> Self {
        let walk = Some(storage.walk());
        let (names, candidates) = (Vec::new(), VecDeque::new());
        Search { walk, names, candidates, all, catalog: Catalog::default() }
    }

    /// What the next step does, and on which folder or file.
    pub(crate) fn status(&self) -> String {
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
    pub(crate) fn step(&mut self, storage: &mut dyn Storage) -> bool {
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
    pub(crate) fn stop(&mut self) {
        if self.walk.is_some() {
            self.end_walk();
        }
        self.catalog.stopped = true;
        self.catalog.unopened += self.candidates.len();
        self.candidates.clear();
    }

    pub(crate) fn finish(self) -> Catalog {
        self.catalog
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
                self.catalog.refused.push(Refused { name, reason, is_other });
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
