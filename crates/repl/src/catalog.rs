//! The models on the volume.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_engine::Plan;
use bootllm_platform::{Storage, StorageError};
use bootllm_tokenizer::names_beside;

/// A model that can be loaded.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) plan: Arc<Plan>,
    /// The file of its tokenizer, if one lies beside it.
    pub(crate) tokenizer: Option<String>,
}

/// A file that looks like a model by its name, and why it is none.
pub(crate) struct Unusable {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// What was found on the volume.
pub(crate) struct Catalog {
    pub(crate) models: Vec<Found>,
    pub(crate) unusable: Vec<Unusable>,
    /// Why the volume could not be read.
    pub(crate) error: Option<StorageError>,
}

/// Looks into every file of the volume. Models are recognised by their content; a name matters
/// only for saying that a file which should be a model is none.
pub(crate) fn find(storage: &mut dyn Storage) -> Catalog {
    let mut catalog = Catalog { models: Vec::new(), unusable: Vec::new(), error: None };
    let entries = match storage.list() {
        Ok(entries) => entries,
        Err(error) => {
            catalog.error = Some(error);
            return catalog;
        }
    };
    // A name with control characters would do things to the console instead of being shown.
    let can_be_shown = |name: &String| !name.contains(char::is_control);
    let names: Vec<String> =
        entries.into_iter().map(|entry| entry.name).filter(can_be_shown).collect();
    for name in &names {
        if is_tokenizer(name) {
            continue;
        }
        match read(storage, name) {
            Ok(plan) => {
                let tokenizer = names_beside(name).into_iter().find_map(|tokenizer| {
                    names.iter().find(|name| name.eq_ignore_ascii_case(&tokenizer)).cloned()
                });
                catalog.models.push(Found { name: name.clone(), plan, tokenizer });
            }
            Err(error) if is_named_like_a_model(name) => {
                catalog.unusable.push(Unusable { name: name.clone(), reason: error });
            }
            Err(_) => {}
        }
    }
    catalog
}

fn read(storage: &mut dyn Storage, name: &str) -> Result<Arc<Plan>, String> {
    let mut file = storage.open(name).map_err(|error| error.to_string())?;
    let file = bootllm_model_file::read(&mut *file).map_err(|error| error.to_string())?;
    Plan::new(Arc::new(file)).map(Arc::new).map_err(|error| error.to_string())
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
