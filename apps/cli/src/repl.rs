//! `bootllm repl`: the program of the stick, in a terminal, with a folder as its volume.

use crate::arguments::{Arithmetic, ThreadCount};
use anyhow::{Context, Result};
use bootllm_host::{
    FileReader, StdClock, memory_available, memory_total, physical_cores, random_seed,
};
use bootllm_platform::{
    Console, Entropy, Entry, Fact, Input, Key, Machine, ReadAt, Size, Skipped, Storage,
    StorageError, Walk,
};
use bootllm_repl::{Platform, Start};
use bootllm_terminal::KeyDecoder;
use bootllm_units::{bytes, cores};
use clap::Args;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folders within folders that are looked into, as on a stick.
const DEPTH: usize = 4;

/// Where the models lie.
#[derive(Args)]
pub struct Arguments {
    /// The folder that takes the stick's place
    #[arg(default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    arithmetic: Arithmetic,
    #[command(flatten)]
    threads: ThreadCount,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = arguments.folder.clone();
    std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let threads = arguments.threads.start()?;
    let (mut pipe, mut screen);
    let console: &mut dyn Console = if std::io::stdin().is_terminal() {
        screen = TerminalConsole::open()?;
        &mut screen
    } else {
        pipe = PipeConsole::default();
        &mut pipe
    };
    let platform = Platform {
        console,
        storage: &mut Folder(folder),
        clock: &StdClock::new(),
        entropy: &mut SystemEntropy,
        machine: &mut Host,
        cores: threads.cores(),
    };
    let (kv, cpu) = (arguments.arithmetic.kv, Some(arguments.arithmetic.cpu()));
    bootllm_repl::run(platform, &Start { kv, cpu, ..Start::default() });
    Ok(())
}

/// A person's terminal in raw mode. The mode ends with the value.
struct TerminalConsole(());

impl TerminalConsole {
    fn open() -> Result<Self> {
        terminal::enable_raw_mode().context("the terminal")?;
        Ok(TerminalConsole(()))
    }
}

impl Drop for TerminalConsole {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
    }
}

impl Console for TerminalConsole {
    fn write(&mut self, text: &str) {
        // In raw mode a line feed does not go back to the first column.
        let _ = std::io::stdout().write_all(text.replace('\n', "\r\n").as_bytes());
        let _ = std::io::stdout().flush();
    }

    fn read_key(&mut self, wait: Option<Duration>) -> Input {
        loop {
            match event::poll(wait.unwrap_or(Duration::from_secs(3600))) {
                Ok(true) => {}
                Ok(false) if wait.is_none() => continue,
                Ok(false) => return Input::Nothing,
                Err(_) => return Input::Closed,
            }
            match event::read() {
                Ok(Event::Key(event)) => {
                    if let Some(key) = key(event) {
                        return Input::Key(key);
                    }
                }
                Ok(_) => {}
                Err(_) => return Input::Closed,
            }
        }
    }

    fn size(&self) -> Size {
        // A terminal whose size nobody has set says 0.
        let size = terminal::size().ok().filter(|&(columns, rows)| columns > 0 && rows > 0);
        let (columns, rows) = size.unwrap_or((80, 24));
        Size { columns: columns.into(), rows: rows.into() }
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    Some(match event.code {
        KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::CONTROL) => {
            Key::Ctrl(c.to_ascii_lowercase())
        }
        KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::ALT) => Key::Alt(c),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Esc => Key::Escape,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return None,
    })
}

/// Standard input and output that are no terminal: bytes in are keys, as on a serial line.
#[derive(Default)]
struct PipeConsole {
    decoder: KeyDecoder,
}

impl Console for PipeConsole {
    fn write(&mut self, text: &str) {
        let _ = std::io::stdout().write_all(text.as_bytes());
        let _ = std::io::stdout().flush();
    }

    fn read_key(&mut self, wait: Option<Duration>) -> Input {
        // What is in a pipe is for the next question, never an interruption.
        if wait == Some(Duration::ZERO) {
            return Input::Nothing;
        }
        loop {
            if let Some(key) = self.decoder.next_key() {
                return Input::Key(key);
            }
            let mut byte = [0];
            match std::io::stdin().lock().read(&mut byte) {
                Ok(1) => self.decoder.push_byte(byte[0]),
                _ => return Input::Closed,
            }
        }
    }

    fn size(&self) -> Size {
        Size { columns: 80, rows: 24 }
    }
}

/// A folder as a volume.
struct Folder(PathBuf);

impl Folder {
    fn collect(
        path: &Path,
        prefix: &str,
        depth: usize,
        entries: &mut Vec<Entry>,
    ) -> std::io::Result<()> {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let name = format!("{prefix}{name}");
            // A link's target may be gone: then it is no file.
            let Ok(metadata) = std::fs::metadata(entry.path()) else {
                continue;
            };
            if metadata.is_file() {
                entries.push(Entry { name, size: metadata.len() });
            } else if metadata.is_dir() && depth > 0 {
                // A folder that may not be read has no models.
                let _ = Self::collect(&entry.path(), &format!("{name}/"), depth - 1, entries);
            }
        }
        Ok(())
    }
}

impl Storage for Folder {
    fn walk(&mut self) -> Box<dyn Walk> {
        Box::new(FolderWalk(Some(self.0.clone())))
    }

    fn open(&mut self, name: &str) -> Result<Box<dyn ReadAt>, StorageError> {
        match FileReader::open(&self.0.join(name)) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StorageError::NotFound { name: name.into() })
            }
            Err(error) => Err(StorageError::Device { offset: 0, reason: error.to_string() }),
        }
    }
}

/// A walk through a folder in one step.
struct FolderWalk(Option<PathBuf>);

impl Walk for FolderWalk {
    fn folder(&self) -> &str {
        ""
    }

    fn step(&mut self) -> Option<Result<Vec<Entry>, StorageError>> {
        let mut entries = Vec::new();
        let read = Folder::collect(&self.0.take()?, "", DEPTH, &mut entries);
        Some(match read {
            Ok(()) => Ok(entries),
            Err(error) => Err(StorageError::Volume { reason: error.to_string() }),
        })
    }

    fn skipped(&self) -> &[Skipped] {
        &[]
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn seed(&mut self) -> u64 {
        random_seed()
    }
}

/// The computer under the operating system.
struct Host;

impl Machine for Host {
    fn memory_free(&self) -> u64 {
        memory_available().unwrap_or(u64::MAX)
    }

    fn memory_total(&self) -> u64 {
        memory_total().unwrap_or(0)
    }

    fn facts(&mut self) -> Vec<Fact> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        vec![
            Fact { label: "system", value: std::env::consts::OS.into() },
            Fact { label: "processor", value: processor() },
            Fact { label: "cores", value: cores(physical_cores(), processors) },
            Fact {
                label: "memory",
                value: format!(
                    "{}, {} free",
                    bytes(self.memory_total()),
                    bytes(self.memory_free())
                ),
            },
        ]
    }
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or(std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}
