//! The program from its command line: from a text to a model, and its errors.

mod common;

use bootllm_cores::OneCore;
use bootllm_train::error::TrainError;
use bootllm_train::fit::{BEST, SAMPLES, TOKENIZER};
use bootllm_train::parameters::Random;
use bootllm_train::shape::{PRESETS, Shape};
use bootllm_train::{checkpoint, log};
use common::{
    EFBIG, Folder, arguments, assert_refused, must, names, os_error, program, said, train,
};
use std::fmt::Display;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A model that trains in seconds.
const SMALL: &str = "--dim 16 --layers 1 --heads 2 --kv-heads 1 --hidden 40 --context 64 \
                     --batch-tokens 512";

/// Stories of simple, predictable sentences.
fn stories(count: usize) -> String {
    let mut random = Random::new(1);
    let mut story = || {
        let mut text = String::new();
        for _ in 0..12 {
            let who = ["Ana", "Ben", "Lily", "Tom"][random.below(4)];
            let did = ["found", "lost", "saw", "took", "hid"][random.below(5)];
            let what = ["ball", "cat", "boat", "cake", "bird", "book", "tree"][random.below(7)];
            let place = ["park", "house", "garden", "box"][random.below(4)];
            text.push_str(&format!("{who} {did} the {what} in the {place}. "));
        }
        text + "\n<|endoftext|>\n"
    };
    (0..count).map(|_| story()).collect()
}

/// A corpus with its tokenizer of 300 tokens.
fn corpus(folder: &Folder) -> PathBuf {
    let text = folder.file("stories.txt", stories(150));
    let corpus = folder.join("corpus");
    // These stories share most of their 8-grams.
    must("data {} {} --overlap 2", &[&corpus, &text]);
    must("tokenizer {} --vocab-size 300", &[&corpus]);
    corpus
}

/// `fit` with a small model.
fn fit(words: &str, corpus: &Path, run: &Path) -> Output {
    train(&format!("fit {{}} {{}} {SMALL} {words}"), &[corpus, run])
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

/// The held-out losses in a run's log.
fn losses(run: &Path) -> Vec<f64> {
    let entries = log::read(&run.join(log::NAME)).unwrap();
    entries.iter().filter_map(|entry| Some(entry.held_out?.loss)).collect()
}

#[test]
fn from_a_text_to_a_model_and_fine_tuning() {
    let folder = Folder::new("sequence");
    let (corpus, run) = (corpus(&folder), folder.join("run"));
    let output = fit("--steps 120 --evaluate-every 40 --rate 1e-2 --warm-up 10", &corpus, &run);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let mut expected = [BEST, TOKENIZER, SAMPLES, log::NAME, checkpoint::NAME];
    expected.sort();
    assert_eq!(names(&run), expected);
    let samples = String::from_utf8(read(&run, SAMPLES)).unwrap();
    assert_eq!(samples.lines().filter(|line| line.starts_with("step ")).count(), 3);
    let losses_at_first = losses(&run);
    assert!(losses_at_first.len() == 3 && losses_at_first[2] < 2.5, "{losses_at_first:?}");

    // Both formats load, with the tokenizer beside them.
    let (int8, float) = (folder.join("int8.bin"), folder.join("models/float.bin"));
    must("export {} {}", &[&run, &int8]);
    must("export {} {} --to v0", &[&run, &float]);
    for (model, version) in [(&int8, "v2"), (&float, "v0")] {
        let mut opened = bootllm_host::open(model).unwrap();
        let name = opened.file.format_name();
        assert!(name.contains(version), "{name}");
        assert_eq!(opened.tokenizer(None).unwrap().len(), 300);
        opened.load(&OneCore, None).unwrap();
    }
    assert_eq!(fs::read(&float).unwrap(), read(&run, BEST));

    // Fine-tuning starts from what was learned.
    let tuned = folder.join("tuned");
    let words = "fit {} {} --from {} --steps 1 --evaluate-every 1 --rate 1e-4";
    must(words, &[&corpus, &tuned, &float]);
    let (loss, end) = (losses(&tuned)[0], losses_at_first[2]);
    assert!((loss - end).abs() < 0.1, "{loss} after {end}");
}

/// The next commands that the program printed.
fn next_commands(output: &str) -> Vec<String> {
    let lines = output.lines().skip_while(|line| *line != "Next:").skip(1);
    lines.map(|line| line.trim().to_owned()).collect()
}

/// From a text to an exported model by running the command that each command prints.
#[cfg(unix)]
#[test]
fn each_command_prints_the_next_one() {
    let folder = Folder::new("next commands");
    let text = folder.file("stories.txt", stories(60));
    // Without this variable the program names itself by its path instead of cargo.
    let shell = |line: &str| {
        let mut shell = Command::new("sh");
        shell.env_remove("CARGO").current_dir(folder.path()).args(["-c", line]);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        next_commands(&said(&output))
    };
    let program = program().get_program().to_str().unwrap().to_owned();
    let next = shell(&format!("'{program}' data 'a corpus' '{}' --overlap 2", text.display()));
    assert_eq!(next.len(), 1);
    // This text is too small for 512 tokens.
    let next = shell(&next[0].replace("512", "300"));
    assert_eq!(next.len(), 1);
    let next = shell(&format!("{} {SMALL} --steps 2", next[0]));
    assert_eq!(next.len(), 2);
    let xtask = shell(&next[0]);
    assert_eq!(next[1..], xtask);
    let model = xtask[0].strip_prefix("cargo xtask run --model ").unwrap();
    bootllm_host::open(&folder.join(model)).unwrap().tokenizer(None).unwrap();
    // The proposed names do not collide.
    assert_eq!(
        names(folder.path()),
        ["a corpus", "run", "run.bin", "run.tokenizer.bin", "stories.txt"]
    );
}

#[test]
fn patience_is_a_setting_of_the_run_that_can_be_changed() {
    let folder = Folder::new("patience");
    let (corpus, run) = (corpus(&folder), folder.join("run"));
    let words = "--steps 40 --evaluate-every 1 --rate 1e-9 --patience";
    let state = |run: &Path| {
        let checkpoint = checkpoint::read(&run.join(checkpoint::NAME)).unwrap();
        (checkpoint.settings.patience, checkpoint.progress.step)
    };
    assert!(fit(&format!("{words} 2"), &corpus, &run).status.success());
    assert_eq!(state(&run).0, Some(2));
    must("fit --resume {} --patience 0", &[&run]);
    assert_eq!(state(&run), (None, 40));
    let all = folder.join("all");
    assert!(fit(&format!("{words} 0"), &corpus, &all).status.success());
    assert_eq!(state(&all), (None, 40));
    assert_eq!(losses(&run), losses(&all));
    let default = folder.join("default");
    assert!(fit("--steps 1", &corpus, &default).status.success());
    assert_eq!(state(&default), (Some(5), 1));
}

#[test]
fn invalid_settings_are_refused() {
    let folder = Folder::new("refused");
    let (corpus, run) = (corpus(&folder), folder.join("run"));
    let refused = |words: &str, paths: &[&Path], expected: &dyn Display| {
        let paths = [&[corpus.as_path(), &run], paths].concat();
        assert_refused(&train(&format!("fit {{}} {{}} {words}"), &paths), expected);
        assert!(!run.exists(), "{words}");
    };
    for (words, expected) in [
        ("--preset mini", "\"mini\""),
        ("--steps 0", "--steps"),
        ("--batch-tokens 0", "--batch-tokens"),
        ("--epochs 0", "--epochs"),
        ("--epochs 1e9", "--epochs"),
        ("--rate 0", "--rate"),
        ("--rate NaN", "--rate"),
        ("--dropout 1", "--dropout"),
    ] {
        refused(words, &[], &expected);
    }
    let nano = PRESETS[0].shape;
    let nano = Shape { vocab_size: 300, ..nano };
    for (words, shape) in [
        ("--heads 3", Shape { heads: 3, ..nano }),
        ("--heads 4 --kv-heads 3", Shape { kv_heads: 3, ..nano }),
        ("--dim 12 --heads 4", Shape { dim: 12, ..nano }),
        ("--dim 0", Shape { dim: 0, ..nano }),
        ("--context 0", Shape { context: 0, ..nano }),
    ] {
        refused(words, &[], &shape.config().validate().unwrap_err());
    }
    if cfg!(target_os = "linux") {
        for words in ["--dim 1000000", "--context 2000000000", "--batch-tokens 1000000000000"] {
            refused(words, &[], &"--accumulate");
        }
    }
    let text = folder.join("stories.txt");
    refused("--tokenizer {}", &[&text], &"stories.txt: ");
    for file in [&text, &folder.join("none.bin")] {
        let error = bootllm_host::open(file).err().unwrap();
        refused("--from {}", &[file], &format!("{error:#}"));
    }

    let none = folder.join("none");
    let no_corpus = TrainError::NoCorpus(none.clone());
    assert_refused(&train("fit {} {}", &[&none, &run]), &no_corpus);
    assert_refused(&train("tokenizer {}", &[&none]), &no_corpus);
    let file = TrainError::CannotCreateFolder(text.clone());
    assert_refused(&train("fit {} {}", &[&corpus, &text]), file);
    for size in ["100", "50000"] {
        let output = folder.join("tokenizer.bin");
        let words = format!("tokenizer {{}} --vocab-size {size} --output {{}}");
        assert_refused(&train(&words, &[&corpus, &output]), size);
        assert!(!output.exists());
    }
    let path = corpus.join("tokenizer.bin");
    fs::remove_file(&path).unwrap();
    refused("--preset nano", &[], &TrainError::NoTokenizer { path, corpus: corpus.clone() });
    assert_refused(&train("bench --preset mini", &[]), "\"mini\"");
    let context = PRESETS[0].shape.context;
    assert_refused(&train("bench --sequence 1000", &[]), TrainError::SequenceTooLong { context });
}

#[test]
fn runs_and_models_that_do_not_match_are_refused() {
    let folder = Folder::new("misfits");
    let (corpus, run) = (corpus(&folder), folder.join("run"));
    assert!(fit("--steps 2 --evaluate-every 2", &corpus, &run).status.success());
    let other = folder.join("other");
    let model = run.join(BEST);

    // A model with the tokenizer of another.
    let larger = folder.join("larger.bin");
    must("tokenizer {} --vocab-size 310 --output {}", &[&corpus, &larger]);
    let words = "fit {} {} --from {} --tokenizer {}";
    let output = train(words, &[&corpus, &other, &model, &larger]);
    let error = bootllm_host::read_tokenizer(&larger, 300).err().unwrap();
    assert_refused(&output, format!("{error:#}"));
    let output = train("fit {} {} --from {} --context 65", &[&corpus, &other, &model]);
    assert_refused(&output, TrainError::ContextTooLong { path: model.clone(), context: 64 });
    assert!(!other.exists());

    // Another run in the same folder, or none to resume.
    let before = read(&run, checkpoint::NAME);
    assert_refused(&fit("--steps 2", &corpus, &run), TrainError::RunExists(run.clone()));
    let output = train("fit --resume {}", &[&corpus]);
    assert_refused(&output, TrainError::NoRun(corpus.clone()));
    assert_refused(&train("export {} {}", &[&corpus, &other]), TrainError::NoModel);
    assert_refused(&train("export {} {}", &[&run, &model]), "model.bin");
    assert_refused(&train("export {} {}", &[&run, &corpus]), corpus.display());
    assert!(fs::read(&model).is_ok() && corpus.is_dir());
    assert_eq!(read(&run, checkpoint::NAME), before);

    // A finished run resumes and ends. One with a damaged checkpoint or another corpus does not.
    must("fit --resume {}", &[&run]);
    fs::write(run.join(checkpoint::NAME), &before[..before.len() / 2]).unwrap();
    assert_refused(&train("fit --resume {}", &[&run]), TrainError::CheckpointDamaged);
    fs::write(run.join(checkpoint::NAME), &before).unwrap();
    let few = folder.file("few.txt", stories(100));
    must("data {} {} --overlap 2", &[&corpus, &few]);
    let output = train("fit --resume {}", &[&run]);
    let changed = TrainError::CorpusChanged(corpus.canonicalize().unwrap());
    assert_refused(&output, changed);
}

#[test]
fn a_run_that_diverges_ends() {
    let folder = Folder::new("nan");
    let (corpus, run) = (corpus(&folder), folder.join("run"));
    let output = fit("--steps 50 --rate 1e30", &corpus, &run);
    assert_refused(&output, "--rate");
    assert!(said(&output).contains("NaN"), "{output:?}");
    let kept = checkpoint::read(&run.join(checkpoint::NAME)).unwrap();
    assert!(kept.weights.values().iter().all(|weight| weight.is_finite()));
    assert_eq!(names(&run), [checkpoint::NAME, log::NAME, TOKENIZER, SAMPLES]);
}

/// Runs the program where no file can be larger than `kib` KiB, like on a full disk.
#[cfg(unix)]
fn train_within(kib: u32, words: &str, paths: &[&Path]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).arg(program().get_program());
    shell.args(arguments(words, paths)).output().unwrap()
}

/// A run that is killed, then resumed on a full disk, then resumed again ends in the same weights.
#[cfg(unix)]
#[test]
fn a_full_disk_and_a_killed_program_lose_nothing() {
    let folder = Folder::new("full");
    let (corpus, whole, parts) = (corpus(&folder), folder.join("whole"), folder.join("parts"));
    let settings = "--steps 600 --evaluate-every 100";
    assert!(fit(settings, &corpus, &whole).status.success());

    // A disk too full to start. With space, the same command does.
    let words = format!("fit {{}} {{}} {SMALL} {settings}");
    let output = train_within(64, &words, &[&corpus, &parts]);
    assert_refused(&output, os_error(EFBIG));
    assert_eq!(names(&parts), [log::NAME, TOKENIZER, SAMPLES]);

    let mut child = program()
        .args(arguments(&words, &[&corpus, &parts]))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let step_200 = lines.any(|line| line.unwrap().starts_with("step 200: "));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(step_200);
    let step = || checkpoint::read(&parts.join(checkpoint::NAME)).unwrap().progress.step;
    assert!((100..600).contains(&step()), "killed at step {}", step());

    let (before, files) = (read(&parts, checkpoint::NAME), names(&parts));
    let output = train_within(64, "fit --resume {}", &[&parts]);
    assert_refused(&output, TrainError::RunInterrupted(parts.clone()));
    assert_refused(&output, os_error(EFBIG));
    assert!(before == read(&parts, checkpoint::NAME));
    assert_eq!(names(&parts), files);

    must("fit --resume {}", &[&parts]);
    for name in [checkpoint::NAME, BEST] {
        assert!(read(&whole, name) == read(&parts, name), "{name} differs");
    }
    assert_eq!(losses(&whole), losses(&parts));
}
