//! What is said at the prompt is what the program on this machine says.

use crate::bench::{Transcript, bench};

const SCRIPT: &str = "\
/set temperature 0
Once upon a time
/logits
/set temperature 1
/set top_p 0.9
/set seed 42
Once upon a time, in a
/set temperature 0.8
/set top_p 1
/set seed 1234
 The
";

fn check_against_the_host(transcript: &Transcript) {
    let bench = bench();
    let host = |arguments: &[&str]| {
        let text = bench.host("run", &bench.model, arguments);
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    };
    let greedy = host(&["-t", "0", "-n", "256", "-i", "Once upon a time"]);
    assert_eq!(transcript.text("Once upon a time"), greedy);
    let typed = "Once upon a time, in a";
    let sampled = host(&["-t", "1", "-p", "0.9", "-s", "42", "-n", "256", "-i", typed]);
    assert_eq!(transcript.text(typed), sampled);
    let sampled = host(&["-t", "0.8", "-p", "1", "-s", "1234", "-n", "256", "-i", " The"]);
    assert_eq!(transcript.text(" The"), sampled);

    // With as many digits as tell every f32 from every other, equal text is equal bits.
    let logits = bench.host("logits", &bench.model, &["-n", "3"]);
    assert_eq!(transcript.answer("/logits"), logits.trim_end());
}

#[test]
#[ignore = "boots a machine"]
fn says_what_the_host_says_with_1_cpu_and_512_mb() {
    let bench = bench();
    let machine = bench.machine("prompt-1", &bench.entries(&[&bench.model]));
    assert_eq!((machine.cpus, machine.memory.as_str()), (1, "512M"));
    check_against_the_host(&bench.play(&machine, SCRIPT));
}

#[test]
#[ignore = "boots a machine"]
fn says_what_the_host_says_with_2_cpus_and_2_gb() {
    let bench = bench();
    let mut machine = bench.machine("prompt-2", &bench.entries(&[&bench.model]));
    (machine.cpus, machine.memory) = (2, "2G".to_owned());
    check_against_the_host(&bench.play(&machine, SCRIPT));
}

#[test]
#[ignore = "boots a machine"]
fn the_first_story_needs_nobody() {
    let bench = bench();
    let machine = bench.machine("prompt-story", &bench.entries(&[&bench.small]));
    let transcript = bench.play(&machine, "/stats").0;
    let figures = transcript.find("\nprompt 1 tokens").expect("a story and its figures");
    let prompt = transcript.find("\n>>> ").expect("a prompt");
    assert!(figures < prompt, "{transcript}");
    assert!(transcript.contains("to the first word: firmware "), "{transcript}");
}

#[test]
#[ignore = "boots a machine"]
fn a_reply_stops_when_asked() {
    let bench = bench();
    let machine = bench.machine("prompt-stop", &bench.entries(&[&bench.model]));
    let script = "/set temperature 0\n/set length 0\nA dog\n#wait-for A dog\n#key ctrl-c\n/show\n";
    let transcript = bench.play(&machine, script);
    assert!(transcript.answer("A dog").ends_with("stopped"), "{}", transcript.0);
    assert!(transcript.answer("/show").contains("context"), "{}", transcript.0);
}
