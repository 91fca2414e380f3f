//! `cargo xtask verify`: checks the hash of a downloaded model and its first logits.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::fetch;
use crate::project::Project;
use crate::release::sha256;
use crate::{process, program};

/// The first logits of position 0 after token 1, as llama2.c computes them.
const LOGITS: [(&str, &[f32]); 2] = [
    ("stories260K", &[-6.222911, 8.404342, -6.223737, -6.222542]),
    ("stories15M", &[-6.7908, 0.8281, -6.7904, -6.7905]),
];

/// How far they may differ: the known ones are rounded.
const TOLERANCE: f32 = 1e-4;

/// `cargo xtask verify NAME`.
pub fn task(project: &Project, name: &str) -> Result<()> {
    let known = fetch::find(name)?;
    let Some(model) = known.model_file(project) else {
        bail!("{name} is no model, so it has no logits");
    };
    if !model.is_file() {
        bail!("{name} was not downloaded; run: cargo xtask fetch {name}");
    }
    check_hash(&model)?;
    let program = program::build_host(project)?;
    let mut command = Command::new(program);
    command.arg("logits").arg(&model).args(["-n", "1"]);
    let printed = process::output(&mut command)?;
    let found = logits(&printed)
        .with_context(|| format!("`{}` printed no logits:\n{printed}", process::line(&command)))?;
    match LOGITS.iter().find(|(known, _)| *known == name) {
        Some((_, expected)) => {
            compare(&found, expected)?;
            println!("{name}: its first logits are the known ones: {expected:?}");
        }
        None => println!("{name}: it loads and computes; its right logits are not known here"),
    }
    Ok(())
}

/// Compares the file with the hash that the server gave when it was downloaded.
fn check_hash(model: &Path) -> Result<()> {
    let mut note = model.as_os_str().to_owned();
    note.push(".sha256");
    let Ok(expected) = fs::read_to_string(&note) else {
        println!("{}: the server gave no hash when it was downloaded", model.display());
        return Ok(());
    };
    let found = sha256(model)?;
    ensure!(
        found == expected.trim(),
        "{} has changed since it was downloaded: its SHA-256 is {found}, it was {}",
        model.display(),
        expected.trim()
    );
    println!("{}: SHA-256 {found}, as the server said", model.display());
    Ok(())
}

/// The logits of position 0 in what `bootllm logits` prints.
fn logits(printed: &str) -> Option<Vec<f32>> {
    let line = printed.lines().find(|line| line.starts_with("pos=0 "))?;
    let (_, numbers) = line.split_once("]: ")?;
    numbers.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
}

fn compare(found: &[f32], expected: &[f32]) -> Result<()> {
    ensure!(found.len() >= expected.len(), "only {} logits were printed", found.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        // NaN is not near anything.
        let near = (found - expected).abs() <= TOLERANCE;
        ensure!(near, "logit {at} is {found}, it should be {expected}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_are_read_and_compared() {
        let printed = "pos=0 token=1 argmax=403 checksum=5a logits[0..10]: -6.2229114 8.404342 -1\n\
                       pos=1 token=403 argmax=407 logits[0..10]: 1 2 3\n";
        let found = logits(printed).unwrap();
        assert_eq!(found, [-6.2229114, 8.404342, -1.0]);
        compare(&found, &[-6.222911, 8.40434]).unwrap();
        assert!(compare(&found, &[-6.2229114, 8.4045]).is_err());
        assert!(compare(&[f32::NAN], &[1.0]).is_err());
        assert!(compare(&[1.0], &[1.0, 2.0]).is_err());
        assert_eq!(logits("nothing"), None);
    }
}
