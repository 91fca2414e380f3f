//! Scripts: lines that are typed at the prompt, and a few directives.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::guest::{Guest, WaitEnd};

/// One line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptStep {
    /// A line for the prompt.
    Line(String),
    /// `#key NAME`: a key, at once.
    Key(&'static str),
    /// `#type TEXT`: text without Enter, at once.
    Type(String),
    /// `#wait-for TEXT`: until it has come since the last step that typed.
    WaitFor(String),
}

/// The keys that `#key` knows, and what a terminal sends for them.
const KEYS: [(&str, &str); 14] = [
    ("enter", "\r"),
    ("esc", "\x1b"),
    ("ctrl-c", "\x03"),
    ("ctrl-d", "\x04"),
    ("tab", "\t"),
    ("backspace", "\x7f"),
    ("delete", "\x1b[3~"),
    ("up", "\x1b[A"),
    ("down", "\x1b[B"),
    ("right", "\x1b[C"),
    ("left", "\x1b[D"),
    ("home", "\x1b[H"),
    ("end", "\x1b[F"),
    ("space", " "),
];

/// Reads a script.
pub fn read(file: &Path) -> Result<Vec<ScriptStep>> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text).with_context(|| file.display().to_string())
}

/// The steps of a script's text.
pub fn parse(text: &str) -> Result<Vec<ScriptStep>> {
    text.lines()
        .enumerate()
        .map(|(at, line)| parse_line(line).with_context(|| format!("line {}", at + 1)))
        .collect()
}

fn parse_line(line: &str) -> Result<ScriptStep> {
    let Some(directive) = line.strip_prefix('#') else {
        return Ok(ScriptStep::Line(line.to_owned()));
    };
    let (name, rest) = directive.split_once(' ').unwrap_or((directive, ""));
    match name {
        "wait-for" if !rest.is_empty() => Ok(ScriptStep::WaitFor(rest.to_owned())),
        "type" if !rest.is_empty() => Ok(ScriptStep::Type(rest.to_owned())),
        "key" => match KEYS.iter().find(|(key, _)| *key == rest) {
            Some((_, sent)) => Ok(ScriptStep::Key(sent)),
            None => {
                let names: Vec<_> = KEYS.iter().map(|(key, _)| *key).collect();
                bail!("there is no key {rest:?}; there are {}", names.join(", "))
            }
        },
        _ => bail!(
            "{line:?} is no directive; there are `#wait-for TEXT`, `#key NAME` and `#type TEXT`"
        ),
    }
}

/// Plays a script, then leaves the program with `/exit`, if the script has not.
pub fn play(guest: &mut Guest, steps: &[ScriptStep]) -> Result<()> {
    let result = type_steps(guest, steps).and_then(|()| guest.expect_power_off());
    guest.finish_transcript();
    result
}

fn type_steps(guest: &mut Guest, steps: &[ScriptStep]) -> Result<()> {
    let mut from = 0;
    for (at, step) in steps.iter().enumerate() {
        match step {
            ScriptStep::WaitFor(text) => {
                guest.wait_for(text, from)?;
                continue;
            }
            ScriptStep::Line(line) => {
                if guest.wait_for_prompt()? == WaitEnd::End {
                    bail!("the machine stopped before line {} of the script: {line:?}", at + 1);
                }
                from = guest.received.len();
                guest.type_line(line)?;
            }
            ScriptStep::Key(sent) => {
                from = guest.received.len();
                guest.type_text(sent)?;
            }
            ScriptStep::Type(text) => {
                from = guest.received.len();
                guest.type_text(text)?;
            }
        }
    }
    if guest.wait_for_prompt()? == WaitEnd::Prompt {
        guest.type_line("/exit")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_lines_and_directives() {
        let script = "Once upon a time\n\n#wait-for the end\n#key esc\n#type ab c\n/help\n";
        assert_eq!(
            parse(script).unwrap(),
            [
                ScriptStep::Line("Once upon a time".to_owned()),
                ScriptStep::Line(String::new()),
                ScriptStep::WaitFor("the end".to_owned()),
                ScriptStep::Key("\x1b"),
                ScriptStep::Type("ab c".to_owned()),
                ScriptStep::Line("/help".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_wrong_with_a_script_is_said() {
        for (script, expected) in [
            ("fine\n#key escape", "line 2: there is no key \"escape\""),
            ("#wait-for", "line 1: \"#wait-for\" is no directive"),
            ("#sleep 3", "line 1: \"#sleep 3\" is no directive"),
        ] {
            let error = format!("{:#}", parse(script).unwrap_err());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
