//! The model that is loaded, and what was written with it.

use crate::World;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootllm_chat::{Generation, Report, Settings};
use bootllm_engine::{Engine, Memory, Model, Sequence};
use bootllm_tokenizer::Tokenizer;
use bootllm_units as units;
use core::time::Duration;

/// A model that is ready to run.
pub(crate) struct Chat<'a> {
    pub(crate) name: String,
    pub(crate) model: Arc<Model>,
    pub(crate) engine: Engine<'a>,
    pub(crate) sequence: Sequence,
    pub(crate) tokenizer_name: String,
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// How long loading took.
    pub(crate) loading_time: Duration,
    /// The figures of the last text, and its seed if one mattered.
    pub(crate) last: Option<(Report, Option<u64>)>,
    /// The tokens of the last prompt.
    pub(crate) last_prompt: Vec<u32>,
    /// A text that ended at its length and can go on.
    pub(crate) unfinished: Option<Unfinished>,
}

/// A text that can go on.
pub(crate) struct Unfinished {
    pub(crate) text: Generation,
    pub(crate) seed: Option<u64>,
}

impl Chat<'_> {
    /// Bytes that the model takes with the sequence's context and format of keys and values.
    pub(crate) fn memory(&self) -> Memory {
        self.model.plan().memory(self.sequence.capacity(), self.sequence.kv_format())
    }

    /// Changes the format of keys and values to that of the settings. If there is no memory for it,
    /// the settings change instead. `free`: bytes that the machine has left.
    pub(crate) fn set_kv_format(
        &mut self,
        settings: &mut Settings,
        free: u64,
    ) -> Result<(), String> {
        let (before, wanted) = (self.sequence.kv_format(), settings.kv);
        if wanted == before {
            return Ok(());
        }
        self.unfinished = None;
        let (plan, context) = (self.model.plan(), self.sequence.capacity());
        let needed = |kv| plan.memory(context, kv).kv_cache;
        // The old cache is freed before the new one is allocated.
        let free = free.saturating_add(needed(before));
        let changed = if !Memory::leaves_reserve(needed(wanted), free) {
            Err(format!(
                "keys and values in {} need {} of memory, this machine has {} for them",
                wanted.name(),
                units::bytes(needed(wanted)),
                units::bytes(free)
            ))
        } else {
            self.sequence.set_kv_format(wanted).map_err(|error| format!("{error}"))
        };
        changed.map_err(|problem| {
            settings.kv = before;
            format!("{problem}; they stay in {}", before.name())
        })
    }
}

impl<'a> World<'a> {
    /// The loaded model with the parts of the world that running it needs.
    pub(crate) fn chat_and_terminal(
        &mut self,
    ) -> Option<(&mut Chat<'a>, &mut crate::terminal::Terminal<'a>)> {
        Some((self.chat.as_mut()?, &mut self.terminal))
    }
}
