#![no_std]
#![forbid(unsafe_code)]
//! The program a person sees: menu, loading, story, prompt
