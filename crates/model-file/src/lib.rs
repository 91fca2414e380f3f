#![no_std]
#![forbid(unsafe_code)]
//! Readers and writers of model files: untrusted bytes in, checked descriptions out
