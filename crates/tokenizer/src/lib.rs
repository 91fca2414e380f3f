#![no_std]
#![forbid(unsafe_code)]
//! Text to tokens and back: SentencePiece BPE, incremental decoding to UTF-8
