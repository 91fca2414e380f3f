#![no_std]
#![forbid(unsafe_code)]
//! Text in, text out: generation, templates, commands, settings
