#![forbid(unsafe_code)]
//! The tasks of the repository, and their parts.
//!
//! ```text
//! setup ─► program ─► image ─► machine ─► guest ─► script
//! what is    the UEFI    the      a virtual   typed at   lines at
//! needed     program     disk     PC          and read   the prompt
//! ```
//!
//! `arch` has everything that differs between architectures. `main.rs` is the command line. The boot
//! tests use these parts too.

pub mod arch;
pub mod bench;
pub mod clean;
pub mod console;
pub mod debian;
pub mod debugger;
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
pub mod legacy_boot;
pub mod machine;
pub mod miri;
pub mod models;
pub mod monitor;
pub mod neon;
pub mod packages;
pub mod process;
pub mod program;
pub mod project;
pub mod release;
pub mod run;
pub mod script;
pub mod setup;
pub mod size;
pub mod sticks;
pub mod sysroot;
pub mod target;
pub mod test;
pub mod toolchain;
pub mod train;
pub mod transcript;
pub mod verify;
