//! Helpers of the trainer's tests.
#![allow(dead_code, reason = "each test uses some of it")]

use bootllm_model_file::Config;
use bootllm_train::parameters::{Parameters, Random};
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temporary folder of a test.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder. Every test must use its own name.
    pub fn new(test: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("bootllm-train-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a new folder");
        Folder(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of an entry.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, in subfolders if its name has them, and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a new folder");
        fs::write(&path, content).expect("a file that can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The names of the files in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder that can be read");
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The program.
pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bootllm-train"))
}

/// Words, each `{}` replaced by a path.
pub fn arguments(words: &str, paths: &[&Path]) -> Vec<OsString> {
    let mut paths = paths.iter();
    let mut next = |word: &str| match word {
        "{}" => paths.next().expect("a path for every {}").into(),
        word => word.into(),
    };
    words.split(' ').map(&mut next).collect()
}

/// Runs the program.
pub fn train(words: &str, paths: &[&Path]) -> Output {
    program().args(arguments(words, paths)).output().expect("a program that starts")
}

/// The program's standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8 on standard error")
}

/// Runs the program, which must succeed, and returns its standard error.
#[track_caller]
pub fn must(words: &str, paths: &[&Path]) -> String {
    let output = train(words, paths);
    assert!(output.status.success(), "{words}: {output:?}");
    said(&output)
}

/// Checks that the program failed and that its last line is the only error, with the text of
/// `expected`: an error value, the name of a file or an option.
#[track_caller]
pub fn assert_refused(output: &Output, expected: impl Display) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (said, expected) = (said(output), expected.to_string());
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("bootllm-train: ") && last.contains(&expected), "{expected}: {said}");
    assert_eq!(said.matches("bootllm-train: ").count(), 1, "{said}");
}

/// The error of a system call, for example that a file does not exist.
pub fn os_error(code: i32) -> std::io::Error {
    std::io::Error::from_raw_os_error(code)
}

/// There is no such file.
pub const ENOENT: i32 = 2;
/// A file is too large.
pub const EFBIG: i32 = 27;

/// A small network with all features: grouped queries, an odd vocabulary size, tied embeddings or
/// not.
pub fn config(tied_embeddings: bool) -> Config {
    Config {
        dim: 24,
        hidden_dim: 20,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        vocab_size: 37,
        context: 80,
        tied_embeddings,
        norm_epsilon: Config::NORM_EPSILON,
        rope_base: Config::ROPE_BASE,
    }
}

/// Weights that are large enough for every tensor to matter.
pub fn parameters(config: &Config, seed: u64) -> Parameters {
    let mut parameters = Parameters::random(config, seed);
    let mut random = Random::new(seed + 1);
    for (role, layer) in parameters.tensors() {
        for value in parameters.tensor_mut(role, layer) {
            let noise = (random.below(2001) as f32 - 1000.0) / 1000.0;
            *value = if role.is_norm() { 1.0 + 0.3 * noise } else { 0.3 * noise };
        }
    }
    parameters
}
