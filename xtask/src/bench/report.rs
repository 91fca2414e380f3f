//! The report: medians, and how many times as fast bootllm is.

use std::env;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::files::Files;
use super::program::{Program, Speed};
use super::{Format, Options};
use crate::process;

/// All measurements.
pub struct Report<'a> {
    /// The options.
    pub options: &'a Options,
    /// The results.
    pub cases: Vec<Case>,
}

/// The results of one model in one weight format with one thread count.
pub struct Case {
    model: String,
    format: Format,
    threads: usize,
    /// Of all programs, bootllm first.
    pub figures: Vec<Figures>,
}

/// A program's measurements, one per round.
pub struct Figures {
    /// The program.
    pub program: Program,
    /// Its command line.
    pub command: Command,
    about: String,
    prefill: Vec<f64>,
    decode: Vec<f64>,
    bandwidth_share: Vec<f64>,
    /// Why there are no more rounds.
    pub failure: Option<String>,
}

impl Figures {
    /// No measurements yet.
    pub fn new(program: &Program, command: Command) -> Self {
        Figures {
            program: program.clone(),
            command,
            about: String::new(),
            prefill: Vec::new(),
            decode: Vec::new(),
            bandwidth_share: Vec::new(),
            failure: None,
        }
    }

    /// Adds a round, and returns a line about it.
    pub fn add(&mut self, speed: Speed) -> String {
        self.prefill.extend(speed.prefill);
        self.decode.extend(speed.decode);
        self.bandwidth_share.extend(speed.bandwidth_share);
        self.about = speed.about;
        let said = |what: &str, speed: Option<f64>| speed.map(|speed| format!("{what} {speed:.1}"));
        let both = [said("prefill", speed.prefill), said("decode", speed.decode)];
        format!("{} tok/s", both.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    fn median_prefill(&self) -> Option<f64> {
        median(&self.prefill)
    }

    fn median_decode(&self) -> Option<f64> {
        median(&self.decode)
    }
}

impl Case {
    /// No results yet.
    pub fn new(files: &Files, threads: usize) -> Self {
        let (model, format) = (files.name.clone(), files.format);
        Case { model, format, threads, figures: Vec::new() }
    }

    /// Model, format and threads.
    pub fn title(&self) -> String {
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        format!("{} {}, {} {threads}", self.model, self.format.name(), self.threads)
    }

    /// How many times as fast as another program bootllm is, by the medians that `of` returns.
    fn ratio(&self, other: &Figures, of: fn(&Figures) -> Option<f64>) -> Option<f64> {
        let ours = self.figures.first().filter(|ours| ours.program != other.program)?;
        Some(of(ours)? / of(other)?)
    }

    /// The share of the read bandwidth that decoding uses. Every program reads the same weights per
    /// token, so the shares are proportional to the speeds, and bootllm knows its own.
    fn bandwidth_share(&self, figures: &Figures) -> Option<f64> {
        let ours = self.figures.first()?;
        Some(median(&ours.bandwidth_share)? * figures.median_decode()? / ours.median_decode()?)
    }
}

impl Report<'_> {
    /// How many runs of a program failed.
    pub fn failures(&self) -> usize {
        self.all_figures().filter(|figures| figures.failure.is_some()).count()
    }

    fn all_figures(&self) -> impl Iterator<Item = &Figures> {
        self.cases.iter().flat_map(|case| &case.figures)
    }

    /// The first results of each program.
    fn programs(&self) -> Vec<&Figures> {
        let mut programs: Vec<&Figures> = Vec::new();
        for figures in self.all_figures().filter(|figures| !figures.about.is_empty()) {
            if !programs.iter().any(|known| known.program == figures.program) {
                programs.push(figures);
            }
        }
        programs
    }

    /// The report as tables.
    pub fn text(&self) -> String {
        let names = self.all_figures().map(|figures| figures.program.name.chars().count());
        let width = names.max().unwrap_or(0).max("program".len());
        let Options { times, prefill, decode, .. } = self.options;
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:width$}  {}", "CPU", cpu());
        for figures in self.programs() {
            let _ = writeln!(text, "{:width$}  {}", figures.program.name, figures.about);
        }
        let rounds = match times.get() {
            1 => "one round".to_owned(),
            times => format!("medians of {times} rounds in which every program ran once"),
        };
        let _ =
            writeln!(text, "Tokens per second, {rounds}; × is how many times as fast bootllm is.");
        for case in &self.cases {
            let _ = writeln!(text, "\n{}", case.title());
            let _ = write!(text, "  {:width$}", "program");
            for column in self.columns() {
                let _ = write!(text, "  {:>20}", column.title(*prefill, *decode));
            }
            let _ = writeln!(text, "  of the read bandwidth");
            for figures in &case.figures {
                let _ = writeln!(text, "  {}", self.row(case, figures, width).trim_end());
            }
        }
        let _ = writeln!(text, "\nCommands, with the files and threads of their first case:");
        for figures in self.programs() {
            let _ = writeln!(text, "  {}", typed(&figures.command));
        }
        text
    }

    fn row(&self, case: &Case, figures: &Figures, width: usize) -> String {
        let mut row = format!("{:width$}", figures.program.name);
        if let Some(failure) = &figures.failure {
            return format!("{row}  {failure}");
        }
        for column in self.columns() {
            let speed =
                (column.median)(figures).map_or_else(String::new, |speed| format!("{speed:.1}"));
            let ratio = case.ratio(figures, column.median);
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} ×"));
            row += &format!("  {speed:>11}{ratio:>9}");
        }
        if let Some(share) = case.bandwidth_share(figures) {
            row += &format!("  {:.0} %", 100.0 * share);
        }
        row
    }

    fn columns(&self) -> impl Iterator<Item = &'static Column> {
        let wanted = [self.options.prefill > 0, self.options.decode > 0];
        COLUMNS.iter().zip(wanted).filter_map(|(column, wanted)| wanted.then_some(column))
    }

    /// The report for programs.
    pub fn json(&self) -> Value {
        let program = |case: &Case, figures: &Figures| {
            json!({
                "name": figures.program.name,
                "about": figures.about,
                "command": typed(&figures.command),
                "failure": figures.failure,
                "prefill_tokens_per_second": figures.median_prefill(),
                "decode_tokens_per_second": figures.median_decode(),
                "decode_share_of_bandwidth": case.bandwidth_share(figures),
                "ours_is_times_as_fast_in_prefill": case.ratio(figures, Figures::median_prefill),
                "ours_is_times_as_fast_in_decode": case.ratio(figures, Figures::median_decode),
                "prefill_all": figures.prefill,
                "decode_all": figures.decode,
            })
        };
        let case = |case: &Case| {
            let programs: Vec<Value> =
                case.figures.iter().map(|figures| program(case, figures)).collect();
            json!({
                "model": case.model,
                "format": case.format.name(),
                "threads": case.threads,
                "programs": programs,
            })
        };
        json!({
            "cpu": cpu(),
            "prefill_tokens": self.options.prefill,
            "decode_tokens": self.options.decode,
            "rounds": self.options.times,
            "cases": self.cases.iter().map(case).collect::<Vec<_>>(),
        })
    }
}

/// A column of the table.
struct Column {
    name: &'static str,
    median: fn(&Figures) -> Option<f64>,
}

const COLUMNS: [Column; 2] = [
    Column { name: "prefill", median: Figures::median_prefill },
    Column { name: "decode", median: Figures::median_decode },
];

impl Column {
    fn title(&self, prefill: usize, decode: usize) -> String {
        let tokens = if self.name == "prefill" { prefill } else { decode };
        format!("{} of {tokens}", self.name)
    }
}

/// The median; of an even number of figures, the mean of the middle two.
fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// A command as it would be typed, with its environment variables.
fn typed(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let set = set.map(|(name, value)| format!("{}={} ", name.display(), value.display()));
    set.collect::<String>() + &process::line(command)
}

/// The processor's name, if the system reports it.
fn cpu() -> String {
    let known = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = known.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or(env::consts::ARCH, |(_, name)| name.trim());
    format!("{name}, {}", env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::super::files::Container;
    use super::super::tests::{files, options};
    use super::*;

    fn figures(name: &str, prefill: &[f64], decode: &[f64]) -> Figures {
        let mut program = Program::ours(name.into());
        program.name = name.to_owned();
        let mut command = Command::new(name);
        command.arg("model").env("OMP_NUM_THREADS", "2");
        let mut figures = Figures::new(&program, command);
        for round in 0..decode.len() {
            let prefill = prefill.get(round).copied();
            let about = format!("what {name} is");
            let share = (name == "bootllm").then_some(0.9);
            let decode = Some(decode[round]);
            figures.add(Speed { prefill, decode, bandwidth_share: share, about });
        }
        figures
    }

    fn report(options: &Options) -> Report<'_> {
        let mut case = Case::new(&files(Format::F32, &[Container::V0]), 2);
        case.figures.push(figures("bootllm", &[300.0, 900.0, 600.0], &[40.0, 10.0, 30.0]));
        case.figures.push(figures("llama-bench", &[200.0, 100.0, 150.0], &[12.0, 11.0, 90.0]));
        case.figures.push(figures("run", &[], &[20.0, 30.0]));
        let mut broken = figures("runq", &[], &[]);
        broken.failure = Some("it failed".into());
        case.figures.push(broken);
        Report { options, cases: vec![case] }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn the_table_has_medians_and_ratios() {
        let options = options("--times 3 --prefill 32 --decode 16");
        let report = report(&options);
        let text = report.text();
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        let row = |name: &str| {
            let found = rows.iter().filter(|row| row.first() == Some(&name)).nth(1);
            found.unwrap_or_else(|| panic!("no row of {name} in {text}"))[1..].to_vec()
        };
        assert_eq!(row("bootllm"), ["600.0", "30.0", "90", "%"]);
        assert_eq!(row("llama-bench"), ["150.0", "4.00", "×", "12.0", "2.50", "×", "36", "%"]);
        assert_eq!(row("run"), ["25.0", "1.20", "×", "75", "%"]);
        for expected in [
            "15M f32, 2 threads",
            "medians of 3 rounds",
            "llama-bench  what llama-bench is",
            "prefill of 32",
            "runq         it failed",
            "OMP_NUM_THREADS=2 llama-bench model",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in {text}");
        }
        assert_eq!(report.failures(), 1);
    }

    #[test]
    fn json_has_every_figure() {
        let options = options("--times 3");
        let json = report(&options).json();
        let programs = &json["cases"][0]["programs"];
        assert_eq!(programs[1]["ours_is_times_as_fast_in_prefill"], 4.0);
        assert_eq!(programs[1]["decode_all"], json!([12.0, 11.0, 90.0]));
        assert_eq!(programs[0]["ours_is_times_as_fast_in_decode"], Value::Null);
        assert_eq!(programs[2]["prefill_tokens_per_second"], Value::Null);
        assert_eq!(programs[3]["failure"], "it failed");
    }

    #[test]
    fn what_was_left_out_has_no_column() {
        let options = options("--prefill 0");
        let text = report(&options).text();
        assert!(text.contains("decode of 64") && !text.contains("prefill of"), "{text}");
    }
}
