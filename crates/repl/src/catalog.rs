//! The models that a machine's volumes hold.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_engine::Plan;
use bootllm_platform::{Skipped, StorageError};

/// A model that can be loaded.
#[derive(Clone)]
pub(crate) struct CatalogEntry {
    pub(crate) name: String,
    pub(crate) plan: Arc<Plan>,
    /// The file of its tokenizer, if there is one beside it.
    pub(crate) tokenizer: Option<String>,
}

impl CatalogEntry {
    /// The model's own name, if its file gives one that can be shown.
    pub(crate) fn title(&self) -> Option<&str> {
        self.plan.file().name().filter(|name| !name.contains(char::is_control))
    }

    /// A sentence about the model, if its file has one.
    pub(crate) fn description(&self) -> Option<&str> {
        let text = self.plan.file().metadata.get("general.description")?.as_text()?;
        (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
    }
}

/// A file that should be a model by its name and cannot be run.
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) reason: String,
    /// Whether it is no model at all, rather than one that cannot be run.
    pub(crate) is_other: bool,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) models: Vec<CatalogEntry>,
    pub(crate) all_refused: Vec<Refused>,
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
        self.all_refused.iter().filter(move |refused| !(any && refused.is_other))
    }
}
