//! `bootllm run`: writes a text, or chats.

use crate::arguments::{Arithmetic, ThreadCount};
use crate::stop::StopKeys;
use anyhow::{Context, Result, bail};
use bootllm_chat::{Conversation, End, GenerateError, Generation, Step, render_llama2, report};
use bootllm_cores::Cores;
use bootllm_engine::{RunError, Session};
use bootllm_host::{ProgressBar, StdClock, StdoutSink, eprint_line, random_seed, read_input};
use bootllm_platform::Clock;
use bootllm_sampling::{Sampler, SamplerSettings};
use bootllm_tokenizer::Tokenizer;
use clap::{Args, ValueEnum};
use std::io::{BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

const DETAILS: &str = "\
The prompt is the second argument, or that of -i; -i - reads it from standard input. Without one it is
read from standard input if that is not a terminal, without the line end there; in a chat standard
input has the questions instead.";

/// The options have the letters of llama2.c's `run`.
#[derive(Args)]
#[command(after_help = DETAILS)]
pub struct Arguments {
    /// A model file, or the name of one in models/ or target/models/
    model: PathBuf,
    /// The beginning of the text; in a chat, the first question
    #[arg(value_name = "PROMPT", conflicts_with = "prompt")]
    text: Option<String>,
    /// 0 always takes the most likely token, 1 draws from the model's probabilities, more is bolder
    #[arg(short, long, default_value_t = 1.0, value_parser = not_negative, allow_hyphen_values = true)]
    temperature: f32,
    /// Draw among the most likely tokens that together have this probability; 0 or 1: among all
    #[arg(short = 'p', long, default_value_t = 0.9, value_parser = share, allow_hyphen_values = true)]
    top_p: f32,
    /// The same seed writes the same text; 0: another seed every time
    #[arg(short, long, default_value_t = 0, value_parser = seed, allow_hyphen_values = true)]
    seed: u64,
    /// Tokens at most, including the prompt; 0: as many as the context holds
    #[arg(short = 'n', long, default_value_t = 256)]
    length: usize,
    /// The same as PROMPT; - reads it from standard input
    #[arg(short = 'i', long, allow_hyphen_values = true)]
    prompt: Option<String>,
    /// The tokenizer [default: the one inside the model, or NAME.tokenizer.bin or tokenizer.bin
    /// beside it]
    #[arg(short = 'z', long)]
    tokenizer: Option<PathBuf>,
    /// Write a text, or chat
    #[arg(short, long, value_enum, default_value_t = Mode::Generate)]
    mode: Mode,
    /// The system prompt of a chat
    #[arg(short = 'y', long, allow_hyphen_values = true)]
    system: Option<String>,
    /// Use fewer positions than the model has, to save memory
    #[arg(long)]
    context: Option<usize>,
    #[command(flatten)]
    arithmetic: Arithmetic,
    #[command(flatten)]
    threads: ThreadCount,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Generate,
    Chat,
}

fn not_negative(text: &str) -> Result<f32, String> {
    let number: f32 = text.parse().map_err(|_| "not a number".to_string())?;
    if (0.0..f32::INFINITY).contains(&number) {
        // −0 is 0.
        Ok(number.abs())
    } else {
        Err("it must be 0 or more".into())
    }
}

fn share(text: &str) -> Result<f32, String> {
    not_negative(text)
        .ok()
        .filter(|&share| share <= 1.0)
        .ok_or("it must be a number from 0 to 1".into())
}

impl Arguments {
    /// The prompt: an argument, or standard input.
    fn prompt(&self) -> Result<Option<String>> {
        let given = self.text.as_ref().or(self.prompt.as_ref());
        let is_chat = matches!(self.mode, Mode::Chat);
        match given.map(String::as_str) {
            Some("-") if self.text.is_none() && is_chat => {
                bail!("in a chat standard input has the questions, so -i - cannot read it")
            }
            Some("-") if self.text.is_none() => read_input().map(Some),
            Some(prompt) => Ok(Some(prompt.into())),
            None if is_chat || std::io::stdin().is_terminal() => Ok(None),
            None => read_input().map(Some),
        }
    }
}

/// A negative seed is the one of llama2.c with the same 64 bits.
fn seed(text: &str) -> Result<u64, String> {
    let negative = || text.parse::<i64>().map(i64::cast_unsigned);
    text.parse().or_else(|_| negative()).map_err(|_| "it must be a whole number".into())
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut opened = bootllm_host::open(&arguments.model)?;
    let prompt = arguments.prompt()?;
    let tokenizer = Arc::new(opened.tokenizer(arguments.tokenizer.as_deref())?);
    let threads = arguments.threads.start()?;
    let model = arguments.arithmetic.load(&mut opened, threads.cores(), arguments.context)?;
    let seed = if arguments.seed == 0 { random_seed() } else { arguments.seed };
    let settings = SamplerSettings { temperature: arguments.temperature, top_p: arguments.top_p };
    let sampler = Sampler::new(settings.chain(seed), tokenizer.len())?;
    let session = Session::with_kv_format(&model, threads.cores(), arguments.arithmetic.kv)
        .with_context(|| arguments.model.display().to_string())?;
    match arguments.mode {
        Mode::Generate => {
            let prompt = tokenizer.encode(&prompt.unwrap_or_default(), true, false);
            write_text(session, tokenizer, sampler, &prompt, arguments.length)?;
        }
        Mode::Chat => chat(session, tokenizer, sampler, threads.cores(), prompt, arguments)?,
    }
    if arguments.seed == 0 && arguments.temperature != 0.0 {
        eprint_line(&format!("seed {seed}"));
    }
    Ok(())
}

fn write_text(
    mut session: Session<'_>,
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    prompt: &[u32],
    length: usize,
) -> Result<()> {
    let clock = StdClock::new();
    let mut text = Generation::text(tokenizer, sampler, prompt, length, &session.sequence)?;
    let mut output = StdoutSink::default();
    let mut flow = output.show(text.prompt());
    while flow.is_continue() {
        let Session { engine, sequence, .. } = &mut session;
        let never = &mut || ControlFlow::Continue(());
        match text.step(engine, sequence, &clock, never)? {
            Step::Reading { .. } => {}
            Step::Text(piece) => flow = output.show(piece),
            Step::Done(_, rest) => {
                let _ = output.show(rest);
                break;
            }
        }
    }
    let _ = output.show("\n");
    output.result()?;
    eprint_line(&report::summary(&text.report()));
    Ok(())
}

/// Reads questions from standard input and writes answers to standard output; the prompts go to
/// standard error. At a terminal Esc and Ctrl+C stop an answer, or reading a question.
fn chat(
    mut session: Session<'_>,
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    cores: &dyn Cores,
    mut first: Option<String>,
    arguments: &Arguments,
) -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let mut ask = |question: &str| -> Result<Option<String>> {
        cores.park();
        show_prompt(question);
        lines.next().transpose().context("standard input")
    };
    let mut system = match &arguments.system {
        Some(system) => Some(system.clone()),
        None => ask("Enter system prompt (optional): ")?,
    };
    let length = arguments.length;
    let mut conversation = Conversation::new(tokenizer, sampler, &mut session.sequence, length);
    let mut output = StdoutSink::default();
    while !conversation.is_full(&session.sequence) {
        let Some(user) = first.take().map_or_else(|| ask("User: "), |user| Ok(Some(user)))? else {
            break;
        };
        let rendered = render_llama2(system.as_deref(), &user);
        let mut turn = conversation.begin_turn(&rendered, &session.sequence)?;
        answer(&mut session, &mut turn, &mut output)?;
        match conversation.end_turn(turn, &mut session.sequence) {
            // The system prompt goes with the next question.
            true => eprint_line("(not read)"),
            false => {
                system = None;
                let _ = output.show("\n");
            }
        }
        output.result()?;
    }
    Ok(())
}

/// Writes an answer as it is generated, until it ends or is stopped.
fn answer(session: &mut Session<'_>, turn: &mut Generation, output: &mut StdoutSink) -> Result<()> {
    let (clock, keys) = (StdClock::new(), StopKeys::watch());
    let Session { engine, sequence, .. } = session;
    let mut bar = ProgressBar::new("reading");
    let mut pressed =
        || if keys.pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let mut answers = false;
    let mut show = |bar: &mut ProgressBar, text: &str| {
        if !answers {
            answers = true;
            bar.clear();
            show_prompt("Assistant: ");
        }
        output.show(&keys.shown(text))
    };
    loop {
        match turn.step(engine, sequence, &clock, &mut pressed) {
            Ok(Step::Reading { done, total }) => bar.show_tokens(done, total, clock.now()),
            Ok(Step::Text(piece)) => {
                if show(&mut bar, piece).is_break() {
                    break;
                }
            }
            Ok(Step::Done(End::Finished | End::Length, rest)) => {
                let _ = show(&mut bar, rest);
                break;
            }
            Err(GenerateError::Run(RunError::Stopped)) => break,
            Err(error) => {
                bar.clear();
                return Err(error.into());
            }
        }
    }
    bar.clear();
    Ok(())
}

fn show_prompt(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
}
