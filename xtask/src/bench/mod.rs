//! `cargo xtask bench`: the speed of the engine, alone or in turn with other programs on the same
//! weights.
//!
//! ```text
//! files ─► program ─► report
//! of the    each, once a    medians,
//! model     round, in turn  ratios
//! ```

mod files;
mod program;
mod report;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::project::Project;
use crate::{process, program as built};
use files::{Files, Source};
use program::{Program, Work};
use report::{Case, Figures, Report};

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Other programs to measure in turn with bootllm: llama2.c's `run` or `runq`, llama.cpp's
    /// `llama-bench`. They are recognised by the beginning of their names; for another name write
    /// run=PATH, runq=PATH or llama-bench=PATH.
    #[arg(long, value_name = "[KIND=]PATH", num_args = 1..)]
    against: Vec<Program>,

    /// The model. It is converted for programs that read another format.
    #[arg(long, value_name = "FILE", conflicts_with = "shapes")]
    model: Option<PathBuf>,

    /// The tokenizer of that model.
    #[arg(long, value_name = "FILE", requires = "model", conflicts_with = "shapes")]
    tokenizer: Option<PathBuf>,

    /// Instead of a model, random weights of these shapes: 260K, 15M, 42M, 110M, 1.1B.
    #[arg(
        long = "shape",
        value_name = "NAME",
        value_delimiter = ',',
        num_args = 1..,
        default_value = "15M"
    )]
    shapes: Vec<String>,

    /// Weight formats [default: the model's or q8_0; f32 for `run`, int8 for `runq`].
    #[arg(long = "format", value_name = "NAME", value_enum, value_delimiter = ',', num_args = 1..)]
    formats: Vec<Format>,

    /// Tokens of the prompt; 0 leaves prefill out. llama2.c has no prefill, so only its decoding is
    /// measured.
    #[arg(long, value_name = "N", default_value_t = 256)]
    prefill: usize,

    /// Tokens to decode; 0 leaves decoding out.
    #[arg(long, value_name = "N", default_value_t = 64)]
    decode: usize,

    /// Threads of every program, one count after the other [default: 1, and one per core].
    #[arg(long, value_name = "N", value_delimiter = ',', num_args = 1..)]
    threads: Vec<NonZeroUsize>,

    /// Rounds. Every program runs once per round.
    #[arg(long, value_name = "N", default_value = "5")]
    times: NonZeroUsize,

    /// The widest instruction set that bootllm uses, such as avx2. The other programs use what they
    /// were built for.
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,

    /// The KV cache format of bootllm: f32, f16, q8 [default: f32].
    #[arg(long, value_name = "NAME")]
    kv: Option<String>,

    /// Print JSON with every single measurement.
    #[arg(long)]
    json: bool,
}

/// A weight format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// 32-bit floating point; GGUF, or v0 for llama2.c's `run`.
    F32,
    /// 16-bit floating point, GGUF.
    F16,
    /// The upper half of 32-bit floating point, GGUF.
    Bf16,
    /// 8-bit integers in blocks of 32, GGUF.
    #[value(name = "q8_0")]
    Q8_0,
    /// 4-bit integers in blocks of 32, GGUF.
    #[value(name = "q4_0")]
    Q4_0,
    /// 8-bit integers in groups, v2 for llama2.c's `runq`.
    Int8,
}

impl Format {
    const ALL: [Format; 6] =
        [Format::F32, Format::F16, Format::Bf16, Format::Q8_0, Format::Q4_0, Format::Int8];

    /// Its name, as in GGUF.
    fn name(self) -> &'static str {
        match self {
            Format::F32 => "f32",
            Format::F16 => "f16",
            Format::Bf16 => "bf16",
            Format::Q8_0 => "q8_0",
            Format::Q4_0 => "q4_0",
            Format::Int8 => "int8",
        }
    }
}

/// `cargo xtask bench`.
pub fn task(project: &Project, options: &Options) -> Result<()> {
    ensure!(options.prefill + options.decode > 0, "0 tokens leave nothing to measure");
    let ours = Program::ours(built::build_host(project)?);
    let mut programs = vec![ours.clone()];
    programs.extend(options.against.iter().cloned());
    program::tell_apart(&mut programs);

    // Mistakes in a model are reported before anything takes time.
    let mut all = Vec::new();
    for source in Source::all(options)? {
        let formats = formats(options, &source)?;
        for format in formats {
            let kinds = options.against.iter().map(|program| program.kind);
            let files = Files::make(project, &ours, &source, format, kinds)?;
            let most = options.prefill.max(options.decode);
            let (name, context) = (&source.name, files.context);
            ensure!(
                most <= context,
                "{name} has a context of {context} tokens, fewer than {most}; choose less with \
                 --prefill and --decode"
            );
            all.push(files);
        }
    }
    let usual = match all.first() {
        Some(files) => usual_threads(&ours, files, options)?,
        None => Vec::new(),
    };
    let named = options.threads.iter().map(|count| count.get()).collect();
    let threads: Vec<usize> = if options.threads.is_empty() { usual } else { named };

    let mut cases = Vec::new();
    for files in &all {
        for &threads in &threads {
            let work = Work { threads, options };
            cases.push(measure(&programs, files, &work));
        }
    }
    let report = Report { options, cases };
    if options.json {
        println!("{:#}", report.json())
    } else {
        print!("{}", report.text())
    }
    ensure!(report.failures() == 0, "some programs could not be measured");
    Ok(())
}

/// The weight formats to measure: those of the options, else those that the programs read.
fn formats(options: &Options, source: &Source) -> Result<Vec<Format>> {
    let mut formats = options.formats.clone();
    if formats.is_empty() {
        let usual = |program: &Program| program.kind.usual_format(source.format);
        formats = options.against.iter().map(usual).collect();
    }
    if formats.is_empty() {
        formats.push(source.format);
    }
    if let Some(program) = options
        .against
        .iter()
        .find(|program| !formats.iter().any(|&format| program.kind.container(format).is_some()))
    {
        let usual = program.kind.usual_format(source.format).name();
        bail!("{} reads none of these formats; add {usual} to --format", program.name);
    }
    let mut different = Vec::new();
    for format in formats {
        if !different.contains(&format) {
            different.push(format);
        }
    }
    Ok(different)
}

/// The thread counts that bootllm chooses by itself: one, and one per core. It also checks its
/// options here, before anything else runs.
fn usual_threads(ours: &Program, files: &Files, options: &Options) -> Result<Vec<usize>> {
    let mut command = Command::new(&ours.path);
    command.arg("bench").arg(&files.ours).args(ours_alone(options));
    command.args(["--json", "--prefill", "1", "--decode", "1", "--times", "1"]);
    let printed: Value = serde_json::from_str(&process::output(&mut command)?)?;
    let runs = printed["runs"].as_array().context("`bootllm bench --json` printed no runs")?;
    Ok(runs.iter().filter_map(|run| run["threads"].as_u64()).map(|n| n as usize).collect())
}

/// The options that only bootllm has.
fn ours_alone(options: &Options) -> impl Iterator<Item = &str> {
    let named = [("--isa", options.isa.as_deref()), ("--kv", options.kv.as_deref())];
    named.into_iter().filter_map(|(name, value)| Some([name, value?])).flatten()
}

/// Runs the programs in turn, round after round. One that fails is left out of the next rounds.
fn measure(programs: &[Program], files: &Files, work: &Work<'_>) -> Case {
    let mut case = Case::new(files, work.threads);
    eprintln!("{}", case.title());
    for program in programs {
        case.figures.extend(program.command(files, work).map(|c| Figures::new(program, c)));
    }
    let rounds = work.options.times.get();
    for round in 1..=rounds {
        for figures in case.figures.iter_mut().filter(|figures| figures.failure.is_none()) {
            let said = match figures.program.run(&mut figures.command, work) {
                Ok(speed) => figures.add(speed),
                Err(error) => figures.failure.insert(format!("{error:#}")).clone(),
            };
            eprintln!("  round {round} of {rounds}: {}: {said}", figures.program.name);
        }
    }
    case
}

#[cfg(test)]
mod tests {
    use super::files::{Container, Made};
    use super::program::Kind;
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    /// Options as they are typed.
    pub fn options(words: &str) -> Options {
        let words = ["bench"].into_iter().chain(words.split_whitespace());
        Line::try_parse_from(words).unwrap().options
    }

    /// Files that do not exist.
    pub fn files(format: Format, containers: &[Container]) -> Files {
        let made = |&container: &Container| {
            let (name, tokenizer) = match container {
                Container::Gguf => ("gguf", None),
                Container::V0 => ("v0", Some("tokenizer".into())),
                Container::V2 => ("v2", Some("tokenizer".into())),
            };
            (container, Made { file: name.into(), tokenizer })
        };
        let made: Vec<_> = containers.iter().map(made).collect();
        Files { name: "15M".into(), format, ours: made[0].1.file.clone(), made, context: 256 }
    }

    fn program(kind: Kind) -> Program {
        Program { kind, path: "nowhere".into(), name: format!("{kind:?}") }
    }

    #[test]
    fn options_are_lists() {
        let options = options("--shape 15M,1.1B --format q8_0 --threads 1,2 --times 3");
        assert_eq!(options.shapes, ["15M", "1.1B"]);
        assert_eq!(options.formats, [Format::Q8_0]);
        assert_eq!(options.threads.iter().map(|count| count.get()).sum::<usize>(), 3);
        for wrong in [
            "--threads 0",
            "--times 0",
            "--format q9",
            "--model a --shape 15M",
            "--tokenizer a --shape 15M",
        ] {
            let words = ["bench"].into_iter().chain(wrong.split_whitespace());
            assert!(Line::try_parse_from(words).is_err(), "{wrong}");
        }
    }

    #[test]
    fn formats_are_those_that_the_programs_read() {
        let random = &Source::all(&options("")).unwrap()[0];
        let of = |words: &str, kinds: &[Kind]| {
            let mut options = options(words);
            options.against = kinds.iter().copied().map(program).collect();
            formats(&options, random).map_err(|_| ())
        };
        assert_eq!(of("", &[]), Ok(vec![Format::Q8_0]));
        assert_eq!(of("--format f16,f32,f16", &[]), Ok(vec![Format::F16, Format::F32]));
        let all = [Kind::LlamaBench, Kind::Run, Kind::Runq, Kind::LlamaBench];
        assert_eq!(of("", &all), Ok(vec![Format::Q8_0, Format::F32, Format::Int8]));
        let both = [Kind::LlamaBench, Kind::Run];
        assert_eq!(of("--format f32", &both), Ok(vec![Format::F32]));
        assert!(of("--format q4_0", &both).is_err());
    }

    #[test]
    fn files_are_of_the_kind_that_a_program_reads() {
        let files = files(Format::F32, &[Container::V0, Container::Gguf]);
        let file = |kind| files.for_kind(kind).map(|(file, _)| file.to_str().unwrap().to_owned());
        assert_eq!(file(Kind::Run).as_deref(), Some("v0"));
        assert_eq!(file(Kind::LlamaBench).as_deref(), Some("gguf"));
        assert_eq!(file(Kind::Bootllm).as_deref(), Some("v0"));
        assert_eq!(file(Kind::Runq), None);
    }
}
