#![no_std]
#![forbid(unsafe_code)]
//! From logits to a token: the chain of samplers
