#![no_std]
#![forbid(unsafe_code)]
//! Text to tokens and back.
//!
//! A [`Tokenizer`] is a table of tokens (pieces, kinds, special tokens), read from llama2.c's
//! `tokenizer.bin` or out of a GGUF file, and the encoder for its kind of vocabulary. A [`Decoder`]
//! turns tokens into text as they come, never half a character.
//!
//! A new kind of vocabulary is a file in `encoder/` and a line in its table.

extern crate alloc;

mod decode;
mod encoder;
mod error;
mod gguf;
mod llama2c;
mod table;
mod tokenizer;

pub use decode::Decoder;
pub use error::FileError;
pub use llama2c::names_beside;
pub use table::{BOS, EOS, UNKNOWN};
pub use tokenizer::Tokenizer;
