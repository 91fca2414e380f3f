//! `bootllm-train plot`, run as a person runs it.

mod common;

use bootllm_train::log::HEADER;
use common::{Folder, names, program};
use std::path::{Path, PathBuf};
use std::process::Output;

const LINES: &str = "1,0.1,4096,7.6,,,2e-5,1.5,4000\n2,0.2,8192,7.1,7.0,3.5,4e-5,1.25,4100\n";

/// A run with this log; gives its folder.
fn run(folder: &Folder, name: &str, log: &str) -> PathBuf {
    folder.file(&format!("{name}/log.csv"), log);
    folder.join(name)
}

fn plot(output: &Path, runs: &[&Path]) -> Output {
    program().arg("plot").args(runs).arg("-o").arg(output).output().unwrap()
}

fn log() -> String {
    format!("{HEADER}\n{LINES}")
}

#[test]
fn runs_are_called_by_their_folders() {
    let folder = Folder::new("plot-names");
    let (first, second) = (run(&folder, "x/small.1", &log()), run(&folder, "y/large", &log()));
    let other = folder.join("other.csv");
    std::fs::copy(first.join("log.csv"), &other).unwrap();
    let svg = folder.join("chart.svg");
    let output = plot(&svg, &[&first, &second.join("log.csv"), &other]);
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(&svg).unwrap();
    for name in ["\nsmall.1, 7.0000 held", "\nlarge, 7.0000 held", "\nother, 7.0000 held"] {
        assert!(text.contains(name), "{name:?} is not in {text}");
    }
    // Two of one name are told apart by their paths.
    let same = run(&folder, "z/large", &log());
    assert!(plot(&svg, &[&second, &same]).status.success());
    let text = std::fs::read_to_string(&svg).unwrap();
    assert!(text.contains("y/large, 7.0000") && text.contains("z/large, 7.0000"), "{text}");
}

#[test]
fn a_chart_is_written_beside_the_first_log() {
    let folder = Folder::new("plot-place");
    let (first, second) = (run(&folder, "first", &log()), run(&folder, "second", &log()));
    let output = program().current_dir(folder.path()).arg("plot").args([&first, &second]).output();
    assert!(output.unwrap().status.success());
    assert_eq!(names(folder.path()), ["first", "second"]);
    assert_eq!(names(&first), ["log.csv", "loss.svg"]);
    assert_eq!(names(&second), ["log.csv"]);
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = Folder::new("plot-refused");
    let svg = folder.join("chart.svg");
    std::fs::write(&svg, "precious").unwrap();
    let refused = |runs: &[&Path], output: &Path, expected: &str| {
        let found = plot(output, runs);
        let error = String::from_utf8(found.stderr).unwrap();
        assert!(!found.status.success(), "{error}");
        assert!(error.contains(expected) && !error.contains("panicked"), "{expected:?}: {error}");
    };
    let good = run(&folder, "good", &log());
    refused(&[folder.path()], &svg, "log.csv: No such file");
    refused(&[&good, &folder.join("none")], &svg, "none: No such file");
    refused(&[&run(&folder, "new", &format!("{HEADER}\n"))], &svg, "new: there is no step");
    refused(&[&run(&folder, "other", "a,b\n1,2\n")], &svg, "it is not the log of a run");
    let broken = run(&folder, "broken", &log().replace("7.1", "x"));
    refused(&[&broken], &svg, "log.csv: line 3: loss is \"x\", not a number");
    refused(&[&run(&folder, "binary", "\0\0")], &svg, "it is not a text");
    refused(&[&good], &good.join("log.csv"), "the chart would replace the log");
    refused(&[&good], &folder.join("no/chart.svg"), "No such file");
    assert_eq!(std::fs::read_to_string(&svg).unwrap(), "precious");
    assert_eq!(std::fs::read_to_string(good.join("log.csv")).unwrap(), log());
}
