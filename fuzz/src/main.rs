//! Runs the fuzz targets on a stable toolchain; see README.md.

use bootllm_fuzz::mutate::{Random, mutated};
use bootllm_fuzz::{TARGETS, Target, memory};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

#[global_allocator]
static ALLOCATOR: memory::Limited = memory::Limited;

/// Bytes that a target may have in use: a small machine's memory.
const MEMORY: usize = 64 << 20;
/// An input that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(10);

const USAGE: &str = "\
Runs the parsers on saved and on random inputs.

bootllm-fuzz [--seconds N] [--seed N] [TARGET]...
        each target, or those that are named: all saved inputs, then mutated ones for N seconds
        (default 10); the same seed makes the same inputs (default 1)
bootllm-fuzz --replay TARGET FILE...
        only these inputs
bootllm-fuzz --write-corpus
        write the seed inputs into corpus/

targets:";

/// The command line.
enum Task {
    Fuzz {
        seconds: u64,
        seed: u64,
        targets: Vec<&'static Target>,
    },
    /// The same, in the process that may crash. Each input is written to the file first.
    Work {
        seconds: u64,
        seed: u64,
        target: &'static Target,
        file: PathBuf,
    },
    Replay {
        target: &'static Target,
        files: Vec<PathBuf>,
    },
    WriteCorpus,
}

fn main() -> ExitCode {
    let task = match parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            TARGETS.iter().for_each(|target| eprintln!("        {}", target.name));
            return ExitCode::FAILURE;
        }
    };
    let result = match task {
        Task::Fuzz { seconds, seed, targets } => fuzz(&targets, seconds, seed),
        Task::Work { seconds, seed, target, file } => work(target, seconds, seed, &file),
        Task::Replay { target, files } => replay(target, &files),
        Task::WriteCorpus => write_corpus(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Task, String> {
    let target = |name: &str| {
        let found = TARGETS.iter().find(|target| target.name == name);
        found.ok_or_else(|| format!("there is no target {name:?}"))
    };
    let (mut seconds, mut seed, mut targets) = (10, 1, Vec::new());
    let (mut file, mut replay) = (None, false);
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|number| number.parse().ok());
            number.ok_or_else(|| format!("{word} needs a number"))
        };
        match word.as_str() {
            "--seconds" => seconds = number()?,
            "--seed" => seed = number()?,
            "--work" => file = words.next().map(PathBuf::from),
            "--replay" => replay = true,
            "--write-corpus" => return Ok(Task::WriteCorpus),
            name => targets.push(target(name)?),
        }
        if replay && let Some(&target) = targets.first() {
            return Ok(Task::Replay { target, files: words.map(PathBuf::from).collect() });
        }
    }
    match (targets.as_slice(), file) {
        (&[target], Some(file)) => Ok(Task::Work { seconds, seed, target, file }),
        ([], _) => Ok(Task::Fuzz { seconds, seed, targets: TARGETS.iter().collect() }),
        _ => Ok(Task::Fuzz { seconds, seed, targets }),
    }
}

fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Fuzzes targets, as many at a time as there are cores, and reports all failures.
fn fuzz(targets: &[&'static Target], seconds: u64, seed: u64) -> Result<(), String> {
    let queue = Mutex::new(targets.iter());
    let problems = Mutex::new(Vec::new());
    let next = || queue.lock().expect("no panic").next();
    let work = || {
        while let Some(target) = next() {
            if let Err(problem) = watch(target, seconds, seed) {
                problems.lock().expect("no panic").push(problem);
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..cores.min(targets.len()) {
            scope.spawn(work);
        }
    });
    let problems = problems.into_inner().expect("no panic");
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// Runs the work in another process and reports the input at which it crashed or hung.
fn watch(target: &Target, seconds: u64, seed: u64) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let name = format!("bootllm-fuzz-{}-{}", target.name, std::process::id());
    let current = std::env::temp_dir().join(name);
    let mut child = Command::new(program)
        .args(["--seconds", &seconds.to_string(), "--seed", &seed.to_string()])
        .arg("--work")
        .arg(&current)
        .arg(target.name)
        .spawn()
        .map_err(|error| error.to_string())?;
    let begun = SystemTime::now();
    let problem = loop {
        thread::sleep(Duration::from_millis(20));
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => {
                let _ = fs::remove_file(&current);
                return Ok(());
            }
            Some(status) => break format!("failed ({status})"),
            None => {}
        }
        let changed = fs::metadata(&current).and_then(|file| file.modified()).unwrap_or(begun);
        if changed.elapsed().is_ok_and(|time| time > PATIENCE) {
            let _ = child.kill();
            let _ = child.wait();
            break format!("ran longer than {} s", PATIENCE.as_secs());
        }
    };
    Err(keep(target, &current, &problem).unwrap_or_else(|error| format!("{problem}; {error}")))
}

/// Saves the input that was being run. Returns the message about it.
fn keep(target: &Target, current: &Path, problem: &str) -> std::io::Result<String> {
    let input = fs::read(current)?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target.name);
    fs::create_dir_all(&folder)?;
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let file = folder.join(format!("{hash:016x}"));
    fs::write(&file, &input)?;
    fs::remove_file(current)?;
    let (name, file) = (target.name, file.display());
    Ok(format!(
        "{name} {problem}; its input of {} bytes is in {file}\n\
         to see it again: cargo run --release --manifest-path fuzz/Cargo.toml -- \
         --replay {name} {file}",
        input.len()
    ))
}

fn work(target: &Target, seconds: u64, seed: u64, current: &Path) -> Result<(), String> {
    let pool = saved(target)?;
    let mut file = fs::File::create(current).map_err(|error| error.to_string())?;
    let mut feed = |input: &[u8]| {
        let written = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(input))
            .and_then(|()| file.set_len(input.len() as u64));
        written.expect("the input being worked on can be written down");
        (target.run)(input);
    };
    let begun = Instant::now();
    memory::set_limit(MEMORY);
    pool.iter().for_each(|input| feed(input));

    let mut random = Random::new(seed);
    let mut made = 0u64;
    let time = Duration::from_secs(seconds);
    while begun.elapsed() < time {
        let mut input = mutated(&mut random, &pool, target.words);
        if made.is_multiple_of(2) {
            (target.mend)(&mut input);
        }
        feed(&input);
        made += 1;
    }
    let (name, count) = (target.name, pool.len());
    println!("{name}: {count} saved inputs and {made} mutated ones (seed {seed}): fine");
    Ok(())
}

/// The saved inputs, in the order of their names.
fn saved(target: &Target) -> Result<Vec<Vec<u8>>, String> {
    let folder = corpus(target);
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(problem)? {
        files.push(entry.map_err(problem)?.path());
    }
    files.sort();
    files.iter().map(|file| fs::read(file).map_err(problem)).collect()
}

fn replay(target: &Target, files: &[PathBuf]) -> Result<(), String> {
    memory::set_limit(MEMORY);
    for file in files {
        let input = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let begun = Instant::now();
        (target.run)(&input);
        println!("{}: fine after {:?}", file.display(), begun.elapsed());
    }
    Ok(())
}

fn write_corpus() -> Result<(), String> {
    for target in TARGETS {
        let folder = corpus(target);
        let write = |(name, bytes): (String, Vec<u8>)| fs::write(folder.join(name), bytes);
        fs::create_dir_all(&folder)
            .and_then(|()| (target.seeds)().into_iter().try_for_each(write))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(())
}
