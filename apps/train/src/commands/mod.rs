//! The commands, one file each: what the command line says, and what it does.

pub mod bench;
pub mod data;
pub mod export;
pub mod fit;
mod next;
pub mod plot;
pub mod tokenizer;
