//! `/logits`: which tokens are likely after the last prompt.

use crate::chat::Chat;
use crate::progress_line::ProgressLine;
use crate::state::State;
use crate::{World, prompt};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_chat::report;
use bootllm_engine::{Row, RunError};
use bootllm_platform::{Event, Key};
use bootllm_sampling::argmax;
use bootllm_simd::softmax;
use bootllm_tokenizer::Tokenizer;
use core::slice::from_mut;

/// Tokens that are listed.
const LISTED: usize = 10;
/// Columns of the bar of a token that is certain.
const BAR: usize = 40;
/// Positions whose raw logits are shown.
const RAW_POSITIONS: usize = 3;

/// The last prompt on its way through the model.
pub(crate) struct LogitsState {
    rows: Vec<Row>,
    progress: ProgressLine,
}

/// Starts to read the last prompt again, or the start of a text if there was none.
pub(crate) fn begin(world: &mut World<'_>) -> State {
    let Some(chat) = &mut world.chat else { return prompt::begin(world) };
    chat.unfinished = None;
    chat.sequence.rewind(0);
    let start = [chat.tokenizer.rules().bos];
    let tokens = if chat.last_prompt.is_empty() { &start[..] } else { &chat.last_prompt };
    let last = tokens.len() - 1;
    let row = |(position, &token)| Row { sequence: 0, position, token, logits: position == last };
    let rows = tokens.iter().enumerate().map(row).collect();
    State::Logits(Box::new(LogitsState { rows, progress: ProgressLine::here(world.clock) }))
}

impl LogitsState {
    pub(crate) fn on(mut self: Box<Self>, event: Event, world: &mut World<'_>) -> State {
        let Some((chat, terminal)) = world.chat_and_terminal() else { return State::Prompt };
        let read = chat.sequence.position();
        let output = match event {
            Event::Key(Key::Escape) => Err(RunError::Stopped),
            _ => chat.engine.run(
                from_mut(&mut chat.sequence),
                &self.rows[read..],
                Some(&mut || terminal.poll_cancel()),
            ),
        };
        match output {
            Ok(output) if read + output.rows() < self.rows.len() => {
                let (done, total) = (read + output.rows(), self.rows.len());
                if self.progress.is_due(terminal.clock()) {
                    let line = format!("reading {done} of {total} tokens · Esc stops");
                    self.progress.show(terminal, &line);
                }
                return State::Logits(self);
            }
            Ok(output) => {
                self.progress.clear(terminal);
                if let Some(logits) = output.into_last_logits() {
                    softmax(logits);
                    terminal.write(&list(logits, &chat.tokenizer));
                }
            }
            Err(error) => {
                self.progress.clear(terminal);
                terminal.problem(&format!("{error}"));
            }
        }
        prompt::begin(world)
    }
}

/// The likeliest tokens with their probabilities.
fn list(probabilities: &[f32], tokenizer: &Tokenizer) -> String {
    let mut order: Vec<u32> = (0..probabilities.len() as u32).collect();
    let probability = |token: u32| probabilities[token as usize];
    let likelier = |a: &u32, b: &u32| probability(*b).total_cmp(&probability(*a)).then(a.cmp(b));
    if order.len() > LISTED {
        order.select_nth_unstable_by(LISTED, likelier);
        order.truncate(LISTED);
    }
    order.sort_by(likelier);
    let mut text = String::new();
    for token in order {
        let share = probability(token);
        let bar = "█".repeat((share * BAR as f32 + 0.5) as usize);
        let piece = String::from_utf8_lossy(tokenizer.piece(token));
        // Quoted, so that spaces are seen.
        text +=
            &format!("{:6.1} %  {:18} \x1b[2m{bar}\x1b[0m\n", 100.0 * share, format!("{piece:?}"));
    }
    text
}

/// The logits of the first positions of a text that begins with BOS and goes on greedily, as
/// `bootllm logits MODEL` prints them, to compare machines by.
pub(crate) fn raw(chat: &mut Chat<'_>) -> Result<String, RunError> {
    chat.unfinished = None;
    chat.sequence.rewind(0);
    let mut token = chat.tokenizer.rules().bos;
    let mut text = String::new();
    for position in 0..RAW_POSITIONS.min(chat.sequence.capacity()) {
        let row = Row { sequence: 0, position, token, logits: true };
        let output = chat.engine.run(from_mut(&mut chat.sequence), &[row], None)?;
        if let Some(logits) = output.into_last_logits() {
            text += &report::logits(position, token, logits);
            text.push('\n');
            token = argmax(logits);
        }
    }
    Ok(text)
}
