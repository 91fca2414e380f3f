//! What the boot tests share: the built programs, models, machines and scripts.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use bootllm_tests::{SmallModel, VERSIONS, vocabulary};
use xtask::arch::X86_64;
use xtask::disk::Entry;
use xtask::guest::{Guest, Output};
use xtask::machine::Machine;
use xtask::models::Model;
use xtask::program::{self, Profile, Program};
use xtask::project::Project;
use xtask::setup::{self, Emulator};
use xtask::target::{CoreSource, Target};
use xtask::{image, process, script};

/// What is built once for all tests.
pub struct Fixture {
    pub project: Project,
    pub emulator: Emulator,
    pub target: Target,
    pub program: Program,
    /// `bootllm` for the host, whose output is the expected one.
    host: PathBuf,
    /// A real model if `../shared` has it, else the small one.
    pub model: Model,
    /// A model with random weights.
    pub small: Model,
    folder: PathBuf,
}

/// The fixture, which the first test makes.
pub fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        // The same path as that of the other tasks, so that cargo reuses what they built.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let project = Project::at(root).unwrap();
        let emulator = setup::emulator(&X86_64, None).unwrap();
        let target = setup::target(&project, &X86_64, CoreSource::Any).unwrap();
        let program = program::build(&project, &target, Profile::Release, None).unwrap();
        let host = program::build_host(&project).unwrap();
        let folder = project.boot().join("tests");
        fs::create_dir_all(&folder).unwrap();
        let small = small_model(&folder);
        let model = real_model(root).unwrap_or_else(|| small.clone());
        Fixture { project, emulator, target, program, host, model, small, folder }
    })
}

/// The model in `../shared`, if it is there. If not, the tests boot the small one, and what is not
/// tested is reported as `cargo xtask test` collects it. (A write that does not go through `print!`
/// is not captured.)
fn real_model(root: &Path) -> Option<Model> {
    let models = root.join("../shared/models");
    let [model, tokenizer] = ["stories260K.bin", "tok512.bin"].map(|name| models.join(name));
    if !model.is_file() {
        let line = "ignored: boot tests with a real model: there is no ../shared/models";
        let _ = writeln!(io::stdout(), "\n{line}");
        return None;
    }
    Some(Model::open(&model, Some(&tokenizer)).unwrap())
}

fn small_model(folder: &Path) -> Model {
    let small = SmallModel::tied_embeddings();
    let file = folder.join("small.bin");
    fs::write(&file, small.file(VERSIONS[0](&small.config))).unwrap();
    fs::write(folder.join("small.tokenizer.bin"), vocabulary().write()).unwrap();
    Model::open(&file, None).unwrap()
}

impl Fixture {
    /// A file in the directory of the tests.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The files of a disk with the program and these models.
    pub fn entries(&self, models: &[&Model]) -> Vec<Entry> {
        let models: Vec<_> = models.iter().map(|model| (*model).clone()).collect();
        image::gather(&self.program, None, &models).unwrap().entries
    }

    /// A machine with a disk of these files. `test` is the name of the image, one per test.
    pub fn machine(&self, test: &str, entries: &[Entry]) -> Machine {
        let file = self.file(&format!("{test}.img"));
        image::write(&file, entries, None).unwrap();
        let mut machine = Machine::new(file);
        machine.monitor = true;
        machine
    }

    /// Switches a machine on. Returns it with its transcript.
    pub fn start(&self, machine: &Machine) -> (Guest, Arc<Mutex<String>>) {
        let transcript = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&transcript);
        let output: Output = Box::new(move |text| copy.lock().unwrap().push_str(text));
        let guest = Guest::start(machine, &self.project, &self.emulator, output).unwrap();
        (guest, transcript)
    }

    /// Plays a script on a machine, which must power off at the end.
    pub fn play(&self, machine: &Machine, lines: &str) -> Transcript {
        let steps = script::parse(lines).unwrap();
        let (mut guest, transcript) = self.start(machine);
        let played = script::play(&mut guest, &steps);
        let text = transcript.lock().unwrap().clone();
        if let Err(error) = played {
            panic!("{error:#}\n--- the transcript:\n{text}");
        }
        Transcript(text)
    }

    /// The standard output of a command of `bootllm` on the host.
    pub fn host(&self, verb: &str, model: &Model, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.host);
        command.arg(verb).arg(&model.model);
        if let Some(tokenizer) = &model.tokenizer {
            command.arg("--tokenizer").arg(tokenizer);
        }
        process::output_exact(command.args(arguments)).unwrap()
    }
}

/// What a user would have read.
pub struct Transcript(pub String);

impl Transcript {
    /// What was printed between a typed line and the next prompt. A text goes on in the same row.
    pub fn answer(&self, typed: &str) -> &str {
        let line = format!("\n>>> {typed}");
        let at = self.0.find(&format!("{line}\n")).or_else(|| self.0.find(&line));
        let at = at.unwrap_or_else(|| panic!("{typed:?} was not typed in:\n{}", self.0));
        let after = &self.0[at + line.len()..];
        after.strip_prefix('\n').unwrap_or(after).split("\n>>> ").next().unwrap()
    }

    /// The text that continues the typed line, itself included, without the figures after it.
    pub fn text(&self, typed: &str) -> &str {
        let at = self
            .0
            .find(&format!("\n>>> {typed}"))
            .unwrap_or_else(|| panic!("nobody typed {typed:?} in:\n{}", self.0));
        let text = self.0[at + "\n>>> ".len()..].split("\n>>> ").next().unwrap();
        let end =
            text.rfind("\nprompt ").unwrap_or_else(|| panic!("no figures after the text:\n{text}"));
        // A mark says that the text reached its length.
        text[..end].rsplit_once("…\n").map_or(&text[..end], |(text, _)| text)
    }
}
