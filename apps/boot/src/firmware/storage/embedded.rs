//! Files inside the program itself.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_platform::{Entry, Skipped, StorageError, Walk};

use super::walk::VolumeWalk;

/// A file that was put into the program at build time.
pub struct File {
    /// Its name in the menu.
    pub name: String,
    /// Its content.
    pub bytes: &'static [u8],
}

/// A walk that finds the files of the program, and then those of the volumes. The program works
/// alone: errors of the volumes are left out, and a file of the same name is hidden.
pub struct WithEmbedded {
    inside: Option<Vec<File>>,
    on_volumes: VolumeWalk,
}

impl WithEmbedded {
    /// Starts with the files of the program.
    pub fn new(on_volumes: VolumeWalk) -> Self {
        Self { inside: Some(files()), on_volumes }
    }
}

impl Walk for WithEmbedded {
    fn folder(&self) -> &str {
        self.on_volumes.folder()
    }

    fn step(&mut self) -> Option<Result<Vec<Entry>, StorageError>> {
        let entry = |file: File| Entry { name: file.name, size: file.bytes.len() as u64 };
        if let Some(inside) = self.inside.take() {
            return Some(Ok(inside.into_iter().map(entry).collect()));
        }
        let mut found = self.on_volumes.step()?.unwrap_or_default();
        let inside = files();
        found.retain(|other| inside.iter().all(|file| file.name != other.name));
        Some(Ok(found))
    }

    fn skipped(&self) -> &[Skipped] {
        self.on_volumes.skipped()
    }
}

static MODEL: &[u8] = include_bytes!(env!(
    "BOOTLLM_EMBED_MODEL",
    "the feature `embed` needs the path of a model in BOOTLLM_EMBED_MODEL"
));
#[cfg(feature = "embed-tokenizer")]
static TOKENIZER: &[u8] = include_bytes!(env!(
    "BOOTLLM_EMBED_TOKENIZER",
    "the feature `embed-tokenizer` needs the path of a tokenizer in BOOTLLM_EMBED_TOKENIZER"
));
/// The model's name, copied so that the rest of its path is no part of the program.
static NAME: [u8; file_name(PATH).len()] = match file_name(PATH).first_chunk() {
    Some(name) => *name,
    None => unreachable!(),
};
const PATH: &str = env!("BOOTLLM_EMBED_MODEL");

/// The model and its tokenizer's file, named so that it is found beside the model.
pub fn files() -> Vec<File> {
    let name = str::from_utf8(&NAME).unwrap_or("model.bin");
    vec![
        File { name: name.to_owned(), bytes: MODEL },
        #[cfg(feature = "embed-tokenizer")]
        File { name: bootllm_tokenizer::names_beside(name)[0].clone(), bytes: TOKENIZER },
    ]
}

/// Returns the part of a Linux or Windows path after the last separator.
const fn file_name(path: &str) -> &[u8] {
    let (mut rest, mut name) = (path.as_bytes(), path.as_bytes());
    while let [first, others @ ..] = rest {
        if matches!(first, b'/' | b'\\') {
            name = others;
        }
        rest = others;
    }
    name
}
