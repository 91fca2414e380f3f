#![no_std]
#![forbid(unsafe_code)]
//! Architectures, weights bound to them, KV cache, prefill and decode
