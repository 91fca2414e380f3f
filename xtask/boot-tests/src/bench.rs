//! What the boot tests share: the built programs, a model, machines and scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use bootllm_tests::{SmallModel, VERSIONS, vocabulary};
use xtask::disk::Entry;
use xtask::guest::{Guest, Output};
use xtask::machine::Machine;
use xtask::models::Model;
use xtask::program::{self, Program};
use xtask::project::Project;
use xtask::setup::{self, Emulator};
use xtask::target::{CoreFrom, Target};
use xtask::{image, process, script};

/// Everything that is built once for all tests.
pub struct Bench {
    pub project: Project,
    pub emulator: Emulator,
    pub target: Target,
    pub program: Program,
    /// The program on this machine, which is to say the same.
    host: PathBuf,
    /// A real model where there is one, else the small one.
    pub model: Model,
    /// A model that the tests make themselves.
    pub small: Model,
    folder: PathBuf,
}

/// The bench; made when it is first needed.
pub fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        // Its path as the other tasks have it, so that what they built need not be built again.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let project = Project::at(root).unwrap();
        let emulator = setup::emulator(None).unwrap();
        let target = setup::target(&project, CoreFrom::Any).unwrap();
        let program = program::build(&project, &target, None).unwrap();
        let host = program::build_host(&project).unwrap();
        let folder = project.boot().join("tests");
        fs::create_dir_all(&folder).unwrap();
        let small = small_model(&folder);
        let model = match bootllm_tests::shared("booting a real model") {
            Some(shared) => {
                let file = |name: &str| shared.join("models").join(name);
                Model::open(&file("stories260K.bin"), Some(&file("tok512.bin"))).unwrap()
            }
            None => small.clone(),
        };
        Bench { project, emulator, target, program, host, model, small, folder }
    })
}

fn small_model(folder: &Path) -> Model {
    let small = SmallModel::shared_classifier();
    let file = folder.join("small.bin");
    fs::write(&file, small.file(VERSIONS[0](&small.config))).unwrap();
    fs::write(folder.join("small.tokenizer.bin"), vocabulary().write()).unwrap();
    Model::open(&file, None).unwrap()
}

impl Bench {
    /// A file of the tests' own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The files of a disk with the program and these models.
    pub fn entries(&self, models: &[&Model]) -> Vec<Entry> {
        let models: Vec<_> = models.iter().map(|model| (*model).clone()).collect();
        image::gather(&self.program, None, &models).unwrap().entries
    }

    /// A machine with a disk of these files. `test` names the image, so that no two share one.
    pub fn machine(&self, test: &str, entries: &[Entry]) -> Machine {
        let file = self.file(&format!("{test}.img"));
        image::write(&file, entries).unwrap();
        let mut machine = Machine::new(file);
        machine.monitor = true;
        machine
    }

    /// Switches a machine on. Its transcript is collected in the second part.
    pub fn start(&self, machine: &Machine) -> (Guest, Arc<Mutex<String>>) {
        let transcript = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&transcript);
        let output: Output = Box::new(move |text| copy.lock().unwrap().push_str(text));
        let guest = Guest::start(machine, &self.project, &self.emulator, output).unwrap();
        (guest, transcript)
    }

    /// Plays a script on a machine, which must switch itself off at the end.
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

    /// What the program on this machine prints to standard output.
    pub fn host(&self, verb: &str, model: &Model, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.host);
        command.arg(verb).arg(&model.model);
        if let Some(tokenizer) = &model.tokenizer {
            command.arg("--tokenizer").arg(tokenizer);
        }
        process::output_exact(command.args(arguments)).unwrap()
    }
}

/// What a person would have read.
pub struct Transcript(pub String);

impl Transcript {
    /// What came between a line that was typed and the next prompt. A text goes on in the same row.
    pub fn answer(&self, typed: &str) -> &str {
        let line = format!("\n>>> {typed}");
        let at = self.0.find(&format!("{line}\n")).or_else(|| self.0.find(&line));
        let at = at.unwrap_or_else(|| panic!("nobody typed {typed:?} in:\n{}", self.0));
        let after = &self.0[at + line.len()..];
        after.strip_prefix('\n').unwrap_or(after).split("\n>>> ").next().unwrap()
    }

    /// The text that a line began, itself included, without the figures after it.
    pub fn text(&self, typed: &str) -> &str {
        let at = self
            .0
            .find(&format!("\n>>> {typed}"))
            .unwrap_or_else(|| panic!("nobody typed {typed:?} in:\n{}", self.0));
        let text = self.0[at + "\n>>> ".len()..].split("\n>>> ").next().unwrap();
        let end =
            text.rfind("\nprompt ").unwrap_or_else(|| panic!("no figures after the text:\n{text}"));
        &text[..end]
    }
}
