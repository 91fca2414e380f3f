#![forbid(unsafe_code)]
//! Fixtures that the tests across crates share.
//!
//! [`SmallModel`] is a model that the tests make themselves and [`vocabulary`] its tokenizer, so
//! that nothing has to be downloaded. [`Reference`] computes a model's logits with plain loops.
//! [`Stage`] is a simulated machine on which the boot image's program runs from a [`Script`], and
//! [`Program`] is the program on Linux. [`shared`] is where real models are. [`Gguf`] is a GGUF
//! file in parts.

mod gguf;
mod machine;
mod model;
mod program;
mod reference;
mod script;
mod vocabulary;

pub use gguf::{Gguf, GgufTensor, string, value};
pub use machine::{Fault, Played, Stage};
pub use model::{NoClock, SmallModel, VERSIONS, digest, formats, load, plan, qwen2, write_text};
pub use program::{Folder, Outcome, Program, arguments, bootllm, folder_with_model, set};
pub use reference::Reference;
pub use script::{Script, typed};
pub use vocabulary::{vocabulary, vocabulary_of};

use std::path::{Path, PathBuf};

/// The folder `shared` beside the repository, with a real model and llama2.c's output for it. Tests
/// that need it are ignored where it is missing (cfg `has_shared`, set by `build.rs`).
pub fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared")
}
