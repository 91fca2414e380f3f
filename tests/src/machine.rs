//! A simulated machine, all of it in memory, on which the boot image's program runs.

use crate::script::{Script, ScriptedConsole};
use bootllm_host::Threads;
use bootllm_platform::{
    Clock, Entropy, Entry, Fact, Machine, ReadAt, Size, Skipped, Storage, StorageError, Walk,
};
use bootllm_repl::{Leave, Options, Platform};
use bootllm_terminal::Screen;
use core::cell::Cell;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A machine with files on its volume.
#[derive(Clone)]
pub struct Stage {
    volume: Volume,
    memory_free: u64,
    size: Size,
    threads: usize,
    story_pace: Option<Duration>,
}

/// What is wrong with a file's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Reading fails from this byte on.
    From(u64),
    /// The file is listed but cannot be opened.
    Gone,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// A machine with an empty volume, 1 GB of memory, a terminal of 80 by 24 and one core.
    pub fn new() -> Self {
        Stage {
            volume: Volume::default(),
            memory_free: 1_000_000_000,
            size: Size { columns: 80, rows: 24 },
            threads: 1,
            story_pace: None,
        }
    }

    /// Adds a file to the volume.
    pub fn file(self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.put(name, bytes, None)
    }

    /// Adds a file on a bad spot of the disk to the volume.
    pub fn bad_file(self, name: &str, bytes: impl Into<Vec<u8>>, fault: Fault) -> Self {
        self.put(name, bytes, Some(fault))
    }

    fn put(mut self, name: &str, bytes: impl Into<Vec<u8>>, fault: Option<Fault>) -> Self {
        let file = MemoryFile { bytes: Rc::new(bytes.into()), fault };
        self.volume.files.insert(name.into(), file);
        self
    }

    /// Makes the volume one that cannot be listed.
    pub fn broken_volume(mut self, reason: &str) -> Self {
        self.volume.broken = Some(reason.into());
        self
    }

    /// Sets the number of free bytes of memory.
    pub fn memory(mut self, free: u64) -> Self {
        self.memory_free = free;
        self
    }

    /// Sets the size of the terminal.
    pub fn terminal(mut self, columns: usize, rows: usize) -> Self {
        self.size = Size { columns, rows };
        self
    }

    /// Sets the time between the tokens of the first story.
    pub fn story_pace(mut self, pace: Duration) -> Self {
        self.story_pace = Some(pace);
        self
    }

    /// Sets the number of cores.
    pub fn cores(mut self, count: usize) -> Self {
        self.threads = count;
        self
    }

    /// Runs the boot image's program, with the script's user at the console.
    pub fn play(&self, script: Script) -> Played {
        let mut console = ScriptedConsole::new(script, self.size);
        let threads = Threads::start(self.threads).expect("threads");
        let platform = Platform {
            console: &mut console,
            storage: &mut self.volume.clone(),
            clock: &TickingClock::default(),
            entropy: &mut Counter(0),
            machine: &mut Memory(self.memory_free),
            cores: threads.cores(),
        };
        let leave = bootllm_repl::run(
            platform,
            &Options { owns_machine: true, story_pace: self.story_pace, ..Options::default() },
        );
        let done = console.is_done();
        Played { leave, output: console.output, size: self.size, done }
    }
}

/// The outcome of a script.
pub struct Played {
    /// How the program was left.
    pub leave: Leave,
    /// All output, with escape sequences.
    pub output: String,
    /// Whether the script was played to its end.
    pub done: bool,
    size: Size,
}

impl Played {
    /// All output, without styles.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut rest = self.output.as_str();
        while let Some((before, sequence)) = rest.split_once("\x1b[") {
            text.push_str(before);
            let end = sequence.find(|c: char| c.is_ascii_alphabetic()).expect("a whole sequence");
            rest = &sequence[end + 1..];
        }
        text + rest
    }

    /// The rows of the screen at the end, without trailing blanks.
    pub fn screen(&self) -> Vec<String> {
        let mut screen = Screen::new(self.size);
        screen.write(&self.output);
        let row = |row| screen.row(row).iter().map(|cell| cell.character()).collect::<String>();
        (0..self.size.rows).map(|number| row(number).trim_end().into()).collect()
    }

    /// The story that the program tells by itself.
    pub fn first_story(&self) -> &str {
        Self::story(&self.output, "or /help.\x1b[0m\n\n")
    }

    /// The text that followed this line at the prompt when it was first typed, up to the figures.
    pub fn reply_to(&self, line: &str) -> String {
        Self::reply(&self.output, line)
    }

    /// The text that followed this line at the prompt when it was last typed, up to the figures.
    pub fn last_reply_to(&self, line: &str) -> String {
        let at = self.output.rfind(&Self::typed(line)).unwrap_or_default();
        Self::reply(&self.output[at..], line)
    }

    fn typed(line: &str) -> String {
        format!(">>> {line}\x1b[0m")
    }

    fn reply(output: &str, line: &str) -> String {
        line.to_owned() + Self::story(output, &Self::typed(line))
    }

    fn story<'a>(output: &'a str, start: &str) -> &'a str {
        let found = output.split_once(start);
        let (_, rest) = found.unwrap_or_else(|| panic!("no {start:?} in {output:?}"));
        let text = rest.split_once("\n\x1b[2mprompt ").expect("the figures of a text").0;
        // Neither the mark at the end of a text that reached its length belongs to it,
        let text = text.rsplit_once("\x1b[2m…\x1b[0m\n").map_or(text, |(text, _)| text);
        // nor the line that showed how much of the prompt was read.
        match text.rsplit_once("\r\x1b[K\x1b[1A\x1b[") {
            Some((progress, after)) if progress.contains("reading ") => {
                after.split_once('C').expect("a movement").1
            }
            _ => text,
        }
    }
}

/// Files in memory.
#[derive(Clone, Default)]
struct Volume {
    files: BTreeMap<String, MemoryFile>,
    broken: Option<String>,
}

#[derive(Clone)]
struct MemoryFile {
    bytes: Rc<Vec<u8>>,
    fault: Option<Fault>,
}

impl Storage for Volume {
    fn walk(&mut self) -> Box<dyn Walk> {
        let entry = |(name, file): (&String, &MemoryFile)| Entry {
            name: name.clone(),
            size: file.bytes.len() as u64,
        };
        let step = match &self.broken {
            Some(reason) => Err(StorageError::Volume { reason: reason.clone() }),
            None => Ok(self.files.iter().map(entry).collect()),
        };
        Box::new(OneStep(Some(step)))
    }

    fn open(&mut self, name: &str) -> Result<Box<dyn ReadAt>, StorageError> {
        match self.files.get(name) {
            Some(file) if file.fault != Some(Fault::Gone) => Ok(Box::new(file.clone())),
            _ => Err(StorageError::NotFound { name: name.into() }),
        }
    }
}

/// A walk that finds everything in one step.
struct OneStep(Option<Result<Vec<Entry>, StorageError>>);

impl Walk for OneStep {
    fn folder(&self) -> &str {
        ""
    }

    fn step(&mut self) -> Option<Result<Vec<Entry>, StorageError>> {
        self.0.take()
    }

    fn skipped(&self) -> &[Skipped] {
        &[]
    }
}

impl ReadAt for MemoryFile {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        if let Some(Fault::From(bad)) = self.fault
            && offset.saturating_add(buffer.len() as u64) > bad
        {
            return Err(StorageError::Device { offset: bad, reason: "a bad sector".into() });
        }
        self.bytes.as_slice().read_at(offset, buffer)
    }
}

/// A clock that advances by 40 milliseconds each time it is read.
#[derive(Default)]
struct TickingClock(Cell<u64>);

impl Clock for TickingClock {
    fn now(&self) -> Duration {
        self.0.set(self.0.get() + 40);
        Duration::from_millis(self.0.get())
    }
}

struct Counter(u64);

impl Entropy for Counter {
    fn seed(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

struct Memory(u64);

impl Machine for Memory {
    fn memory_free(&self) -> u64 {
        self.0
    }

    fn memory_total(&self) -> u64 {
        2 * self.0
    }

    fn facts(&mut self) -> Vec<Fact> {
        vec![Fact { label: "machine", value: "made of nothing but memory".into() }]
    }
}
