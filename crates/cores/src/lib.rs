#![no_std]
#![forbid(unsafe_code)]
//! Fork-join over all cores, and safe ways to give each core its own rows of an output
