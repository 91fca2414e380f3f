//! Cleaning up when a signal ends the program.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Files that are being written, under the names that they have until they are complete.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that a signal removes as long as this value lives.
pub(crate) struct Unfinished<'a>(&'a Path);

impl<'a> Unfinished<'a> {
    pub(crate) fn new(path: &'a Path) -> Self {
        unfinished().push(path.to_owned());
        Unfinished(path)
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        unfinished().retain(|path| path != self.0);
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP remove the files that [`write_whole`](crate::write_whole)
/// has begun, and take the terminal out of raw mode, before they end the program as they always do.
/// A signal that is ignored (by `nohup`, or for a background job) stays ignored.
///
/// # Errors
/// If the system refuses a thread or a handler.
#[cfg(unix)]
pub fn clean_up_on_signals() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let ignored = ignored_signals();
    let handled = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !ignored.has(*signal));
    let mut signals = signal_hook::iterator::Signals::new(handled)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held to the end, so that no further file is begun.
            let files = unfinished();
            for path in files.iter() {
                let _ = std::fs::remove_file(path);
            }
            let _ = crossterm::terminal::disable_raw_mode();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            // Where that fails: as shells report a program that a signal ended.
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// Other systems have no such signals.
#[cfg(not(unix))]
pub fn clean_up_on_signals() -> std::io::Result<()> {
    Ok(())
}

/// A set of signals: bit n − 1 is signal n.
#[cfg(unix)]
struct SignalSet(u64);

#[cfg(unix)]
impl SignalSet {
    fn has(&self, signal: i32) -> bool {
        self.0 >> (signal - 1) & 1 == 1
    }
}

/// The signals that this process inherited as ignored, where the system says so (Linux, proc(5)).
#[cfg(unix)]
fn ignored_signals() -> SignalSet {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    SignalSet(mask.unwrap_or(0))
}
