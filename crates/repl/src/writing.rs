//! Reading a prompt, and writing the text after it.

use crate::chat::Unfinished;
use crate::progress_line::ProgressLine;
use crate::state::State;
use crate::{World, prompt};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use bootllm_chat::{End, GenerateError, Generation, Report, Step, short_seed};
use bootllm_engine::RunError;
use bootllm_platform::{Event, Key};
use bootllm_sampling::Sampler;
use bootllm_units as units;
use core::time::Duration;

/// A text that is being written.
pub(crate) struct Writing {
    text: Generation,
    /// The seed, if chance decides.
    seed: Option<u64>,
    progress: ProgressLine,
    /// Text that is shown more slowly than it is computed.
    paced: Option<Paced>,
    /// Whether the text is over; what is paced may be shown still.
    over: bool,
}

/// Text that waits to be shown, at a pace at which it can be read.
struct Paced {
    pace: Duration,
    /// When the next piece is shown.
    due: Duration,
    text: String,
    /// Bytes of `text` shown, and the ends of the pieces after them.
    shown: usize,
    ends: VecDeque<usize>,
}

impl Writing {
    /// Starts the text that begins with `beginning`. The cursor is in this column, after it.
    pub(crate) fn begin(world: &mut World<'_>, beginning: &str, column: usize) -> State {
        match Writing::new(world, beginning, column) {
            Ok(writing) => State::Writing(Box::new(writing)),
            Err(problem) => {
                world.terminal.write("\n");
                world.terminal.problem(&problem);
                prompt::begin(world)
            }
        }
    }

    fn new(world: &mut World<'_>, beginning: &str, column: usize) -> Result<Self, String> {
        let settings = world.settings;
        let Some(chat) = &mut world.chat else { return Err("no model is loaded".into()) };
        let seed = settings.seed.unwrap_or_else(|| short_seed(world.entropy.seed()));
        let tokens = chat.tokenizer.encode(beginning, true, false);
        let sampler = Sampler::new(settings.sampling.chain(seed), chat.tokenizer.len())
            .map_err(|_| String::from("cannot allocate the memory to choose tokens"))?;
        chat.unfinished = None;
        chat.sequence.rewind(0);
        let tokenizer = chat.tokenizer.clone();
        let text = Generation::text(tokenizer, sampler, &tokens, settings.length, &chat.sequence)
            .map_err(|error| format!("{error}"))?;
        chat.last_prompt = tokens;
        let pace = world.options.story_pace.filter(|_| world.boot_times.is_some());
        let paced = pace.map(|pace| Paced {
            pace,
            due: world.clock.now(),
            text: String::new(),
            shown: 0,
            ends: VecDeque::new(),
        });
        let seed = (settings.sampling.temperature != 0.0).then_some(seed);
        let progress = ProgressLine::below(world.clock, column);
        Ok(Writing { text, seed, progress, paced, over: false })
    }

    /// Goes on with a text that ended at its length, up to the end of the context.
    pub(crate) fn go_on(world: &mut World<'_>, unfinished: Unfinished) -> State {
        let Unfinished { mut text, seed } = unfinished;
        if let Some(chat) = &world.chat {
            text.extend(0, &chat.sequence);
        }
        let progress = ProgressLine::here(world.clock);
        State::Writing(Box::new(Writing { text, seed, progress, paced: None, over: false }))
    }

    /// The time until there is something to do.
    pub(crate) fn pause(&self, now: Duration) -> Duration {
        match &self.paced {
            Some(paced) if self.over => paced.due.saturating_sub(now),
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn on(mut self: Box<Self>, event: Event, world: &mut World<'_>) -> State {
        if let Event::Key(key) = event {
            if key == Key::Escape {
                return self.end(world, None);
            }
            if self.paced.is_some() {
                // Any key shows the rest at once. These were meant for nothing else.
                if matches!(key, Key::Char(' ') | Key::Enter) {
                    world.terminal.forget_last(key);
                }
                self.show_rest(world);
            }
        }
        if world.terminal.is_closed() {
            self.show_rest(world);
        }
        if let Some(paced) = &mut self.paced {
            paced.show_due(world);
            if self.over && paced.ends.is_empty() {
                let end = self.text.report().end;
                return self.end(world, end);
            }
        }
        if self.over {
            return State::Writing(self);
        }
        let Some((chat, terminal)) = world.chat_and_terminal() else { return State::Prompt };
        let clock = terminal.clock();
        let step = self
            .text
            .step(&mut chat.engine, &mut chat.sequence, clock, &mut || terminal.poll_cancel());
        match step {
            Ok(Step::Reading { done, total }) => {
                if self.progress.is_due(clock) {
                    let line = format!("reading {done} of {total} tokens · Esc stops");
                    self.progress.show(terminal, &line);
                }
            }
            Ok(Step::Text(piece)) => {
                self.progress.clear(terminal);
                match &mut self.paced {
                    Some(paced) => paced.push(piece),
                    None => terminal.write_text(piece),
                }
            }
            Ok(Step::Done(end, rest)) => {
                self.progress.clear(terminal);
                match &mut self.paced {
                    Some(paced) => {
                        paced.push(rest);
                        self.over = true;
                    }
                    None => {
                        terminal.write_text(rest);
                        return self.end(world, Some(end));
                    }
                }
            }
            Err(GenerateError::Run(RunError::Stopped)) => return self.end(world, None),
            Err(error) => {
                self.progress.clear(terminal);
                terminal.write("\n");
                terminal.problem(&format!("{error}"));
                return prompt::begin(world);
            }
        }
        State::Writing(self)
    }

    fn show_rest(&mut self, world: &mut World<'_>) {
        if let Some(paced) = self.paced.take() {
            world.terminal.write_text(&paced.text[paced.shown..]);
            // It is over, and nothing of it is left: the next event ends it.
            if self.over {
                self.paced =
                    Some(Paced { text: String::new(), shown: 0, ends: VecDeque::new(), ..paced });
            }
        }
    }

    /// Ends the text, where the user stopped it or for another reason, and says the figures.
    fn end(mut self, world: &mut World<'_>, end: Option<End>) -> State {
        self.progress.clear(&mut world.terminal);
        let mut report = self.text.report();
        report.end = end;
        let Some((chat, terminal)) = world.chat_and_terminal() else { return State::Prompt };
        if end == Some(End::Length) {
            terminal.quiet("…");
        }
        terminal.write("\n");
        let full = chat.sequence.position() >= chat.sequence.capacity();
        if end == Some(End::Length) && report.generated > 0 {
            if full {
                let context = chat.sequence.capacity();
                terminal.quiet(&format!("the context of {context} tokens is full\n"));
            } else {
                terminal.quiet("the text has the length that is set; Enter goes on\n");
            }
        }
        terminal.quiet(&format!("{}\n", figures(&report, self.seed)));
        chat.last = Some((report, self.seed));
        if end == Some(End::Length) && report.generated > 0 && !full {
            chat.unfinished = Some(Unfinished { text: self.text, seed: self.seed });
        }
        if let Some(times) = world.boot_times.take() {
            let firmware = world.options.firmware_time;
            let firmware = firmware
                .map_or(String::new(), |time| format!("firmware {}, ", units::duration(time)));
            world.terminal.quiet(&format!(
                "to the first word: {firmware}search {}, load {}, prompt {}\n",
                units::duration(times.search),
                units::duration(times.loading),
                units::duration(report.prompt_time)
            ));
        }
        prompt::begin(world)
    }
}

impl Paced {
    fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.ends.push_back(self.text.len());
    }

    /// Shows the pieces whose time has come.
    fn show_due(&mut self, world: &mut World<'_>) {
        let now = world.clock.now();
        while now >= self.due
            && let Some(end) = self.ends.pop_front()
        {
            world.terminal.write_text(&self.text[self.shown..end]);
            self.shown = end;
            self.due = self.due.max(now.saturating_sub(self.pace)) + self.pace;
        }
    }
}

/// The figures of a text, in a line of less than 80 characters.
fn figures(report: &Report, seed: Option<u64>) -> String {
    let speed = |tokens: usize, time| format!("{:.0} tok/s", units::rate(tokens as f64, time));
    let prompt = report.prompt_tokens;
    let mut line = match report.end {
        Some(_) => format!(
            "prompt {prompt} tokens, {} · text {} tokens",
            speed(prompt, report.prompt_time),
            report.generated
        ),
        None => format!("prompt {prompt} tokens · stopped after {} tokens", report.generated),
    };
    if report.decoded > 0 {
        line += &format!(", {}", speed(report.decoded, report.decode_time));
    }
    if let Some(seed) = seed {
        line += &format!(" · seed {seed}");
    }
    line
}
