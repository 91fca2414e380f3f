#![no_std]
#![forbid(unsafe_code)]
//! Text in, text out.
//!
//! A [`Generation`] continues a text or answers a question, one step at a time; a [`Conversation`]
//! answers in turns. The rest is what a prompt needs, without any input or output:
//! [`Settings`] that are changed by name, the [`Command`]s, a [`DigestRun`] to compare machines by,
//! and figures in words ([`report`]).

extern crate alloc;

mod command;
mod conversation;
mod digest;
mod generation;
pub mod report;
mod settings;

pub use command::{Command, CommandInfo, Line};
pub use conversation::{Conversation, render_llama2};
pub use digest::{DIGEST_POSITIONS, Digest, DigestRun, DigestStep, checksum};
pub use generation::{End, GenerateError, Generation, Report, Step};
pub use settings::{SETTINGS, Setting, Settings, short_seed};
