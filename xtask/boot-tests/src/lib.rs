#![forbid(unsafe_code)]
//! Tests of the whole program in a virtual PC under real firmware.
//!
//! They boot machines, so `cargo test` ignores them. `cargo xtask test boot` runs them all, and
//! `cargo test -p xtask-boot-tests -- --ignored NAME` runs one.

#[cfg(test)]
mod bios;
#[cfg(test)]
mod cores;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod files;
#[cfg(test)]
mod fixture;
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
