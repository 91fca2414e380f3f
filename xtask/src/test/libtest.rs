//! Running `cargo test` and reading what it prints.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// The reason of the tests that the step `boot` runs, in `#[ignore = "..."]`.
const BOOTS: &str = "boots a machine";
/// What a test prints that finds out while it runs that it cannot: `ignored: NAME: REASON`. It has
/// to bypass the capture of libtest, by `writeln!(std::io::stdout(), ...)`.
const IGNORED: &str = "ignored: ";

/// Something that a test run reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A test binary starts.
    Begin,
    /// A test ran.
    Ran { name: String, passed: bool },
    /// A test did not run.
    Ignored { name: String, reason: String },
}

/// Runs `cargo test` and passes every event to `tell`, with the time since the event before. What
/// is printed goes on to standard error. Returns how many tests ran.
pub fn run(command: &mut Command, tell: &mut dyn FnMut(&Event, Duration)) -> Result<usize> {
    let line = process::line(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;
    let lines = BufReader::new(child.stdout.take().context("cargo has no standard output")?);
    let mut since = Instant::now();
    let mut ran = 0;
    let mut reader = Reader::default();
    for printed in lines.lines() {
        let printed = printed?;
        eprintln!("{printed}");
        if let Some(event) = reader.event(&printed) {
            tell(&event, since.elapsed());
            since = Instant::now();
            ran += usize::from(matches!(event, Event::Ran { .. }));
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(ran)
}

/// Reads the lines of a test run.
#[derive(Default)]
struct Reader {
    /// The test that runs, if its name was printed without a result. With one thread, libtest prints
    /// the name before the test runs, and what the test prints comes between name and result.
    running: Option<String>,
}

impl Reader {
    /// The event in a line of output.
    fn event(&mut self, line: &str) -> Option<Event> {
        if line.starts_with("running ") {
            return Some(Event::Begin);
        }
        if let Some((before, said)) = line.split_once(IGNORED)
            && let Some((name, reason)) = said.split_once(": ")
        {
            self.note_running(before);
            return Some(Event::Ignored { name: name.to_owned(), reason: reason.to_owned() });
        }
        if let Some(name) = self.running.take_if(|_| matches!(line, "ok" | "FAILED")) {
            return Some(Event::Ran { name, passed: line == "ok" });
        }
        self.note_running(line);
        outcome(line)
    }

    fn note_running(&mut self, line: &str) {
        let name = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... "));
        if let Some(name) = name {
            self.running = Some(name.to_owned());
        }
    }
}

/// A line `test NAME ... RESULT`.
fn outcome(line: &str) -> Option<Event> {
    let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    // A test that should panic is printed as `NAME - should panic`.
    let name = name.strip_suffix(" - should panic").unwrap_or(name).to_owned();
    let result = result.trim();
    match result {
        "ok" => return Some(Event::Ran { name, passed: true }),
        "FAILED" => return Some(Event::Ran { name, passed: false }),
        _ => {}
    }
    let reason = result.strip_prefix("ignored")?;
    let reason = reason.strip_prefix(", ").unwrap_or("no reason is given").to_owned();
    (reason != BOOTS).then_some(Event::Ignored { name, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(name: &str, passed: bool) -> Option<Event> {
        Some(Event::Ran { name: name.to_owned(), passed })
    }

    fn ignored(name: &str, reason: &str) -> Option<Event> {
        Some(Event::Ignored { name: name.to_owned(), reason: reason.to_owned() })
    }

    #[test]
    fn lines_are_read() {
        let cases = [
            ("running 3 tests", Some(Event::Begin)),
            ("test disks::boots_from_nvme ... ok", ran("disks::boots_from_nvme", true)),
            ("test a - should panic ... FAILED", ran("a", false)),
            ("test src/lib.rs - Thing (line 7) ... ok", ran("src/lib.rs - Thing (line 7)", true)),
            ("test a ... ignored, no ../shared", ignored("a", "no ../shared")),
            ("test a ... ignored", ignored("a", "no reason is given")),
            ("test a ... ignored, boots a machine", None),
            ("ignored: golden: there is no model", ignored("golden", "there is no model")),
            ("test a ... ignored: a: why", ignored("a", "why")),
            ("test result: ok. 3 passed", None),
            ("   Compiling a", None),
            ("ok", None),
        ];
        for (line, expected) in cases {
            assert_eq!(Reader::default().event(line), expected, "{line}");
        }
    }

    #[test]
    fn a_test_may_print_between_its_name_and_its_result() {
        let lines =
            ["test a ... ", "ignored: b: why", "ok", "test c ... ignored: d: why", "FAILED"];
        let mut reader = Reader::default();
        let events = lines.map(|line| reader.event(line));
        let expected =
            [None, ignored("b", "why"), ran("a", true), ignored("d", "why"), ran("c", false)];
        assert_eq!(events, expected);
    }

    #[cfg(unix)]
    #[test]
    fn tests_are_counted_and_a_failure_is_an_error() {
        let shell = |script: &str| {
            let mut seen = Vec::new();
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let ran = run(&mut command, &mut |event, _| seen.push(event.clone()));
            (ran.ok(), seen.len())
        };
        assert_eq!(shell("echo running 1 test; echo 'test a ... ok'; echo x"), (Some(1), 2));
        assert_eq!(shell("echo 'test a ... FAILED'; exit 101"), (None, 1));
    }
}
