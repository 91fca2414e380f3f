// `heap` alone has unsafe code.
#![deny(unsafe_code)]
//! The platform on std, for the programs that run under an operating system.
//!
//! [`FileReader`], [`Folder`], [`StdClock`], [`SystemEntropy`], [`SystemMachine`] and [`open_console`]
//! are `bootllm_platform`'s traits on an operating system, [`Threads`] the cores that compute; [`open`] finds a model with its tokenizer and loads it; [`write_whole`]
//! writes files that are either there or not; [`read_text`] and [`documents`] take texts apart;
//! [`ProgressBar`] and [`print_line`] speak to the person who waits. `Heap`, on Linux, keeps large
//! blocks in large pages for a program that makes it its allocator.

mod console;
mod cores;
mod file;
mod folder;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod heap;
mod machine;
mod model;
mod output;
mod progress;
mod text;

pub use console::open_console;
pub use cores::{MOST_THREADS, Threads, physical_cores};
pub use file::{FileReader, FileSink, write_whole};
pub use folder::Folder;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use heap::Heap;
pub use machine::{
    StdClock, SystemEntropy, SystemMachine, memory_available, memory_total, random_seed,
};
pub use model::{ModelSource, ensure_memory, open, read_tokenizer};
pub use output::{Output, print_line, remark};
pub use progress::ProgressBar;
pub use text::{SEPARATOR, documents, read_text};
