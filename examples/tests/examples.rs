//! Runs the examples on the model that the repository contains.

use std::path::Path;
use std::process::Command;

fn run(program: &str) -> String {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/bedtime-stories.bin");
    let output = Command::new(program).arg(model).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_text_in_a_batch_is_the_text_alone() {
    let alone = run(env!("CARGO_BIN_EXE_load_and_write"));
    let both = run(env!("CARGO_BIN_EXE_two_sequences"));
    assert!(alone.starts_with("Once upon a time") && alone.len() > 100, "{alone}");
    let (first, second) = both.split_at(both.find("\n\nThe little dog wanted").unwrap());
    assert_eq!(first, alone.trim_end_matches('\n'));
    assert!(second.trim().len() > 100, "{second}");
}
