//! A running virtual PC that a program types at and reads.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::Machine;
use crate::monitor::{Monitor, Socket};
use crate::process;
use crate::project::Project;
use crate::setup::Emulator;
use crate::transcript::Transcript;

/// The prompt of the boot program.
const PROMPT: &str = ">>> ";
/// How long nothing may follow a prompt. Until then it could be a part of a text.
const QUIET: Duration = Duration::from_millis(150);

/// Firmware waits two seconds after an ESC for the rest of an escape sequence, and would take what is
/// typed in that time for it.
const AFTER_ESCAPE: Duration = Duration::from_millis(2500);

/// Receives the transcript piece by piece.
pub type Output = Box<dyn FnMut(&str) + Send>;

/// A running machine. Dropping it switches it off.
pub struct Guest {
    child: Child,
    keys: Option<ChildStdin>,
    serial: Receiver<Vec<u8>>,
    /// Every byte that the machine wrote to its serial port.
    pub received: Vec<u8>,
    transcript: Transcript,
    output: Output,
    /// QEMU's monitor, if the machine has one.
    pub monitor: Option<Monitor>,
    /// How long the machine may write nothing while something is expected.
    pub timeout: Duration,
    /// Lines in the transcript when something was last typed: an earlier prompt is no answer.
    lines_before: Option<usize>,
    escaped: Option<Instant>,
    /// Whether the size of the terminal was reported. Once is enough: it does not change, and the
    /// report could fall into what is typed.
    size_reported: bool,
    ended: bool,
}

/// Why waiting for a prompt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// The program waits for a line.
    Prompt,
    /// The machine has stopped.
    End,
}

impl Guest {
    /// Switches a machine on. Its transcript goes to `output`.
    pub fn start(
        machine: &Machine,
        project: &Project,
        emulator: &Emulator,
        output: Output,
    ) -> Result<Self> {
        let mut command = machine.command(project, emulator)?;
        if !machine.monitor {
            return Self::spawn(&mut command, output);
        }
        let socket = Socket::open()?;
        command.arg("-qmp").arg(format!("tcp:{}", socket.address()?));
        let mut guest = Self::spawn(&mut command, output)?;
        guest.monitor = Some(Monitor::accept(&socket)?);
        Ok(guest)
    }

    fn spawn(command: &mut Command, output: Output) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", process::line(command)))?;
        let mut stdout = child.stdout.take().context("QEMU has no standard output")?;
        let (sender, serial) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            keys: child.stdin.take(),
            child,
            serial,
            received: Vec::new(),
            transcript: Transcript::default(),
            output,
            monitor: None,
            timeout: Duration::from_secs(180),
            lines_before: None,
            escaped: None,
            size_reported: false,
            ended: false,
        })
    }

    /// Waits until the program waits for a line, or the machine stops.
    pub fn wait_for_prompt(&mut self) -> Result<WaitEnd> {
        loop {
            let (before, after) = self.transcript.at_cursor();
            let answered = self.lines_before.is_none_or(|lines| self.transcript.lines() > lines);
            let at_prompt = answered && before == PROMPT && after.trim().is_empty();
            let wait = if at_prompt { QUIET } else { self.timeout };
            match self.read(wait)? {
                Received::Text => {}
                Received::End => return Ok(WaitEnd::End),
                Received::Nothing if at_prompt => return Ok(WaitEnd::Prompt),
                Received::Nothing => self.lost("the prompt")?,
            }
        }
    }

    /// Waits until the machine has written this text, in [`received`](Self::received) from this index
    /// on.
    pub fn wait_for(&mut self, text: &str, from: usize) -> Result<()> {
        loop {
            let received = &self.received[from.min(self.received.len())..];
            if received.windows(text.len()).any(|window| window == text.as_bytes()) {
                return Ok(());
            }
            match self.read(self.timeout)? {
                Received::Text => {}
                Received::End => bail!(
                    "the machine stopped before it wrote {text:?}; last lines:\n{}",
                    self.transcript.tail(8)
                ),
                Received::Nothing => self.lost(&format!("{text:?}"))?,
            }
        }
    }

    /// Types text, without Enter.
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        if let Some(escaped) = self.escaped.take() {
            while escaped.elapsed() < AFTER_ESCAPE && !self.ended {
                self.read(AFTER_ESCAPE.saturating_sub(escaped.elapsed()))?;
            }
        }
        self.escaped = text.ends_with('\x1b').then(Instant::now);
        self.lines_before = Some(self.transcript.lines());
        let keys = self.keys.as_mut().context("the machine has no serial input")?;
        keys.write_all(text.as_bytes())
            .and_then(|()| keys.flush())
            .context("the machine takes no more input")
    }

    /// Types a line and presses Enter.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.type_text(&format!("{line}\r"))
    }

    /// Waits until the machine stops by itself.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus> {
        loop {
            match self.read(self.timeout)? {
                Received::Text => {}
                Received::End => break,
                Received::Nothing => self.lost("the end")?,
            }
        }
        // Its output has ended, so it is about to exit.
        let started = Instant::now();
        while started.elapsed() < self.timeout {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("QEMU closed its output but does not exit")
    }

    /// Waits until the machine stops; an error unless the program in it powered it off.
    pub fn expect_power_off(&mut self) -> Result<()> {
        let status = self.wait_for_end()?;
        if !status.success() {
            bail!("QEMU failed ({status})");
        }
        if let Some(monitor) = &mut self.monitor {
            match monitor.shutdown_reason() {
                Some("guest-shutdown") => {}
                Some("guest-reset") => bail!("the machine was reset instead of switched off"),
                other => bail!("the machine stopped otherwise ({})", other.unwrap_or("unknown")),
            }
        }
        Ok(())
    }

    /// Passes on the rest of the transcript, settled or not.
    pub fn finish_transcript(&mut self) {
        let text = self.transcript.take_all();
        if !text.is_empty() {
            (self.output)(&text);
        }
    }

    /// Answers the program that asks for the size of the terminal.
    fn report_size(&mut self) -> Result<()> {
        if let Some(report) = self.transcript.take_size_report()
            && !self.size_reported
            && let Some(keys) = &mut self.keys
        {
            self.size_reported = true;
            let written = keys.write_all(report.as_bytes()).and_then(|()| keys.flush());
            written.context("the machine takes no keys")?;
        }
        Ok(())
    }

    fn lost(&self, what: &str) -> Result<()> {
        bail!(
            "waited {} s for {what}, and the machine wrote nothing; last lines:\n{}",
            self.timeout.as_secs(),
            self.transcript.tail(8)
        )
    }

    /// Reads what the machine writes within this time.
    fn read(&mut self, wait: Duration) -> Result<Received> {
        if self.ended {
            return Ok(Received::End);
        }
        let started = Instant::now();
        loop {
            let left = wait.saturating_sub(started.elapsed());
            // Rows settle while the machine writes nothing.
            let heard = self.serial.recv_timeout(left.min(Duration::from_millis(200)));
            if let Ok(bytes) = &heard {
                self.transcript.write(bytes);
                self.received.extend(bytes);
                self.report_size()?;
            }
            let settled = self.transcript.take_settled(Instant::now());
            if !settled.is_empty() {
                (self.output)(&settled);
            }
            match heard {
                Ok(_) => return Ok(Received::Text),
                Err(RecvTimeoutError::Disconnected) => {
                    self.ended = true;
                    return Ok(Received::End);
                }
                Err(RecvTimeoutError::Timeout) if started.elapsed() >= wait => {
                    return Ok(Received::Nothing);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

enum Received {
    Text,
    Nothing,
    End,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A shell script in place of a machine, and its transcript.
    fn guest(script: &str) -> (Guest, Arc<Mutex<String>>) {
        let transcript = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&transcript);
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let output = Box::new(move |text: &str| copy.lock().unwrap().push_str(text));
        let mut guest = Guest::spawn(&mut command, output).unwrap();
        guest.timeout = Duration::from_secs(20);
        (guest, transcript)
    }

    /// Prints a prompt after a while, reads a line, answers, and so on.
    const PROGRAM: &str = r#"
        printf 'firmware\r\n>>> is not a prompt\r\n'
        while printf '>>> '; read line; do
            sleep 0.3
            printf '%s\r\n' "$line"
            [ "$line" = /exit ] && exit 0
            printf 'you said: '
            sleep 0.05
            printf '%s\r\n' "$line"
        done"#;

    #[test]
    fn lines_are_typed_at_prompts() {
        let (mut guest, transcript) = guest(PROGRAM);
        for line in ["one\n", "two\n"] {
            assert_eq!(guest.wait_for_prompt().unwrap(), WaitEnd::Prompt);
            guest.type_text(line).unwrap();
        }
        assert_eq!(guest.wait_for_prompt().unwrap(), WaitEnd::Prompt);
        guest.type_text("/exit\n").unwrap();
        guest.expect_power_off().unwrap();
        guest.finish_transcript();
        assert_eq!(
            *transcript.lock().unwrap(),
            "firmware\n>>> is not a prompt\n>>> one\nyou said: one\n>>> two\nyou said: two\n\
             >>> /exit\n"
        );
    }

    #[test]
    fn a_machine_that_stops_early_is_no_prompt() {
        let (mut guest, _) = guest("echo only this");
        assert_eq!(guest.wait_for_prompt().unwrap(), WaitEnd::End);
        let error = guest.wait_for("more", 0).unwrap_err().to_string();
        assert!(error.ends_with(":\nonly this"), "{error}");
    }

    #[test]
    fn silence_ends_the_waiting_with_the_last_lines() {
        let (mut guest, _) = guest("echo loading; exec sleep 600");
        guest.timeout = Duration::from_millis(300);
        let error = guest.wait_for_prompt().unwrap_err().to_string();
        assert!(error.ends_with(":\nloading"), "{error}");
    }

    #[test]
    fn a_machine_that_fails_did_not_power_off() {
        let (mut guest, _) = guest("exit 3");
        assert!(guest.expect_power_off().is_err());
    }
}
