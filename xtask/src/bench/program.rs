//! The measured programs: their command lines and their output.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use super::files::{Container, Files};
use super::{Format, Options, ours_alone};

/// A kind of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// bootllm.
    Bootllm,
    /// llama2.c's `run`, for f32.
    Run,
    /// llama2.c's `runq`, for int8.
    Runq,
    /// llama.cpp's `llama-bench`.
    LlamaBench,
}

impl Kind {
    /// The other programs by the beginning of their names, longer ones first.
    const OTHERS: [(&str, Kind); 3] =
        [("llama-bench", Kind::LlamaBench), ("runq", Kind::Runq), ("run", Kind::Run)];

    /// The container from which it reads this weight format; `None` if it cannot.
    pub fn container(self, format: Format) -> Option<Container> {
        match (self, format) {
            (Kind::Run, Format::F32) => Some(Container::V0),
            (Kind::Runq, Format::Int8) => Some(Container::V2),
            (Kind::LlamaBench, format) if format != Format::Int8 => Some(Container::Gguf),
            (Kind::Bootllm | Kind::Run | Kind::Runq | Kind::LlamaBench, _) => None,
        }
    }

    /// The default weight format for it, for a model in the format `own`.
    pub fn usual_format(self, own: Format) -> Format {
        match (self, own) {
            (Kind::Run, _) => Format::F32,
            (Kind::Runq, _) => Format::Int8,
            (Kind::LlamaBench, Format::Int8) => Format::Q8_0,
            (Kind::LlamaBench | Kind::Bootllm, own) => own,
        }
    }
}

/// A measured program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its kind.
    pub kind: Kind,
    /// Its path.
    pub path: PathBuf,
    /// Its name in the report.
    pub name: String,
}

/// A program as it is typed: `[KIND=]PATH`.
impl FromStr for Program {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |name: &str| Kind::OTHERS.iter().find(|(known, _)| *known == name);
        let said = text.split_once('=').and_then(|(kind, path)| Some((known(kind)?.1, path)));
        let path = Path::new(said.map_or(text, |(_, path)| path));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let by_name = || Kind::OTHERS.into_iter().find(|(known, _)| name.starts_with(known));
        let kind = said.map(|(kind, _)| kind).or_else(|| by_name().map(|(_, kind)| kind));
        let kind = kind.ok_or_else(|| {
            format!(
                "its name is not that of a known program; write run={text}, runq={text} or \
                 llama-bench={text}"
            )
        })?;
        // Without a directory it would be looked for on the PATH.
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        if !path.is_file() {
            return Err("there is no such file".to_owned());
        }
        Ok(Program { kind, path, name })
    }
}

/// Replaces names that several programs share by their paths.
pub fn tell_apart(programs: &mut [Program]) {
    let names: Vec<String> = programs.iter().map(|program| program.name.clone()).collect();
    for program in programs {
        if names.iter().filter(|name| **name == program.name).count() > 1 {
            program.name = program.path.display().to_string();
        }
    }
}

/// The work of one run.
pub struct Work<'a> {
    /// Threads.
    pub threads: usize,
    /// Tokens and other options.
    pub options: &'a Options,
}

/// The speed of a program in one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speed {
    /// Tokens per second of prefill, if that was measured.
    pub prefill: Option<f64>,
    /// Tokens per second of decoding, if that was measured.
    pub decode: Option<f64>,
    /// The share of the memory bandwidth that decoding used, if the program reports it.
    pub bandwidth_share: Option<f64>,
    /// The program's description of itself.
    pub about: String,
}

impl Program {
    /// bootllm itself.
    pub fn ours(path: PathBuf) -> Self {
        Program { kind: Kind::Bootllm, path, name: "bootllm".to_owned() }
    }

    /// Its command line; `None` if it cannot do this work or read these weights.
    pub fn command(&self, files: &Files, work: &Work<'_>) -> Option<Command> {
        let (file, tokenizer) = files.for_kind(self.kind)?;
        let Work { threads, options } = work;
        let (threads, prefill) = (threads.to_string(), options.prefill.to_string());
        let decode = options.decode.to_string();
        let mut command = Command::new(&self.path);
        match self.kind {
            Kind::Bootllm => {
                command.arg("bench").arg(file).args(["--threads", &threads]);
                command.args(["--prefill", &prefill, "--decode", &decode]);
                command.args(["--times", "1", "--json"]);
                command.args(ours_alone(options));
            }
            // To it, 0 tokens means all.
            Kind::Run | Kind::Runq if options.decode == 0 => return None,
            Kind::Run | Kind::Runq => {
                command.arg(file).args(["-t", "0", "-n", &decode]);
                command.args(tokenizer.iter().flat_map(|file| [Path::new("-z"), *file]));
                command.env("OMP_NUM_THREADS", &threads);
            }
            Kind::LlamaBench => {
                command.arg("-m").arg(file).args(["-t", &threads, "-p", &prefill, "-n", &decode]);
                command.args(["-r", "1", "-o", "json"]);
            }
        }
        Some(command)
    }

    /// Runs it once.
    pub fn run(&self, command: &mut Command, work: &Work<'_>) -> Result<Speed> {
        let Options { prefill, decode, .. } = *work.options;
        let output = command.stdin(Stdio::null()).output().context("cannot start it")?;
        let Output { status, stdout, stderr } = output;
        let [printed, said] =
            [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        ensure!(status.success(), "it failed ({status}): {}", ending(&said));
        let speed = match self.kind {
            Kind::Bootllm => bootllm(&printed, prefill, decode),
            Kind::Run | Kind::Runq => llama2c(&said),
            Kind::LlamaBench => llama_bench(&printed, prefill, decode),
        };
        speed.map_err(|error| anyhow!("{error:#}; it ended with: {}", ending(&(printed + &said))))
    }
}

/// The last lines of a program's output, in one line.
fn ending(printed: &str) -> String {
    const LONGEST: usize = 300;
    let lines: Vec<_> = printed.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.as_slice() {
        [] => "nothing".to_owned(),
        lines => {
            let last = lines[lines.len().saturating_sub(3)..].join(" / ");
            last.chars().take(LONGEST).collect()
        }
    }
}

const NO_JSON: &str = "its output is not JSON";

/// A speed that can be a divisor.
fn figure(value: Option<f64>, what: &str) -> Result<f64> {
    let value = value.with_context(|| format!("there is no {what}"))?;
    ensure!(value.is_finite() && value > 0.0, "the {what} is {value}");
    Ok(value)
}

/// Reads the output of `bootllm bench --json`.
fn bootllm(printed: &str, prefill: usize, decode: usize) -> Result<Speed> {
    let printed: Value = serde_json::from_str(printed).context(NO_JSON)?;
    let run = &printed["runs"][0];
    let of = |tokens: usize, key: &str| -> Result<Option<f64>> {
        (tokens > 0).then(|| figure(run[key].as_f64(), key)).transpose()
    };
    Ok(Speed {
        prefill: of(prefill, "prefill_tokens_per_second")?,
        decode: of(decode, "decode_tokens_per_second")?,
        bandwidth_share: of(decode, "decode_share_of_bandwidth")?,
        about: printed["instructions"].as_str().unwrap_or("unknown instructions").to_owned(),
    })
}

/// Reads the output of `llama-bench -o json`: a list of tests, one of a prompt and one of decoding.
fn llama_bench(printed: &str, prefill: usize, decode: usize) -> Result<Speed> {
    let printed: Value = serde_json::from_str(printed).context(NO_JSON)?;
    let tests = printed.as_array().context("its JSON is not a list of tests")?;
    let of = |tokens: usize, key: &str, what: &str| -> Result<Option<f64>> {
        let test = tests.iter().find(|test| test[key].as_u64() == Some(tokens as u64));
        let speed = || figure(test.and_then(|test| test["avg_ts"].as_f64()), what);
        (tokens > 0).then(speed).transpose()
    };
    let text = |key: &str| match &tests.first().unwrap_or(&Value::Null)[key] {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    Ok(Speed {
        prefill: of(prefill, "n_prompt", "test of a prompt")?,
        decode: of(decode, "n_gen", "test of decoding")?,
        bandwidth_share: None,
        about: format!(
            "llama.cpp, build {} ({}), {}",
            text("build_number"),
            text("build_commit"),
            text("backends")
        ),
    })
}

/// Reads what llama2.c's programs print on standard error: `achieved tok/s: 123.4`. They measure from
/// the second token on, in whole milliseconds.
fn llama2c(said: &str) -> Result<Speed> {
    const BEFORE: &str = "achieved tok/s: ";
    let number = said.lines().find_map(|line| line.trim().strip_prefix(BEFORE));
    let number = number.context("it printed no `achieved tok/s`, or its text had one token")?;
    let speed = figure(number.trim().parse().ok(), "speed within its few milliseconds")?;
    Ok(Speed { decode: Some(speed), about: "llama2.c".to_owned(), ..Speed::default() })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{files, options};
    use super::*;
    use crate::process;

    #[test]
    fn a_program_is_known_by_its_name_or_by_what_is_said() {
        let folder = env!("CARGO_MANIFEST_DIR");
        // Any file will do; its name does not say what it is.
        let file = format!("{folder}/Cargo.toml");
        let known = |text: &str| text.parse::<Program>();
        for (text, kind) in [
            (format!("run={file}"), Kind::Run),
            (format!("runq={file}"), Kind::Runq),
            (format!("llama-bench={file}"), Kind::LlamaBench),
            (format!("{folder}/src/run.rs"), Kind::Run),
        ] {
            let program = known(&text).unwrap();
            assert_eq!(program.kind, kind, "{text}");
            assert!(program.path.is_absolute());
        }
        assert_eq!(known(&format!("run={file}")).unwrap().name, "Cargo.toml");
        assert!(known(&file).is_err());
        assert!(known("no/folder/runq_omp").is_err());
    }

    #[test]
    fn programs_of_one_name_are_told_apart() {
        let program = |path: &str| Program {
            kind: Kind::LlamaBench,
            path: path.into(),
            name: "llama-bench".into(),
        };
        let ours = Program::ours("target/release/bootllm".into());
        let mut programs = [ours, program("/native/llama-bench"), program("/avx2/llama-bench")];
        tell_apart(&mut programs);
        let names = programs.map(|program| program.name);
        assert_eq!(names, ["bootllm", "/native/llama-bench", "/avx2/llama-bench"]);
    }

    #[test]
    fn every_program_gets_the_same_work() {
        let options = options("--prefill 33 --decode 17 --isa avx2");
        let work = Work { threads: 3, options: &options };
        let line = |kind, files: &Files| {
            let program = Program { kind, path: "program".into(), name: String::new() };
            let command = program.command(files, &work)?;
            let threads = command.get_envs().next();
            Some((
                process::line(&command),
                threads.and_then(|(_, value)| value?.to_str()).map(String::from),
            ))
        };
        let f32 = files(Format::F32, &[Container::V0, Container::Gguf]);
        let ours =
            "program bench v0 --threads 3 --prefill 33 --decode 17 --times 1 --json --isa avx2";
        assert_eq!(line(Kind::Bootllm, &f32), Some((ours.into(), None)));
        let run = "program v0 -t 0 -n 17 -z tokenizer";
        assert_eq!(line(Kind::Run, &f32), Some((run.into(), Some("3".into()))));
        let llama_bench = "program -m gguf -t 3 -p 33 -n 17 -r 1 -o json";
        assert_eq!(line(Kind::LlamaBench, &f32), Some((llama_bench.into(), None)));
        assert_eq!(line(Kind::Runq, &f32), None);
        assert_eq!(line(Kind::Run, &files(Format::Q8_0, &[Container::Gguf])), None);
    }

    /// Shortened from what llama-bench printed.
    const LLAMA_BENCH: &str = r#"[
      { "build_commit": "0c1e570", "build_number": 6900, "backends": "CPU", "n_threads": 2,
        "n_prompt": 16, "n_gen": 0, "avg_ns": 46919600, "avg_ts": 341.008875,
        "samples_ts": [ 341.009 ] },
      { "build_commit": "0c1e570", "build_number": 6900, "backends": "CPU", "n_threads": 2,
        "n_prompt": 0, "n_gen": 8, "avg_ns": 52595024, "avg_ts": 152.105644,
        "samples_ts": [ 152.106 ] }
    ]"#;

    #[test]
    fn llama_bench_is_read() {
        let speed = llama_bench(LLAMA_BENCH, 16, 8).unwrap();
        assert_eq!((speed.prefill, speed.decode), (Some(341.008875), Some(152.105644)));
        assert_eq!(speed.about, "llama.cpp, build 6900 (0c1e570), CPU");
        let speed = llama_bench(LLAMA_BENCH, 0, 8).unwrap();
        assert_eq!((speed.prefill, speed.decode), (None, Some(152.105644)));
        for printed in [
            "",
            "error: failed to load model",
            "{}",
            "[]",
            &LLAMA_BENCH.replace("\"n_gen\": 8", "\"n_gen\": 9"),
            &LLAMA_BENCH.replace("341.008875", "0"),
        ] {
            assert!(llama_bench(printed, 16, 8).is_err(), "{printed}");
        }
    }

    #[test]
    fn llama2c_is_read() {
        let speed = llama2c("a warning\nachieved tok/s: 73.195876\n").unwrap();
        assert_eq!((speed.prefill, speed.decode), (None, Some(73.195876)));
        for said in ["", "Couldn't open file", "achieved tok/s: inf", "achieved tok/s: -nan"] {
            assert!(llama2c(said).is_err(), "{said}");
        }
    }

    #[test]
    fn ours_is_read() {
        let printed = r#"{ "instructions": "AVX2", "runs": [ { "prefill_tokens_per_second": 900.5,
            "decode_tokens_per_second": 80.25, "decode_share_of_bandwidth": 0.875 } ] }"#;
        let expected = Speed {
            prefill: Some(900.5),
            decode: Some(80.25),
            bandwidth_share: Some(0.875),
            about: "AVX2".into(),
        };
        assert_eq!(bootllm(printed, 1, 1).unwrap(), expected);
        assert!(bootllm(r#"{ "runs": [] }"#, 1, 1).is_err());
    }

    #[test]
    fn the_last_lines_are_shown() {
        assert_eq!(ending(" \n"), "nothing");
        assert_eq!(ending("one\ntwo\n\nthree\nfour\n"), "two / three / four");
        assert_eq!(ending(&"é".repeat(1000)).chars().count(), 300);
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_fails_says_why() {
        let options = options("");
        let work = Work { threads: 1, options: &options };
        let program = Program { kind: Kind::Run, path: "sh".into(), name: String::new() };
        let run = |script: &str| {
            let error = program.run(Command::new("sh").args(["-c", script]), &work);
            error.map_err(|error| format!("{error:#}"))
        };
        let speed = run("echo a story; echo achieved tok/s: 12.5 >&2").unwrap();
        assert_eq!(speed.decode, Some(12.5));
        let error = run("echo Bad magic number >&2; exit 1").unwrap_err();
        assert!(error.ends_with("Bad magic number"), "{error}");
        let error = run("echo a story").unwrap_err();
        assert!(error.ends_with("a story"), "{error}");
        assert!(program.run(&mut Command::new("no-such-program"), &work).is_err());
    }
}
