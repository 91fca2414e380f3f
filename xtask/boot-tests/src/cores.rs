//! PCs whose other cores are not to be woken.

use std::fs;

use xtask::disk::Entry;
use xtask::machine::Machine;

use crate::fixture::{Transcript, fixture};

/// A machine with two processors and a file on its disk.
fn machine_with(test: &str, name: &str, text: &str) -> Machine {
    let fixture = fixture();
    let file = fixture.file(name);
    fs::write(&file, text).unwrap();
    let mut entries = fixture.entries(&[&fixture.small]);
    entries.push(Entry::new(name, file).unwrap());
    let mut machine = fixture.machine(test, &entries);
    machine.cpus = 2;
    machine
}

fn computes_with(transcript: &Transcript, cores: &str) -> bool {
    let diag = transcript.answer("/diag");
    diag.lines().any(|line| line.trim_start().starts_with("computing") && line.contains(cores))
}

#[test]
#[ignore = "boots a machine"]
fn a_file_limits_the_cores() {
    let machine = machine_with("cores-file", "bootllm.txt", "# one\r\ncores = 1\r\n");
    let transcript = fixture().play(&machine, "/diag\n");
    assert!(computes_with(&transcript, "1 core,"), "{}", transcript.0);
}

/// What a start leaves that stopped while it woke the cores: the next one does not wake them, and
/// the one after that tries again.
#[test]
#[ignore = "boots a machine"]
fn a_start_that_stopped_is_remembered_once() {
    let machine = machine_with("cores-marker", "bootllm.try", "");
    for cores in ["1 core,", "2 cores,"] {
        let transcript = fixture().play(&machine, "/diag\n");
        assert!(computes_with(&transcript, cores), "{}", transcript.0);
    }
}
