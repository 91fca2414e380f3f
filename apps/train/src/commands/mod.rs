//! The commands, one file each: arguments, and what they do.

pub mod bench;
pub mod data;
pub mod export;
pub mod fit;
mod next;
pub mod plot;
pub mod tokenizer;
