//! What became of the steps.

use std::fmt::Write;
use std::time::Duration;

/// What became of a step or of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    /// It did not run, for this reason.
    Ignored(String),
}

/// A line of the table.
struct Row {
    name: String,
    outcome: Outcome,
    time: Duration,
}

/// All steps so far, and the tests inside them that did not run.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    /// Tests that did not run, with the reason.
    ignored: Vec<(String, String)>,
    /// The steps that the user did not choose.
    pub not_chosen: Vec<&'static str>,
}

impl Report {
    /// Adds a step. One whose tests have rows of their own gets no row unless it failed without
    /// any of them failing.
    pub fn add_step(&mut self, name: &str, outcome: Outcome, time: Duration) {
        let inside = format!("{name}: ");
        let mut own = self.rows.iter().filter(|row| row.name.starts_with(&inside)).peekable();
        let has_rows = own.peek().is_some();
        let covered = outcome != Outcome::Failed || own.any(|row| row.outcome == Outcome::Failed);
        if !(has_rows && covered) {
            self.rows.push(Row { name: name.to_owned(), outcome, time });
        }
    }

    /// Adds a test of a step that has a row of its own.
    pub fn add_test(&mut self, step: &str, name: &str, passed: bool, time: Duration) {
        let outcome = if passed { Outcome::Passed } else { Outcome::Failed };
        self.rows.push(Row { name: format!("{step}: {name}"), outcome, time });
    }

    /// Notes that a test did not run. The same test is noted once.
    pub fn ignore_test(&mut self, name: String, reason: String) {
        if !self.ignored.contains(&(name.clone(), reason.clone())) {
            self.ignored.push((name, reason));
        }
    }

    /// How many steps and tests failed.
    pub fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome == Outcome::Failed).count()
    }

    /// The table, the counts, and what was ignored.
    pub fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        let mut ignored = self.ignored.clone();
        // Writing to a String cannot fail.
        for row in &self.rows {
            let result = match &row.outcome {
                Outcome::Passed => "passed",
                Outcome::Failed => "FAILED",
                Outcome::Ignored(reason) => {
                    ignored.push((row.name.clone(), reason.clone()));
                    "ignored"
                }
            };
            let seconds = row.time.as_secs_f64();
            let _ = writeln!(text, "{:width$}  {result:7} {seconds:7.1} s", row.name);
        }
        let total: Duration = self.rows.iter().map(|row| row.time).sum();
        let passed = self.rows.iter().filter(|row| row.outcome == Outcome::Passed).count();
        let not_chosen = self.not_chosen.len();
        let _ = writeln!(
            text,
            "{passed} passed, {} failed, {} ignored in {:.0} s",
            self.failed(),
            ignored.len() + not_chosen,
            total.as_secs_f64()
        );
        for (name, reason) in ignored {
            let _ = writeln!(text, "ignored: {name}: {reason}");
        }
        if not_chosen > 0 {
            let _ = writeln!(text, "ignored: not asked for: {}", self.not_chosen.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn everything_that_did_not_run_is_counted_and_named() {
        let mut report = Report::default();
        report.add_step("format", Outcome::Passed, SECOND);
        report.add_step("a longer name", Outcome::Failed, 2 * SECOND);
        report.add_step("miri", Outcome::Ignored("no Miri".into()), SECOND);
        for _ in 0..2 {
            report.ignore_test("golden::real".into(), "no model".into());
        }
        report.not_chosen = vec!["boot", "fuzz"];
        assert_eq!(report.failed(), 1);
        let text = report.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "format         passed      1.0 s");
        assert_eq!(lines[1], "a longer name  FAILED      2.0 s");
        assert_eq!(lines[2], "miri           ignored     1.0 s");
        assert_eq!(lines[3], "1 passed, 1 failed, 4 ignored in 4 s");
        assert_eq!(lines[4], "ignored: golden::real: no model");
        assert_eq!(lines[5], "ignored: miri: no Miri");
        assert_eq!(lines[6], "ignored: not asked for: boot, fuzz");
    }

    #[test]
    fn tests_with_rows_stand_for_their_step() {
        let mut report = Report::default();
        report.add_test("boot", "from nvme", true, SECOND);
        report.add_test("boot", "from usb", false, SECOND);
        report.add_step("boot", Outcome::Failed, 2 * SECOND);
        assert_eq!(report.rows.len(), 2);
        // Something else went wrong.
        let mut report = Report::default();
        report.add_test("boot", "from nvme", true, SECOND);
        report.add_step("boot", Outcome::Failed, SECOND);
        assert_eq!(report.failed(), 1);
    }
}
