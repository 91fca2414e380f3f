//! Files inside the program itself.

use alloc::borrow::ToOwned;
use alloc::string::String;
use bootllm_tokenizer::names_beside;

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
static TOKENIZER: &[u8] = include_bytes!(env!(
    "BOOTLLM_EMBED_TOKENIZER",
    "the feature `embed` needs the path of the model's tokenizer in BOOTLLM_EMBED_TOKENIZER"
));
/// The model's name. Only this much of the path becomes part of the program.
const NAME: &str = file_name(env!("BOOTLLM_EMBED_MODEL"));

/// The model and its tokenizer, which is called so that it is found beside the model.
pub fn files() -> [File; 2] {
    let [own_tokenizer, _] = names_beside(NAME);
    [File { name: NAME.to_owned(), bytes: MODEL }, File { name: own_tokenizer, bytes: TOKENIZER }]
}

/// What follows the last separator of a path of Linux or Windows.
const fn file_name(path: &str) -> &str {
    let (mut rest, mut name) = (path.as_bytes(), path.as_bytes());
    while let [first, others @ ..] = rest {
        if matches!(first, b'/' | b'\\') {
            name = others;
        }
        rest = others;
    }
    match str::from_utf8(name) {
        Ok(name) => name,
        // A separator is no part of another character.
        Err(_) => path,
    }
}
