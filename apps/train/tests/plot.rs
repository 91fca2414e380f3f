//! `bootllm-train plot` from its command line.

mod common;

use bootllm_train::error::TrainError;
use bootllm_train::log::HEADER;
use common::{ENOENT, Folder, assert_refused, names, os_error, program};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Output;

const LINES: &str = "1,0.1,4096,7.6,,,2e-5,1.5,4000\n2,0.2,8192,7.1,7.0,3.5,4e-5,1.25,4100\n";

/// Writes a run with this log, and returns its folder.
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
fn runs_have_the_names_of_their_folders() {
    let folder = Folder::new("plot-names");
    let (first, second) = (run(&folder, "x/small.1", &log()), run(&folder, "y/large", &log()));
    let other = folder.join("other.csv");
    std::fs::copy(first.join("log.csv"), &other).unwrap();
    let svg = folder.join("chart.svg");
    let output = plot(&svg, &[&first, &second.join("log.csv"), &other]);
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(&svg).unwrap();
    for name in ["small.1", "large", "other"] {
        assert!(text.contains(&format!("\n{name}, ")), "{name:?} is not in {text}");
    }
    assert_eq!(text.matches("7.0000").count(), 3);
    // Runs of the same name are distinguished by their paths.
    let same = run(&folder, "z/large", &log());
    assert!(plot(&svg, &[&second, &same]).status.success());
    let text = std::fs::read_to_string(&svg).unwrap();
    assert!(text.contains("y/large, ") && text.contains("z/large, "), "{text}");
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
fn invalid_runs_are_refused() {
    let folder = Folder::new("plot-refused");
    let svg = folder.join("chart.svg");
    std::fs::write(&svg, "precious").unwrap();
    let refused = |runs: &[&Path], output: &Path, expected: &dyn Display| {
        assert_refused(&plot(output, runs), expected);
    };
    let good = run(&folder, "good", &log());
    let missing = os_error(ENOENT);
    refused(&[folder.path()], &svg, &format!("log.csv: {missing}"));
    refused(&[&good, &folder.join("none")], &svg, &format!("none: {missing}"));
    let new = run(&folder, "new", &format!("{HEADER}\n"));
    refused(&[&new], &svg, &TrainError::NoSteps("new".into()));
    let other = TrainError::NotALog { found: "a,b".into(), header: HEADER };
    refused(&[&run(&folder, "other", "a,b\n1,2\n")], &svg, &other);
    let broken = run(&folder, "broken", &log().replace("7.1", "x"));
    let field = TrainError::LogNumber { column: "loss", text: "x".into(), integer: false };
    refused(&[&broken], &svg, &format!("log.csv: {}: {field}", TrainError::LogLine(3)));
    let binary = run(&folder, "binary", "\0\0");
    let not_text = bootllm_host::read_text(&binary.join("log.csv")).unwrap_err();
    refused(&[&binary], &svg, &format!("{not_text:#}"));
    let own = good.join("log.csv");
    refused(&[&good], &own, &TrainError::OverwritesLog(own.clone()));
    refused(&[&good], &folder.join("no/chart.svg"), &missing);
    assert_eq!(std::fs::read_to_string(&svg).unwrap(), "precious");
    assert_eq!(std::fs::read_to_string(good.join("log.csv")).unwrap(), log());
}
