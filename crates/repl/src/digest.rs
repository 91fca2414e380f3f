//! `/logits digest`: one number for what the model computes, to compare machines by.

use crate::progress_line::ProgressLine;
use crate::state::State;
use crate::{World, prompt};
use alloc::boxed::Box;
use alloc::format;
use bootllm_chat::{DIGEST_POSITIONS, DigestRun, DigestStep};
use bootllm_engine::{KvFormat, Memory, RunError, Sequence};
use bootllm_platform::{Event, Key};
use bootllm_units as units;

/// The models that come with the program, by their size in bytes, and their digests of
/// [`DIGEST_POSITIONS`] positions: those that their cards in `models/` name.
const KNOWN: &[(u64, u64)] =
    &[(6_106_368, 0xadff_1da0_acd5_3b08), (3_013_120, 0x9c55_3126_d867_b620)];

/// A digest that is being computed, in a sequence of its own. Keys and values are always in f32, so
/// that the number depends on nothing that a user or the memory decides.
pub(crate) struct DigestState {
    run: DigestRun,
    sequence: Sequence,
    progress: ProgressLine,
}

/// Starts a digest of `count` positions, or the usual number if that is empty.
pub(crate) fn begin(count: &str, world: &mut World<'_>) -> State {
    match prepare(count, world) {
        Ok(digest) => State::Digest(Box::new(digest)),
        Err(problem) => {
            world.terminal.problem(&problem);
            prompt::begin(world)
        }
    }
}

fn prepare(count: &str, world: &World<'_>) -> Result<DigestState, alloc::string::String> {
    let Some(chat) = &world.chat else { return Err("no model is loaded".into()) };
    let context = chat.model.context();
    let positions = match count {
        "" => Some(DIGEST_POSITIONS.min(context)),
        count => count.parse().ok().filter(|count| (1..=context).contains(count)),
    };
    let Some(positions) = positions else {
        return Err(format!("the positions must be 1 to {context}"));
    };
    let needed = chat.model.plan().memory(positions, KvFormat::F32).kv_cache;
    let free = world.machine.memory_free();
    if !Memory::leaves_reserve(needed, free) {
        let (needed, free) = (units::bytes(needed), units::bytes(free));
        return Err(format!("the digest needs {needed} of memory, this machine has {free} free"));
    }
    let mut sequence =
        Sequence::new(&chat.model, positions, KvFormat::F32).map_err(|error| format!("{error}"))?;
    let run = DigestRun::new(chat.tokenizer.rules().bos, positions, &mut sequence);
    Ok(DigestState { run, sequence, progress: ProgressLine::here(world.clock) })
}

impl DigestState {
    pub(crate) fn on(mut self: Box<Self>, event: Event, world: &mut World<'_>) -> State {
        let Some((chat, terminal)) = world.chat_and_terminal() else { return State::Prompt };
        let step = match event {
            Event::Key(Key::Escape) => Err(RunError::Stopped),
            _ => {
                self.run.step(&mut chat.engine, &mut self.sequence, &mut || terminal.poll_cancel())
            }
        };
        let result = match step {
            Ok(DigestStep::Fed { done, total }) => {
                if self.progress.is_due(terminal.clock()) {
                    self.progress.show(terminal, &units::tokens_line("computing", done, total));
                }
                return State::Digest(self);
            }
            Ok(DigestStep::Done(digest)) => Ok(digest),
            Err(error) => Err(error),
        };
        self.progress.clear(terminal);
        let size = chat.model.plan().file().size;
        match result {
            Ok(digest) if digest.agrees() => {
                let known = KNOWN.iter().find(|(known, _)| *known == size);
                match known.filter(|_| digest.positions == DIGEST_POSITIONS) {
                    Some((_, right)) if *right == digest.one_by_one => {
                        terminal.write(&format!("{digest}\n"));
                        terminal.quiet("That is the model's own number: this machine computes correctly.\n");
                    }
                    Some((_, right)) => terminal.problem(&format!(
                        "{digest}; for the model of this size that comes with the program it is \
                         {right:016x}: either the file is another one, or this machine computes wrong"
                    )),
                    None => terminal.write(&format!("{digest}\n")),
                }
            }
            Ok(digest) => terminal.problem(&format!("{digest}: this machine computes wrong")),
            Err(error) => terminal.problem(&format!("{error}")),
        }
        prompt::begin(world)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// The table says what the cards of the built-in models say.
    #[test]
    fn the_digests_of_built_in_models_are_those_of_their_cards() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
        for (name, &(size, digest)) in ["bedtime-stories", "shakespeare"].iter().zip(KNOWN) {
            let card = std::fs::read_to_string(format!("{folder}/{name}.md")).unwrap();
            let said = format!("{DIGEST_POSITIONS} positions: `{digest:016x}`");
            assert!(card.contains(&said), "{said:?} is not in {name}.md");
            assert_eq!(std::fs::metadata(format!("{folder}/{name}.bin")).unwrap().len(), size);
        }
    }
}
