#![cfg_attr(any(target_os = "uefi", windows), no_std, no_main)]
#![cfg_attr(
    not(any(target_os = "uefi", windows)),
    allow(dead_code, reason = "what is pure is tested on the host, and used only on firmware")
)]
//! The UEFI program: it boots a PC straight into a language model.
//!
//! It implements the traits of `bootllm-platform` on firmware and passes them to `bootllm-repl`.
//! Boot services stay on for its whole life, so keyboards and disks keep working through the
//! firmware's drivers.
//!
//! `cargo xtask build` builds it for `x86_64-pc-windows-msvc`: a Windows executable, linked as
//! an EFI application, is what UEFI starts. (`x86_64-unknown-uefi` has no hardware
//! floating point.) Everything that touches firmware lies in [`firmware`]; the other modules are
//! plain computation, tested on the host.

extern crate alloc;

#[cfg(any(target_os = "uefi", windows))]
mod firmware;

mod boot_sector;
mod core_limit;
mod file_info;
mod free_list;
#[cfg(target_arch = "x86_64")]
mod mem;
mod screen_mode;
mod topology;
mod uefi_keys;
mod volume_name;
mod words;

/// On any other target this package is a reminder of what it is.
#[cfg(not(any(target_os = "uefi", windows)))]
fn main() {
    eprintln!("bootllm-boot runs on UEFI firmware: `cargo xtask run` builds it and boots it");
    std::process::exit(1);
}
