//! The prompt writes what `bootllm` writes on the host.

use crate::fixture::{Transcript, fixture};

/// With the prompt before it, more than the 80 columns that are assumed of a serial terminal.
const LONG: &str =
    "Once upon a time, a dog sat on the house and told the one cat about the sea and";

const SCRIPT: &str = "\
/set temperature 0
Once upon a time
Once upon a time, a dog sat on the house and told the one cat about the sea and
/logits raw
/logits digest
/set temperature 1
/set top_p 0.9
/set seed 42
Once upon a time, in a
/set temperature 0.8
/set top_p 1
/set seed 1234
 The
/set kv f16
/logits digest 100
/set kv q8
/logits digest 99
/diag
";

fn check_against_the_host(transcript: &Transcript) {
    let fixture = fixture();
    let host = |arguments: &[&str]| {
        let text = fixture.host("run", &fixture.model, arguments);
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    };
    let greedy = host(&["-t", "0", "-n", "0", "-i", "Once upon a time"]);
    assert_eq!(transcript.text("Once upon a time"), greedy);
    assert_eq!(transcript.text(LONG), host(&["-t", "0", "-n", "0", "-i", LONG]));
    let typed = "Once upon a time, in a";
    let sampled = host(&["-t", "1", "-p", "0.9", "-s", "42", "-n", "0", "-i", typed]);
    assert_eq!(transcript.text(typed), sampled);
    let sampled = host(&["-t", "0.8", "-p", "1", "-s", "1234", "-n", "0", "-i", " The"]);
    assert_eq!(transcript.text(" The"), sampled);

    // The numbers have enough digits to tell all f32 apart, so equal text is equal bits.
    let logits = fixture.host("logits", &fixture.model, &["-n", "3"]);
    assert_eq!(transcript.answer("/logits raw"), logits.trim_end());
    // The bits of all logits of many positions, token by token and in batches.
    let digest = |words: &[&str], typed: &str| {
        let host = fixture.host("logits", &fixture.model, &[&["--digest"], words].concat());
        assert_eq!(transcript.answer(typed), host.trim_end());
    };
    digest(&[], "/logits digest");
    digest(&["-n", "100"], "/logits digest 100");
    digest(&["-n", "99"], "/logits digest 99");
}

/// The value after a label in what `/diag` prints.
fn fact<'a>(transcript: &'a Transcript, label: &str) -> &'a str {
    let line = |line: &'a str| line.trim_start().strip_prefix(label)?.strip_prefix(' ');
    let diag = transcript.answer("/diag");
    diag.lines().find_map(line).unwrap_or_else(|| panic!("no {label} in {diag}")).trim_start()
}

#[test]
#[ignore = "boots a machine"]
fn says_what_the_host_says_with_1_cpu_and_512_mb() {
    let fixture = fixture();
    let machine = fixture.machine("prompt-1", &fixture.entries(&[&fixture.model]));
    assert_eq!((machine.cpus, machine.memory), (1, 512 << 20));
    let transcript = fixture.play(&machine, SCRIPT);
    check_against_the_host(&transcript);
    assert_eq!(fact(&transcript, "cores"), "1");
    assert!(fact(&transcript, "computing").starts_with("1 core, "), "{}", transcript.0);
}

#[test]
#[ignore = "boots a machine"]
fn says_what_the_host_says_with_2_cpus_and_2_gb() {
    let fixture = fixture();
    let mut machine = fixture.machine("prompt-2", &fixture.entries(&[&fixture.model]));
    (machine.cpus, machine.memory) = (2, 2 << 30);
    let transcript = fixture.play(&machine, SCRIPT);
    check_against_the_host(&transcript);
    assert_eq!(fact(&transcript, "cores"), "2; the others rest in the firmware");
    assert!(fact(&transcript, "computing").starts_with("2 cores, "), "{}", transcript.0);
}

/// The processors report no hypervisor, and two threads per core.
#[test]
#[ignore = "boots a machine"]
fn one_thread_of_each_core_computes_and_watches_for_work() {
    let fixture = fixture();
    let mut machine = fixture.machine("prompt-threads", &fixture.entries(&[&fixture.model]));
    (machine.cpus, machine.threads, machine.reports_hypervisor) = (4, 2, false);
    let transcript = fixture.play(&machine, SCRIPT);
    check_against_the_host(&transcript);
    assert_eq!(fact(&transcript, "cores"), "2 (4 threads); the others rest by MWAIT");
    assert!(fact(&transcript, "computing").starts_with("2 cores, "), "{}", transcript.0);
}

/// The firmware continues with all of its processors: it can start the program again, which can
/// start them again.
#[test]
#[ignore = "boots a machine"]
fn the_firmware_gets_its_processors_back() {
    let fixture = fixture();
    for reports_hypervisor in [true, false] {
        let mut machine = fixture.machine("prompt-back", &fixture.entries(&[&fixture.small]));
        (machine.cpus, machine.reports_hypervisor) = (3, reports_hypervisor);
        // The firmware's menu: languages, devices, booting twice, and then "Continue".
        let script = "/exit firmware\n#wait-for Continue\n#wait-for Select Entry\n\
            #key down\n#key down\n#key down\n#key down\n#key enter\nA dog\n/diag\n";
        let transcript = fixture.play(&machine, script);
        assert!(fact(&transcript, "computing").starts_with("3 cores, "), "{}", transcript.0);
    }
}

#[test]
#[ignore = "boots a machine"]
fn the_first_story_needs_nobody() {
    let fixture = fixture();
    let machine = fixture.machine("prompt-story", &fixture.entries(&[&fixture.small]));
    let transcript = fixture.play(&machine, "/stats").0;
    let figures = transcript.find("\nprompt 1 tokens").expect("a story and its figures");
    let prompt = transcript.find("\n>>> ").expect("a prompt");
    assert!(figures < prompt, "{transcript}");
    assert!(transcript.contains("to the first word: firmware "), "{transcript}");
}

#[test]
#[ignore = "boots a machine"]
fn a_reply_stops_when_asked() {
    let fixture = fixture();
    let machine = fixture.machine("prompt-stop", &fixture.entries(&[&fixture.model]));
    let script = "/set temperature 0\n/set length 0\nA dog\n#wait-for A dog\n#key ctrl-c\n/show\n";
    let transcript = fixture.play(&machine, script);
    assert!(transcript.answer("A dog").contains("stopped after "), "{}", transcript.0);
    assert!(transcript.answer("/show").contains("context"), "{}", transcript.0);
}

#[test]
#[ignore = "boots a machine"]
fn the_speed_is_measured_and_the_conversation_goes_on() {
    let fixture = fixture();
    let mut machine = fixture.machine("prompt-bench", &fixture.entries(&[&fixture.small]));
    (machine.cpus, machine.memory) = (2, 1 << 30);
    let script = "/set temperature 0\nA dog\n/bench\n#wait-for memory\n#key ctrl-c\n\
        /bench\nOnce upon a time\n";
    let transcript = fixture.play(&machine, script);
    let answers: Vec<_> = transcript.0.split("\n>>> /bench\n").skip(1).collect();
    let [stopped, measured] = answers[..] else { panic!("{}", transcript.0) };
    assert!(stopped.contains("measuring was stopped"), "{stopped}");
    for expected in ["\n    1 ", "\n    2 ", " ticks of the CPU's counter per token\n"] {
        assert!(measured.contains(expected), "{expected:?} is not in {measured}");
    }
    let host =
        fixture.host("run", &fixture.small, &["-t", "0", "-n", "0", "-i", "Once upon a time"]);
    assert_eq!(transcript.text("Once upon a time"), host.strip_suffix('\n').unwrap());
}
