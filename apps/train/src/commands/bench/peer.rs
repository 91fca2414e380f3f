//! Another trainer, to compare speed with.

use anyhow::{Context, Result, bail};
use bootllm_train::error::TrainError;
use bootllm_train::shape::Shape;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A program that makes a training step for every line it reads.
pub struct Peer {
    command: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts the program and waits until it is ready.
    pub fn start(command: &str, shape: &Shape, sequences: usize, sequence: usize) -> Result<Self> {
        let mut words = command.split_whitespace();
        let program = words.next().ok_or(TrainError::option("against", "a command"))?;
        let numbers = [
            ("dim", shape.dim),
            ("layers", shape.layers),
            ("heads", shape.heads),
            ("kv_heads", shape.kv_heads),
            ("hidden", shape.hidden_dim),
            ("vocabulary", shape.vocab_size),
            ("sequences", sequences),
            ("sequence", sequence),
        ];
        let mut child = Command::new(program)
            .args(words)
            .args(numbers.iter().map(|(name, number)| format!("--{name}={number}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| program.to_owned())?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.context("no pipes to the peer")?;
        let output = BufReader::new(output);
        let mut peer = Peer { command: command.to_owned(), child, input, output };
        match peer.line()?.as_str() {
            "ready" => Ok(peer),
            other => bail!(peer.error(format!("printed \"{other}\" instead of \"ready\""))),
        }
    }

    /// Makes a step and returns its seconds.
    pub fn step(&mut self) -> Result<f64> {
        writeln!(self.input).with_context(|| self.command.clone())?;
        let line = self.line()?;
        line.parse()
            .map_err(|_| self.error(format!("printed \"{line}\" instead of seconds")).into())
    }

    fn error(&self, problem: String) -> TrainError {
        TrainError::Peer { command: self.command.clone(), problem }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line).with_context(|| self.command.clone())? == 0 {
            bail!(self.error("ended; its output is above".into()));
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
