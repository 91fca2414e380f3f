//! `cargo xtask run`: the image in a virtual PC.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::guest::Guest;
use crate::machine::{Attachment, Machine, Screen, Serial};
use crate::models::Named;
use crate::project::Project;
use crate::setup::{self, Emulator};
use crate::target::CoreFrom;
use crate::{image, process, program, script};

/// What to run, and on what.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    named: Named,

    /// Boot this image instead of making one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["models", "embed"])]
    image: Option<PathBuf>,

    /// The machine's memory, such as 512M or 2G.
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,

    /// The machine's processors.
    #[arg(long, value_name = "N", default_value_t = 1)]
    cpus: u32,

    /// How the disk is attached.
    #[arg(long, value_enum, default_value = "virtio")]
    disk: Attachment,

    /// Show the machine's screen in a window too.
    #[arg(long)]
    window: bool,

    /// Type the lines of this file at the prompt, then switch off; the transcript goes to
    /// standard output. Lines `#wait-for TEXT`, `#key NAME` and `#type TEXT` are directives.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,

    /// What runs the processors, instead of the fastest that works: tcg, kvm, hvf, whpx.
    #[arg(long, value_name = "NAME")]
    accelerator: Option<String>,

    /// The UEFI firmware to use (its file of code).
    #[arg(long, value_name = "FILE")]
    ovmf: Option<PathBuf>,
}

/// `cargo xtask run`.
pub fn task(project: &Project, core: CoreFrom, options: &Options) -> Result<()> {
    // What is wrong with a script is said before anything takes time.
    let steps = options.script.as_deref().map(script::read).transpose()?;
    let mut spent = Spent::default();
    let emulator = setup::emulator(options.ovmf.as_deref())?;
    let (disk, models_size) = match &options.image {
        Some(image) if image.is_file() => {
            spent.on("setup check");
            (image.clone(), image.metadata()?.len())
        }
        Some(image) => bail!("there is no image {}", image.display()),
        None => make_image(project, core, &options.named, &mut spent)?,
    };

    let mut machine = Machine::new(disk);
    machine.memory = options.memory.clone().unwrap_or_else(|| memory_for(models_size));
    machine.cpus = options.cpus;
    machine.attachment = options.disk;
    machine.accelerator = options.accelerator.clone();
    if options.window {
        machine.screen = Screen::Window(display(&emulator)?);
    }
    eprintln!("  {}", spent.line());
    match steps {
        Some(steps) => {
            machine.monitor = true;
            let output = Box::new(|text: &str| {
                let mut stdout = stdout();
                // Nobody reads it any more: the script is played to its end all the same.
                let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            });
            let mut guest = Guest::start(&machine, project, &emulator, output)?;
            script::play(&mut guest, &steps)
        }
        None => {
            machine.serial = Serial::Terminal;
            eprintln!("  to leave: /exit at the prompt, or Ctrl+] and then x\n");
            let command = machine.command(project, &emulator)?;
            on_terminal(command)
        }
    }
}

/// Builds the program and makes the image. Gives its path and the size of the models.
fn make_image(
    project: &Project,
    core: CoreFrom,
    named: &Named,
    spent: &mut Spent,
) -> Result<(PathBuf, u64)> {
    let (embedded, models) = named.chosen(project)?;
    let target = setup::target(project, core)?;
    spent.on("setup check");
    let program = program::build(project, &target, embedded.as_ref())?;
    spent.on("program");
    let contents = image::gather(&program, embedded.as_ref(), &models)?;
    for line in &contents.described {
        eprintln!("  {line}");
    }
    let file = project.boot().join("run.img");
    image::write(&file, &contents.entries)?;
    spent.on("image");
    Ok((file, image::content_size(&contents.entries)))
}

/// Memory that these bytes of models can be loaded into, with room for firmware and a cache.
fn memory_for(models: u64) -> String {
    const STEP: u64 = 512;
    let needed = 256 + models.div_ceil(1 << 20) * 5 / 2;
    format!("{}M", needed.next_multiple_of(STEP))
}

/// The kind of window that this QEMU can open.
fn display(emulator: &Emulator) -> Result<&'static str> {
    let known = process::output(Command::new(&emulator.qemu).args(["-display", "help"]))?;
    let has = |name: &&str| known.lines().any(|line| line.trim() == *name);
    match ["gtk", "sdl", "cocoa"].into_iter().find(|name| has(name)) {
        Some(display) => Ok(display),
        None => bail!(
            "this QEMU cannot open a window; install its graphical part (on Debian and Ubuntu: \
             qemu-system-gui)"
        ),
    }
}

/// Runs QEMU on this terminal and leaves the terminal as it was.
fn on_terminal(mut command: Command) -> Result<()> {
    let _restored = TerminalState::save();
    let status =
        command.status().with_context(|| format!("cannot start `{}`", process::line(&command)))?;
    if !status.success() {
        bail!("QEMU failed ({status})");
    }
    Ok(())
}

/// The terminal's settings, put back when this is dropped. QEMU does so itself unless it crashes.
struct TerminalState(Option<String>);

impl TerminalState {
    fn save() -> Self {
        let saved = stdin().is_terminal().then(|| stty(&["-g"])).flatten();
        Self(saved)
    }
}

impl Drop for TerminalState {
    fn drop(&mut self) {
        if let Some(saved) = &self.0 {
            stty(&[saved]);
        }
    }
}

fn stty(arguments: &[&str]) -> Option<String> {
    let output = Command::new("stty").args(arguments).stdin(Stdio::inherit()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// What the time until the start was spent on.
struct Spent {
    since: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Default for Spent {
    fn default() -> Self {
        Self { since: Instant::now(), parts: Vec::new() }
    }
}

impl Spent {
    /// The time since the last call went here.
    fn on(&mut self, what: &'static str) {
        self.parts.push((what, self.since.elapsed()));
        self.since = Instant::now();
    }

    fn line(&self) -> String {
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|(what, time)| format!("{what} {:.1} s", time.as_secs_f64()))
            .collect();
        format!("until the start: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_the_models() {
        let mb = 1 << 20;
        for (models, memory) in [(0, "512M"), (100 * mb, "512M"), (438 * mb, "1536M")] {
            assert_eq!(memory_for(models), memory);
        }
    }
}
