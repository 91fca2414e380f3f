#![forbid(unsafe_code)]
//! Tests of the real thing: the program in a virtual PC under real firmware.
//!
//! They boot machines, so `cargo test` leaves them out; `cargo xtask test` runs them, and one of
//! them is run with `cargo test -p xtask-boot-tests -- --ignored NAME`.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod cores;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod files;
#[cfg(test)]
mod gguf;
#[cfg(test)]
mod prompt;
#[cfg(test)]
mod screen;
#[cfg(test)]
mod screenshot;
#[cfg(test)]
mod trained;
#[cfg(test)]
mod volumes;
