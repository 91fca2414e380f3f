#![no_std]
#![forbid(unsafe_code)]
//! Text in, text out.
//!
//! [`generate`] continues a text, a [`Conversation`] answers in turns. Around them lies what a
//! person at a prompt needs, without any input or output: [`Settings`] that are changed by name,
//! the [`Command`]s, and how figures are put into words ([`report`]).

extern crate alloc;

mod command;
mod conversation;
mod digest;
mod generate;
pub mod report;
mod settings;

pub use command::{Command, CommandInfo, Line};
pub use conversation::{Conversation, Turn, render_llama2};
pub use digest::{DIGEST_POSITIONS, Digest, DigestError, checksum};
pub use generate::{End, GenerateError, Report, generate};
pub use settings::{SETTINGS, Setting, Settings, short_seed};
