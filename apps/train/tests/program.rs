//! The program as a person uses it: from a text to a model, and what is said when that cannot be.

mod common;

use bootllm_cores::OneCore;
use bootllm_train::fit::{BEST, SAMPLES, TOKENIZER};
use bootllm_train::parameters::Random;
use bootllm_train::{checkpoint, log};
use common::{Folder, arguments, assert_refused, must, names, program, said, train};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A model that is trained in a moment.
const SMALL: &str = "--dim 16 --layers 1 --heads 2 --kv-heads 1 --hidden 40 --context 64 \
                     --batch-tokens 512";

/// Stories whose words are of few syllables, in an order that the next word follows from.
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
    // Such simple stories have much in common.
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
fn from_a_text_to_a_model_and_on_with_another_text() {
    let folder = Folder::new("sequence");
    let (corpus, run) = (corpus(&folder), folder.join("run"));
    let output = fit("--steps 120 --evaluate-every 40 --rate 1e-2 --warm-up 10", &corpus, &run);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(said(&output).contains("step 80: held-out loss "), "{output:?}");
    let mut expected = [BEST, TOKENIZER, SAMPLES, log::NAME, checkpoint::NAME];
    expected.sort();
    assert_eq!(names(&run), expected);
    let samples = String::from_utf8(read(&run, SAMPLES)).unwrap();
    assert_eq!(samples.lines().filter(|line| line.starts_with("step ")).count(), 3);
    let losses_at_first = losses(&run);
    assert!(losses_at_first.len() == 3 && losses_at_first[2] < 2.5, "{losses_at_first:?}");

    // Both formats load, each with the tokenizer beside it.
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

    // What was learned is the beginning of what is learned next.
    let tuned = folder.join("tuned");
    let words = "fit {} {} --from {} --steps 1 --evaluate-every 1 --rate 1e-4";
    must(words, &[&corpus, &tuned, &float]);
    let (loss, end) = (losses(&tuned)[0], losses_at_first[2]);
    assert!((loss - end).abs() < 0.1, "{loss} after {end}");
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let folder = Folder::new("refused");
    let (corpus, run) = (corpus(&folder), folder.join("run"));
    let refused = |words: &str, paths: &[&Path], expected: &str| {
        let paths = [&[corpus.as_path(), &run], paths].concat();
        assert_refused(&train(&format!("fit {{}} {{}} {words}"), &paths), expected);
        assert!(!run.exists(), "{words}");
    };
    for (words, expected) in [
        ("--preset mini", "there is no preset \"mini\"; there are nano, "),
        ("--heads 3", "3 heads do not divide the dimension 64"),
        ("--heads 4 --kv-heads 3", "3 key and value heads do not divide 4"),
        ("--dim 12 --heads 4", "a head has 3 values, an odd number"),
        ("--dim 0", "dim is 0"),
        ("--context 0", "seq_len is 0"),
        ("--steps 0", "--steps is at least 1"),
        ("--batch-tokens 0", "--batch-tokens is at least 1"),
        ("--epochs 0", "--epochs is a number above 0"),
        ("--epochs 1e9", "at most 1000"),
        ("--rate 0", "--rate is a number above 0"),
        ("--rate NaN", "--rate is a number above 0"),
        ("--dropout 1", "--dropout is a share"),
    ] {
        refused(words, &[], expected);
    }
    if cfg!(target_os = "linux") {
        for words in ["--dim 1000000", "--context 2000000000", "--batch-tokens 1000000000000"] {
            refused(words, &[], "of memory, this machine has ");
        }
    }
    let text = folder.join("stories.txt");
    refused("--tokenizer {}", &[&text], "stories.txt: ");
    refused("--from {}", &[&text], "stories.txt: not a model");
    refused("--from {}", &[&folder.join("none.bin")], "none.bin: No such file");

    let none = folder.join("none");
    assert_refused(&train("fit {} {}", &[&none, &run]), "no corpus; `bootllm-train data ");
    assert_refused(&train("tokenizer {}", &[&none]), "no corpus; `bootllm-train data ");
    assert_refused(&train("fit {} {}", &[&corpus, &text]), "cannot make the folder ");
    for (size, expected) in [("100", "is too small"), ("50000", "a vocabulary of at most ")] {
        let output = folder.join("tokenizer.bin");
        let words = format!("tokenizer {{}} --vocab-size {size} --output {{}}");
        assert_refused(&train(&words, &[&corpus, &output]), expected);
        assert!(!output.exists());
    }
    fs::remove_file(corpus.join("tokenizer.bin")).unwrap();
    refused("--preset nano", &[], "no tokenizer; `bootllm-train tokenizer ");
    assert_refused(&train("bench --preset mini", &[]), "there is no preset \"mini\"");
    assert_refused(&train("bench --sequence 1000", &[]), "--sequence is longer than the context");
}

#[test]
fn runs_and_models_that_do_not_fit_are_refused() {
    let folder = Folder::new("misfits");
    let (corpus, run) = (corpus(&folder), folder.join("run"));
    assert!(fit("--steps 2 --evaluate-every 2", &corpus, &run).status.success());
    let other = folder.join("other");
    let model = run.join(BEST);

    // A model, and a tokenizer that is not its own.
    let larger = folder.join("larger.bin");
    must("tokenizer {} --vocab-size 310 --output {}", &[&corpus, &larger]);
    let words = "fit {} {} --from {} --tokenizer {}";
    let output = train(words, &[&corpus, &other, &model, &larger]);
    assert_refused(&output, "larger.bin: it has 310 tokens, the model 300");
    let output = train("fit {} {} --from {} --context 65", &[&corpus, &other, &model]);
    assert_refused(&output, "model.bin: its context is 64");
    assert!(!other.exists());

    // Another run in the same folder, or none to go on with.
    let before = read(&run, checkpoint::NAME);
    assert_refused(
        &fit("--steps 2", &corpus, &run),
        "there is a run in it; go on with `fit --resume ",
    );
    let output = train("fit --resume {}", &[&corpus]);
    assert_refused(&output, "corpus: there is no run in it; `fit CORPUS ");
    assert_refused(&train("export {} {}", &[&corpus, &other]), "there is no model yet");
    assert_refused(&train("export {} {}", &[&run, &model]), "into its own file");
    assert_refused(&train("export {} {}", &[&run, &corpus]), "corpus: it is a folder");
    assert_eq!(read(&run, checkpoint::NAME), before);

    // Goes on, for it is done; but not with a checkpoint that is damaged, nor with another corpus.
    must("fit --resume {}", &[&run]);
    fs::write(run.join(checkpoint::NAME), &before[..before.len() / 2]).unwrap();
    assert_refused(&train("fit --resume {}", &[&run]), "checkpoint: it is damaged");
    fs::write(run.join(checkpoint::NAME), &before).unwrap();
    let few = folder.file("few.txt", stories(100));
    must("data {} {} --overlap 2", &[&corpus, &few]);
    let output = train("fit --resume {}", &[&run]);
    assert_refused(&output, "the corpus or its tokenizer has changed since the run began");
}

#[test]
fn a_rate_that_ruins_the_weights_is_told_apart() {
    let folder = Folder::new("nan");
    let (corpus, run) = (corpus(&folder), folder.join("run"));
    let output = fit("--steps 50 --rate 1e30", &corpus, &run);
    assert_refused(&output, "begin again in another folder, with a lower --rate");
    assert!(said(&output).contains("NaN"), "{output:?}");
    let kept = checkpoint::read(&run.join(checkpoint::NAME)).unwrap();
    assert!(kept.weights.values().iter().all(|weight| weight.is_finite()));
    assert_eq!(names(&run), [checkpoint::NAME, log::NAME, TOKENIZER, SAMPLES]);
}

/// Runs the program where no file can be larger than so many KiB, as if the disk were full.
#[cfg(unix)]
fn train_within(kib: u32, words: &str, paths: &[&Path]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).arg(program().get_program());
    shell.args(arguments(words, paths)).output().unwrap()
}

/// Killed in the middle, then on a full disk, then gone on with: the end is the same.
#[cfg(unix)]
#[test]
fn a_full_disk_and_a_killed_program_lose_nothing() {
    let folder = Folder::new("full");
    let (corpus, whole, parts) = (corpus(&folder), folder.join("whole"), folder.join("parts"));
    let settings = "--steps 600 --evaluate-every 100";
    assert!(fit(settings, &corpus, &whole).status.success());

    // A disk too full to begin on. With room, the same command does.
    let words = format!("fit {{}} {{}} {SMALL} {settings}");
    let output = train_within(64, &words, &[&corpus, &parts]);
    assert_refused(&output, "File too large");
    assert_eq!(names(&parts), [log::NAME, TOKENIZER, SAMPLES]);

    let mut child = program()
        .args(arguments(&words, &[&corpus, &parts]))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let step_200 = lines.any(|line| line.unwrap().starts_with("step 200: held-out loss "));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(step_200);
    let step = || checkpoint::read(&parts.join(checkpoint::NAME)).unwrap().progress.step;
    assert!((100..600).contains(&step()), "killed at step {}", step());

    let (before, files) = (read(&parts, checkpoint::NAME), names(&parts));
    let output = train_within(64, "fit --resume {}", &[&parts]);
    let resume = format!("`fit --resume {}` goes on from the last checkpoint", parts.display());
    assert_refused(&output, &resume);
    assert!(said(&output).contains("File too large"), "{output:?}");
    assert!(before == read(&parts, checkpoint::NAME));
    assert_eq!(names(&parts), files);

    must("fit --resume {}", &[&parts]);
    for name in [checkpoint::NAME, BEST] {
        assert!(read(&whole, name) == read(&parts, name), "{name} differs");
    }
    assert_eq!(losses(&whole), losses(&parts));
}
