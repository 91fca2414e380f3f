//! The program on Linux, run as a user runs it.

use crate::{SmallModel, vocabulary};
use bootllm_model_file::Version;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The built program `bootllm`.
pub struct Program(PathBuf);

/// The outcome of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Program {
    /// The program of this checkout, built first if necessary.
    ///
    /// Cargo names a program only to tests of its own package, so it is built here, into the
    /// folder and by the profile of the tests. That costs nothing if nothing has changed.
    pub fn get() -> &'static Self {
        static PROGRAM: OnceLock<Program> = OnceLock::new();
        PROGRAM.get_or_init(|| {
            let test = std::env::current_exe().expect("a path of this test");
            // TARGET/PROFILE/deps/TEST, or TARGET/TRIPLE/PROFILE/deps/TEST.
            let folder = test.parent().and_then(Path::parent).expect("a folder of this profile");
            let profile = match folder.file_name().and_then(OsStr::to_str) {
                Some("debug") | None => "dev",
                Some(other) => other,
            };
            let output = Command::new(env!("CARGO"))
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .args(["build", "--quiet", "--package", "bootllm", "--bin", "bootllm"])
                .args(["--profile", profile, "--message-format", "json-render-diagnostics"])
                .output()
                .expect("cargo");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let messages = String::from_utf8(output.stdout).expect("UTF-8 from cargo");
            let (_, path) = messages.rsplit_once(r#""executable":""#).expect("a program");
            let path = path.split('"').next().unwrap_or_default().replace(r"\\", r"\");
            Program(path.into())
        })
    }

    /// Runs it with empty standard input.
    pub fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
        self.run_with(arguments, b"")
    }

    /// Runs it with this on standard input.
    pub fn run_with(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        input: &[u8],
    ) -> Outcome {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program that starts");
        // It may end before it has read everything.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        let output = child.wait_with_output().expect("an exit status");
        Outcome {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            err: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
    }

    /// The command, for tests that run it differently.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments);
        command
    }
}

/// A folder of a test, removed when it ends.
pub struct Folder(PathBuf);

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("bootllm-tests-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file into it; returns its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a file that can be written");
        path
    }

    /// The names of the files in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("a folder that can be read");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A folder with a model, `story.bin`, and its tokenizer.
pub fn folder_with_model() -> (Folder, PathBuf) {
    let folder = Folder::new();
    let model = folder.file("story.bin", &SmallModel::tied_embeddings().file(Version::V1));
    folder.file("story.tokenizer.bin", &vocabulary().write());
    (folder, model)
}

/// Runs the program, the first argument being a list of words and the others whole arguments.
pub fn bootllm(words: &str, paths: &[&Path]) -> Outcome {
    Program::get().run(arguments(words, paths))
}

/// Words, with a path in place of each `{}`.
pub fn arguments(words: &str, paths: &[&Path]) -> Vec<OsString> {
    let mut paths = paths.iter();
    let mut next = |word: &str| match word {
        "{}" => paths.next().expect("a path for every {}").into(),
        word => word.into(),
    };
    words.split(' ').map(&mut next).collect()
}

impl Outcome {
    /// Checks that the error is one line, which contains `expected`, and that nothing
    /// else was done.
    #[track_caller]
    pub fn assert_refused(&self, expected: &str) {
        assert_eq!((self.status, self.out.as_str()), (Some(1), ""), "{self:?}");
        assert!(self.err.starts_with("bootllm: "), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.contains(expected), "{expected:?} is not in {self:?}");
    }

    /// The outcome without `chat`'s prompts on standard error.
    pub fn without_questions(mut self) -> Self {
        if let Some(start) = self.err.find("bootllm: ") {
            self.err.drain(..start);
        }
        self
    }
}

/// Overwrites four bytes of a file.
pub fn set(bytes: &mut [u8], offset: usize, number: [u8; 4]) {
    bytes[offset..offset + 4].copy_from_slice(&number);
}
