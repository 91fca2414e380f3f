// Only `heap` has unsafe code.
#![deny(unsafe_code)]
//! The platform on std, for the programs that run under an operating system.
//!
//! [`FileReader`], [`Folder`], [`StdClock`], [`SystemEntropy`], [`SystemMachine`] and [`open_console`]
//! implement `bootllm_platform`'s traits on an operating system; [`Threads`] implements `Cores`.
//! [`open`] finds a model and its tokenizer; [`write_whole`] writes files completely or not at all, and
//! [`clean_up_on_signals`] removes unfinished files when a signal ends the program. [`read_text`] and [`documents`] read
//! texts; [`ProgressBar`], [`print_line`] and [`eprint_line`] write to the terminal. `Heap`, on Linux,
//! is an allocator that puts large blocks into large pages.

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
mod signals;
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
pub use output::{StdoutSink, eprint_line, print_line};
pub use progress::ProgressBar;
pub use signals::clean_up_on_signals;
pub use text::{SEPARATOR, documents, read_input, read_text};
