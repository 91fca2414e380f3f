//! The number of cores that this start may wake.
//!
//! There are PCs whose firmware hangs when it wakes the other cores, or whose cores never come
//! back. They stay usable: by a line in a file, by a key held at the start, and by a marker file
//! that is there while cores are woken: the next start that finds it knows that the last one hung.

use core::fmt;

/// The file with options, in the root folder of the boot volume. Its lines are `name = value`;
/// those that begin with `#` are comments.
pub const OPTIONS_FILE: &str = "bootllm.txt";
/// The file that is there while cores are woken.
pub const MARKER_FILE: &str = "bootllm.try";
/// The key that is held to compute with one core.
pub const KEY: char = 'c';

/// The cores that may be woken, and why not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreLimit {
    /// The number of cores, the one that boots among them.
    pub cores: usize,
    /// Why.
    pub reason: Reason,
}

/// Why not all cores are woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The options file says so.
    File,
    /// The key was held.
    Key,
    /// The last start did not get past waking them.
    LastStart,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => write!(f, "{OPTIONS_FILE} says so"),
            Self::Key => write!(f, "the key {KEY} was held at the start"),
            Self::LastStart => write!(
                f,
                "the last start stopped while it woke the other cores. The next start tries them \
                 again; if it stops again, write the line \"cores = 1\" into the file \
                 {OPTIONS_FILE} on this disk"
            ),
        }
    }
}

/// Decides by the text of the options file, whether the key was held, and whether the marker was
/// there. `None` for all cores.
pub fn choose(options: Option<&str>, key_held: bool, marker: bool) -> Option<CoreLimit> {
    if key_held {
        return Some(CoreLimit { cores: 1, reason: Reason::Key });
    }
    if let Some(cores) = options.and_then(cores_option) {
        return Some(CoreLimit { cores, reason: Reason::File });
    }
    marker.then_some(CoreLimit { cores: 1, reason: Reason::LastStart })
}

/// The value of the last line `cores = N`. Lines that are none are for others.
fn cores_option(text: &str) -> Option<usize> {
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let is_cores = name.trim().eq_ignore_ascii_case("cores");
        value.trim().parse().ok().filter(|&cores| is_cores && cores > 0)
    };
    // Editors on Windows may begin a file with a byte order mark.
    text.trim_start_matches('\u{FEFF}').lines().filter_map(value).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_file() {
        for (text, cores) in [
            ("cores=1", Some(1)),
            ("\u{FEFF}# few\r\n Cores =  3 \r\n", Some(3)),
            ("cores=2\ncores=1\n", Some(1)),
            ("cores=0", None),
            ("cores=all", None),
            ("#cores=1", None),
            ("scores=1\ndisplay=serial", None),
            ("", None),
        ] {
            assert_eq!(cores_option(text), cores, "{text:?}");
        }
    }

    #[test]
    fn what_the_user_asks_for_counts_before_what_happened() {
        let limit = |cores, reason| Some(CoreLimit { cores, reason });
        assert_eq!(choose(None, false, false), None);
        assert_eq!(choose(None, false, true), limit(1, Reason::LastStart));
        assert_eq!(choose(Some("cores = 4"), false, true), limit(4, Reason::File));
        assert_eq!(choose(Some("cores = 4"), true, false), limit(1, Reason::Key));
        assert_eq!(choose(Some("other = 4"), false, false), None);
    }
}
