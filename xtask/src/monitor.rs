//! QEMU's monitor: keys, screenshots, memory, and why a machine stopped.
//!
//! The protocol is QMP, JSON lines over a socket that QEMU connects to. Little of its answers matters
//! here, so they are searched as text.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How long QEMU may take to connect and to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The socket that QEMU's monitor connects to.
pub struct Socket(TcpListener);

impl Socket {
    /// Opens a free port of this host.
    pub fn open() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("cannot open a port for QEMU's monitor")?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Its address.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }
}

/// A connection to the monitor.
pub struct Monitor {
    stream: TcpStream,
    lines: Receiver<String>,
    /// Why the machine stopped, as QMP calls it.
    shutdown: Option<String>,
}

impl Monitor {
    /// Waits until QEMU connects.
    pub fn accept(socket: &Socket) -> Result<Self> {
        let started = Instant::now();
        let stream = loop {
            match socket.0.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if started.elapsed() > LIMIT => {
                    return Err(error).context("QEMU's monitor does not connect");
                }
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        };
        stream.set_nonblocking(false)?;
        let (sender, lines) = mpsc::channel();
        let reader = BufReader::new(stream.try_clone()?);
        thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut monitor = Self { stream, lines, shutdown: None };
        monitor.execute(r#"{"execute":"qmp_capabilities"}"#)?;
        Ok(monitor)
    }

    /// Presses a key, or several at once, by QEMU's names: `a`, `ret`, `shift-a`, `ctrl-c`.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        let keys: Vec<_> =
            keys.split('-').map(|key| format!(r#"{{"type":"qcode","data":"{key}"}}"#)).collect();
        self.execute(&format!(
            r#"{{"execute":"send-key","arguments":{{"keys":[{}]}}}}"#,
            keys.join(",")
        ))
    }

    /// Saves the screen to a file: PNG if its name says so, else PPM.
    pub fn screenshot(&mut self, file: &Path) -> Result<()> {
        let format = if file.extension().is_some_and(|extension| extension == "png") {
            "png"
        } else {
            "ppm"
        };
        let name = quoted(file);
        self.execute(&format!(
            r#"{{"execute":"screendump","arguments":{{"filename":{name},"format":"{format}"}}}}"#
        ))
    }

    /// Reads the machine's memory from a physical address on. QEMU writes it to `file` first, which
    /// stays.
    pub fn memory(&mut self, address: u64, length: u64, file: &Path) -> Result<Vec<u8>> {
        let name = quoted(file);
        self.execute(&format!(
            r#"{{"execute":"pmemsave","arguments":{{"val":{address},"size":{length},"filename":{name}}}}}"#
        ))?;
        fs::read(file).with_context(|| format!("QEMU left no {}", file.display()))
    }

    /// Why the machine stopped, if it has: `guest-shutdown`, `guest-reset` and others.
    pub fn shutdown_reason(&mut self) -> Option<&str> {
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
            self.note(&line);
        }
        self.shutdown.as_deref()
    }

    /// Executes a command of QMP.
    pub fn execute(&mut self, command: &str) -> Result<()> {
        self.stream
            .write_all(format!("{command}\n").as_bytes())
            .with_context(|| format!("QEMU's monitor does not take {command}"))?;
        loop {
            let line = self
                .lines
                .recv_timeout(LIMIT)
                .with_context(|| format!("QEMU's monitor does not answer {command}"))?;
            self.note(&line);
            if line.starts_with(r#"{"return""#) {
                return Ok(());
            }
            if line.starts_with(r#"{"error""#) {
                bail!("QEMU refuses {command}: {line}");
            }
        }
    }

    fn note(&mut self, line: &str) {
        if line.contains(r#""event": "SHUTDOWN""#) {
            self.shutdown = line
                .split_once(r#""reason": ""#)
                .and_then(|(_, rest)| rest.split_once('"'))
                .map(|(reason, _)| reason.to_owned());
        }
    }
}

/// A path as a JSON string.
fn quoted(file: &Path) -> Value {
    Value::from(file.display().to_string())
}
