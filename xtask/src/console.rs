//! QEMU on the user's terminal.

use std::io::{self, IsTerminal, Read, Write, stdin, stdout};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;

/// How to leave, shown above the firmware's first line.
const HINT: &str = "(to leave QEMU: /exit at the prompt, or Ctrl+] and then x)\r\n";

/// Runs QEMU with this terminal as the machine's console until the machine is off, and leaves the
/// terminal as it was.
pub fn run(command: &mut Command) -> Result<()> {
    let _restored = TerminalState::save();
    let shown = process::line(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let output = child.stdout.take().context("QEMU has no standard output")?;
    pass_on(output, &mut stdout().lock())?;
    let status = child.wait()?;
    if !status.success() {
        bail!("QEMU failed ({status})");
    }
    Ok(())
}

/// Passes on what the machine writes, with the hint after the screen was cleared.
fn pass_on(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut hint = HintAfterClear::default();
    let mut buffer = [0; 4096];
    let mut shown = Vec::new();
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        shown.clear();
        hint.pass(&buffer[..length], &mut shown);
        to.write_all(&shown)?;
        to.flush()?;
    }
}

/// Puts the hint before the first text after each time the screen is cleared (`ESC [ 2 J`): firmware
/// clears it when it starts, with everything that was printed before.
#[derive(Default)]
struct HintAfterClear {
    state: State,
    /// The screen was cleared, and no text has come since.
    cleared: bool,
}

/// Where in an escape sequence the stream is.
#[derive(Default)]
enum State {
    #[default]
    Text,
    Escape,
    /// After `ESC [`: the parameters, up to a few bytes.
    Sequence(Vec<u8>),
}

impl HintAfterClear {
    fn pass(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        for &byte in bytes {
            match &mut self.state {
                State::Text if byte == 0x1b => self.state = State::Escape,
                State::Text => {
                    if self.cleared && byte >= b' ' {
                        shown.extend(HINT.as_bytes());
                        self.cleared = false;
                    }
                }
                State::Escape if byte == b'[' => self.state = State::Sequence(Vec::new()),
                State::Escape => self.state = State::Text,
                State::Sequence(parameters) => {
                    if byte.is_ascii_alphabetic() || parameters.len() > 16 {
                        self.cleared |= byte == b'J' && parameters == b"2";
                        self.state = State::Text;
                    } else {
                        parameters.push(byte);
                    }
                }
            }
            shown.push(byte);
        }
    }
}

/// The terminal's settings, restored when this is dropped. QEMU restores them too unless it crashes.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    /// How OVMF starts: it clears the screen several times before its first text.
    const FIRMWARE: &str =
        "\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: loading\r\nmore\r\n";

    #[test]
    fn the_hint_survives_that_the_firmware_clears_the_screen() {
        // In chunks of any size.
        for size in [1, 3, 4096] {
            let mut hint = HintAfterClear::default();
            let mut shown = Vec::new();
            for chunk in FIRMWARE.as_bytes().chunks(size) {
                hint.pass(chunk, &mut shown);
            }
            let mut transcript = Transcript::default();
            transcript.write(&shown);
            let read = transcript.take_all();
            assert_eq!(read, format!("{}\nBdsDxe: loading\nmore\n", HINT.trim_end()));
        }
    }

    #[test]
    fn everything_else_is_passed_on_as_it_is() {
        let sent = b"text\x1b[K\x1b[2;1H\x1b[J\xff \xc3\xa9\x1b]0;t\x07\x1b";
        let mut shown = Vec::new();
        pass_on(&sent[..], &mut shown).unwrap();
        assert_eq!(shown, sent);
    }
}
