//! The commands that come next, as lines that can be pasted into a shell.

use bootllm_host::eprint_line;
use std::borrow::Cow;
use std::env;
use std::path::Path;

/// A command of this program, begun as the user began this one: through cargo or by its path.
pub fn own(command: &str, paths: &[&Path]) -> String {
    let begin = match env::var_os("CARGO") {
        Some(_) => String::from("cargo run --release -p bootllm-train --"),
        None => env::args_os().next().map_or_else(
            || String::from("bootllm-train"),
            |program| quoted(&program.to_string_lossy()).into_owned(),
        ),
    };
    line(&format!("{begin} {command}"), paths)
}

/// A command and the paths that follow it.
pub fn line(command: &str, paths: &[&Path]) -> String {
    paths.iter().fold(command.to_owned(), |mut line, path| {
        line.push(' ');
        line.push_str(&quoted(&path.to_string_lossy()));
        line
    })
}

/// Prints what comes next, one command per line.
pub fn show(commands: &[String]) {
    eprint_line("Next:");
    for command in commands {
        eprint_line(&format!("  {command}"));
    }
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_to_a_shell() {
        let paths = ["target/train/run", "my run", "it's"].map(Path::new);
        assert_eq!(line("x", &paths), r"x target/train/run 'my run' 'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
