#![forbid(unsafe_code)]
//! The tasks of the repository, and what they are made of.
//!
//! ```text
//! setup ─► program ─► image ─► machine ─► guest ─► script
//! what is    the UEFI    the      a virtual   typed at   lines at
//! needed     program     disk     PC          and read   the prompt
//! ```
//!
//! `main.rs` is the command line. The boot tests use these parts too.

pub mod bench;
pub mod clean;
pub mod debian;
pub mod disk;
pub mod efi;
pub mod fat32;
pub mod fetch;
pub mod firmware;
pub mod flash;
pub mod guest;
pub mod image;
pub mod initramfs;
pub mod instructions;
pub mod machine;
pub mod models;
pub mod monitor;
pub mod neon;
pub mod packages;
pub mod process;
pub mod program;
pub mod project;
pub mod run;
pub mod script;
pub mod setup;
pub mod sticks;
pub mod sysroot;
pub mod target;
pub mod test;
pub mod toolchain;
pub mod train;
pub mod transcript;
pub mod verify;
