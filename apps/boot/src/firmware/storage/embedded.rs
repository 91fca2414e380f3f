//! Files inside the program itself.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// A file that was put into the program when it was built.
pub struct File {
    /// What it is called in the menu.
    pub name: String,
    /// What is in it.
    pub bytes: &'static [u8],
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

/// The model, and the file of its tokenizer, which is called so that it is found beside the model.
pub fn files() -> Vec<File> {
    let name = str::from_utf8(&NAME).unwrap_or("model.bin");
    vec![
        File { name: name.to_owned(), bytes: MODEL },
        #[cfg(feature = "embed-tokenizer")]
        File { name: bootllm_tokenizer::names_beside(name)[0].clone(), bytes: TOKENIZER },
    ]
}

/// What follows the last separator of a path of Linux or Windows.
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
