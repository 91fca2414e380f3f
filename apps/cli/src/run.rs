//! `bootllm run`: writes a text, or answers in turns.

use crate::arguments::{Arithmetic, ThreadCount};
use crate::stop::StopKeys;
use anyhow::{Context, Result};
use bootllm_chat::{Conversation, End, GenerateError, Generation, Step, render_llama2, report};
use bootllm_cores::Cores;
use bootllm_engine::{RunError, Session};
use bootllm_host::{Output, ProgressBar, StdClock, random_seed, remark};
use bootllm_platform::Clock;
use bootllm_sampling::{Sampler, Settings};
use bootllm_tokenizer::Tokenizer;
use clap::{Args, ValueEnum};
use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// The letters are those of llama2.c's `run`.
#[derive(Args)]
pub struct Arguments {
    /// A model in one of llama2.c's formats, or GGUF
    model: PathBuf,
    /// 0: always the likeliest word; 1: the model's own chances; more: bolder
    #[arg(short, long, default_value_t = 1.0, value_parser = not_negative, allow_hyphen_values = true)]
    temperature: f32,
    /// Choose among the likeliest words with this share of all chances; 0 or 1: among all
    #[arg(short = 'p', long, default_value_t = 0.9, value_parser = share, allow_hyphen_values = true)]
    top_p: f32,
    /// The same seed writes the same text; 0: another one every time
    #[arg(short, long, default_value_t = 0, value_parser = seed, allow_hyphen_values = true)]
    seed: u64,
    /// The most tokens, the prompt's included; 0: as many as the context holds
    #[arg(short = 'n', long, default_value_t = 256)]
    length: usize,
    /// The beginning of the text; in a chat, the first question
    #[arg(short = 'i', long, allow_hyphen_values = true)]
    prompt: Option<String>,
    /// The tokenizer; else what is inside the model, or NAME.tokenizer.bin or tokenizer.bin beside it
    #[arg(short = 'z', long)]
    tokenizer: Option<PathBuf>,
    /// Write a text, or answer in turns
    #[arg(short, long, value_enum, default_value_t = Mode::Generate)]
    mode: Mode,
    /// What the model is told before a chat
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
        Ok(number)
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

/// Negative seeds are llama2.c's: the same 64 bits.
fn seed(text: &str) -> Result<u64, String> {
    let negative = || text.parse::<i64>().map(i64::cast_unsigned);
    text.parse().or_else(|_| negative()).map_err(|_| "it must be a whole number".into())
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut opened = bootllm_host::open(&arguments.model)?;
    let tokenizer = Arc::new(opened.tokenizer(arguments.tokenizer.as_deref())?);
    let threads = arguments.threads.start()?;
    let model = arguments.arithmetic.load(&mut opened, threads.cores(), arguments.context)?;
    let seed = if arguments.seed == 0 { random_seed() } else { arguments.seed };
    let settings = Settings { temperature: arguments.temperature, top_p: arguments.top_p };
    let sampler = Sampler::new(&settings, seed, tokenizer.len())?;
    let session = Session::with_kv_format(&model, threads.cores(), arguments.arithmetic.kv)
        .with_context(|| arguments.model.display().to_string())?;
    match arguments.mode {
        Mode::Generate => write_text(session, tokenizer, sampler, arguments)?,
        Mode::Chat => chat(session, tokenizer, sampler, threads.cores(), arguments)?,
    }
    if arguments.seed == 0 && arguments.temperature != 0.0 {
        remark(&format!("seed {seed}"));
    }
    Ok(())
}

fn write_text(
    mut session: Session<'_>,
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    arguments: &Arguments,
) -> Result<()> {
    let prompt = arguments.prompt.as_deref().unwrap_or_default();
    let prompt = tokenizer.encode(prompt, true, false);
    let clock = StdClock::new();
    let (length, sequence) = (arguments.length, &session.sequence);
    let mut text = Generation::text(tokenizer, sampler, &prompt, length, sequence)?;
    let mut output = Output::default();
    let mut go_on = output.show(text.prompt());
    while go_on.is_continue() {
        let Session { engine, sequence, .. } = &mut session;
        let never = &mut || ControlFlow::Continue(());
        match text.step(engine, sequence, &clock, never)? {
            Step::Reading { .. } => {}
            Step::Text(piece) => go_on = output.show(piece),
            Step::Done(_, rest) => {
                let _ = output.show(rest);
                break;
            }
        }
    }
    let _ = output.show("\n");
    output.result()?;
    remark(&report::summary(&text.report()));
    Ok(())
}

/// Questions from standard input, answers on standard output; what asks for the questions goes to
/// standard error. At a terminal Esc and Ctrl+C stop an answer, or the reading of a question.
fn chat(
    mut session: Session<'_>,
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    cores: &dyn Cores,
    arguments: &Arguments,
) -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let mut ask = |question: &str| -> Result<Option<String>> {
        cores.park();
        prompt(question);
        lines.next().transpose().context("standard input")
    };
    let mut system = match &arguments.system {
        Some(system) => Some(system.clone()),
        None => ask("Enter system prompt (optional): ")?,
    };
    let mut first = arguments.prompt.clone();
    let length = arguments.length;
    let mut conversation = Conversation::new(tokenizer, sampler, &mut session.sequence, length);
    let mut output = Output::default();
    while !conversation.is_full(&session.sequence) {
        let Some(user) = first.take().map_or_else(|| ask("User: "), |user| Ok(Some(user)))? else {
            break;
        };
        let rendered = render_llama2(system.as_deref(), &user);
        let mut turn = conversation.begin_turn(&rendered, &session.sequence)?;
        answer(&mut session, &mut turn, &mut output)?;
        match conversation.end_turn(turn, &mut session.sequence) {
            // The system prompt goes with the next question.
            true => remark("(not read)"),
            false => {
                system = None;
                let _ = output.show("\n");
            }
        }
        output.result()?;
    }
    Ok(())
}

/// Writes an answer as it comes, until it is over or stopped.
fn answer(session: &mut Session<'_>, turn: &mut Generation, output: &mut Output) -> Result<()> {
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
            prompt("Assistant: ");
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

fn prompt(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
}
