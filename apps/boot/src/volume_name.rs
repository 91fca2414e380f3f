//! Names of the volumes other than the boot volume.

use alloc::format;
use alloc::string::String;

/// Separates the name of a volume from the path of a file on it. FAT has no `:` in names, so no
/// file of the boot volume is taken for one of another volume.
const SEPARATOR: &str = ":/";

/// Names a volume by its label, or by `number` if it has none, unlike all that are `taken`.
pub fn unique(label: &str, number: usize, taken: impl Fn(&str) -> bool) -> String {
    let usable = |c: &char| !c.is_control() && !matches!(c, ':' | '/' | '\\');
    let label: String = label.trim().chars().filter(usable).collect();
    let name = if label.is_empty() { format!("disk{number}") } else { label };
    if !taken(&name) {
        return name;
    }
    (2..).map(|n| format!("{name} {n}")).find(|name| !taken(name)).unwrap_or_default()
}

/// The name of a file on a named volume.
pub fn join(volume: &str, path: &str) -> String {
    format!("{volume}{SEPARATOR}{path}")
}

/// Divides the name of a file on a named volume into both parts; `None` if it lies on the boot
/// volume.
pub fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once(SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_volume_has_a_name_of_its_own() {
        let mut taken = vec![];
        for (label, number) in
            [("DATA", 1), (" DATA ", 2), ("", 3), ("", 3), ("a:/b\n", 5), ("DATA", 6)]
        {
            let name = unique(label, number, |name| taken.iter().any(|other| other == name));
            taken.push(name);
        }
        assert_eq!(taken, ["DATA", "DATA 2", "disk3", "disk3 2", "ab", "DATA 3"]);
    }

    #[test]
    fn files_of_other_volumes_are_told_from_those_of_the_boot_volume() {
        assert_eq!(split(&join("DATA 2", "models/a.gguf")), Some(("DATA 2", "models/a.gguf")));
        assert_eq!(split("models/a.gguf"), None);
        assert_eq!(split("a:b"), None);
    }
}
