#![no_std]
#![forbid(unsafe_code)]
//! Text to tokens and back.
//!
//! A [`Tokenizer`] holds a vocabulary of pieces with scores, read from llama2.c's `tokenizer.bin` or
//! out of a GGUF file. [`Tokenizer::encode`] is SentencePiece's byte-pair encoding (Kudo and Richardson, 2018) as
//! llama2.c does it; a [`Decoder`] turns tokens into text as they come, never half a character.

extern crate alloc;

mod decode;
mod encode;
mod file;
mod gguf;
mod vocabulary;

pub use decode::Decoder;
pub use file::{FileError, names_beside};
pub use vocabulary::{BOS, EOS, Tokenizer, UNKNOWN};
