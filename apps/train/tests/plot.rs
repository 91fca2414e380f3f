//! `bootllm-train plot`, run as a person runs it.

use bootllm_train::log::HEADER;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const LINES: &str = "1,0.1,4096,7.6,,,2e-5,1.5,4000\n2,0.2,8192,7.1,7.0,3.5,4e-5,1.25,4100\n";

/// A folder of a test's own, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bootllm-plot-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    /// A run with this log; gives its folder.
    fn run(&self, name: &str, log: &str) -> PathBuf {
        let run = self.0.join(name);
        std::fs::create_dir_all(&run).unwrap();
        std::fs::write(run.join("log.csv"), log).unwrap();
        run
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn plot(output: &Path, runs: &[&Path]) -> Output {
    let program = env!("CARGO_BIN_EXE_bootllm-train");
    Command::new(program).arg("plot").args(runs).arg("-o").arg(output).output().unwrap()
}

fn log() -> String {
    format!("{HEADER}\n{LINES}")
}

#[test]
fn runs_are_called_by_their_folders() {
    let folder = Folder::new("names");
    let (first, second) = (folder.run("x/small.1", &log()), folder.run("y/large", &log()));
    let other = folder.0.join("other.csv");
    std::fs::copy(first.join("log.csv"), &other).unwrap();
    let svg = folder.0.join("chart.svg");
    let output = plot(&svg, &[&first, &second.join("log.csv"), &other]);
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(&svg).unwrap();
    for name in ["\nsmall.1, 7.0000 held", "\nlarge, 7.0000 held", "\nother, 7.0000 held"] {
        assert!(text.contains(name), "{name:?} is not in {text}");
    }
    // Two of one name are told apart by their paths.
    let same = folder.run("z/large", &log());
    assert!(plot(&svg, &[&second, &same]).status.success());
    let text = std::fs::read_to_string(&svg).unwrap();
    assert!(text.contains("y/large, 7.0000") && text.contains("z/large, 7.0000"), "{text}");
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = Folder::new("refused");
    let svg = folder.0.join("chart.svg");
    std::fs::write(&svg, "precious").unwrap();
    let refused = |runs: &[&Path], output: &Path, expected: &str| {
        let found = plot(output, runs);
        let error = String::from_utf8(found.stderr).unwrap();
        assert!(!found.status.success(), "{error}");
        assert!(error.contains(expected) && !error.contains("panicked"), "{expected:?}: {error}");
    };
    let good = folder.run("good", &log());
    refused(&[&folder.0], &svg, "log.csv: No such file");
    refused(&[&good, &folder.0.join("none")], &svg, "none: No such file");
    refused(&[&folder.run("new", &format!("{HEADER}\n"))], &svg, "new: there is no step");
    refused(&[&folder.run("other", "a,b\n1,2\n")], &svg, "it is not the log of a run");
    let broken = folder.run("broken", &log().replace("7.1", "x"));
    refused(&[&broken], &svg, "log.csv: line 3: loss is \"x\", not a number");
    refused(&[&folder.run("binary", "\0\0")], &svg, "it is not a text");
    refused(&[&good], &good.join("log.csv"), "the chart would replace the log");
    refused(&[&good], &folder.0.join("no/chart.svg"), "No such file");
    assert_eq!(std::fs::read_to_string(&svg).unwrap(), "precious");
    assert_eq!(std::fs::read_to_string(good.join("log.csv")).unwrap(), log());
}
