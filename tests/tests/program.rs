//! The program on Linux, run as a user runs it.

use bootllm_chat::GenerateError;
use bootllm_quant::Encoding;
use bootllm_tests::{
    Folder, Gguf, Program, SmallModel, VERSIONS, arguments, bootllm, folder_with_model, set,
    shared, value, vocabulary,
};
use std::ffi::OsStr;
use std::path::Path;

#[test]
fn standard_output_is_the_text_and_nothing_else() {
    let (_folder, model) = folder_with_model();
    let run = |words: &str| {
        let outcome = bootllm(&format!("run {{}} {words}"), &[&model]);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        outcome
    };
    let outcome = run("-t 0 -n 30 -i Once");
    assert!(outcome.out.starts_with("Once") && outcome.out.ends_with('\n'));
    assert!(outcome.err.starts_with("prompt 5 tokens, "), "{outcome:?}");
    assert!(outcome.err.contains("generated 26 tokens"), "{outcome:?}");
    assert_eq!(outcome.out, run("--temperature 0 --length 30 --prompt Once").out);
    // The seed is printed if it was random, and gives the same text again.
    let outcome = run("-n 30");
    let (_, seed) = outcome.err.rsplit_once("\nseed ").expect("a seed");
    assert_eq!(run(&format!("-n 30 -s {}", seed.trim_end())).out, outcome.out);
    assert!(!run("-n 30 -s 5").err.contains("seed"));
    assert_ne!(run("-n 30 -s 5").out, run("-n 30 -s -5").out);
    assert_eq!(run("-n 30 -s -5").out, run("-n 30 -s 18446744073709551611").out);
    // 0 and too much both mean the whole context.
    assert_eq!(run("-t 0 -n 0").out, run("-t 0 -n 18446744073709551615").out);
    assert_eq!(run("-t 0 -n 0").out, run("-t 0 -n 100").out);
    // llama2.c silently cuts a prompt that is longer than the text may be.
    let error = GenerateError::LengthTooShort { tokens: 4, length: 3 };
    bootllm("run {} -t 0 -n 3 -i upon", &[&model]).assert_refused(&error.to_string());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (_folder, model) = folder_with_model();
    let run = |words: &str| {
        let outcome = bootllm(words, &[&model]);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        outcome.out
    };
    for words in ["run {} -s 7 -n 0 -i Once", "logits {} -n 100", "logits {} --digest"] {
        let expected = run(&format!("{words} --threads 1"));
        assert!(expected.len() > 60, "{expected}");
        for threads in ["", " --threads 2", " --threads 3", " --threads 20"] {
            assert_eq!(run(&format!("{words}{threads}")), expected, "{threads}");
        }
    }
    let chat = |threads: &str| {
        let words = arguments(&format!("run {{}} -m chat -s 7 --threads {threads}"), &[&model]);
        Program::get().run_with(words, b"\nWho?\nWhy?\n").out
    };
    assert_eq!(chat("1"), chat("3"));
}

#[test]
fn instruction_sets_change_nothing_and_the_kv_format_does() {
    let (folder, model) = folder_with_model();
    let text = folder.file("text", b"Once upon a time there was a dog.");
    let run = |words: &str| {
        let outcome = bootllm(words, &[&model]);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        outcome.out
    };
    let perplexity = |words: &str| {
        let outcome = bootllm(&format!("perplexity {{}} {{}}{words}"), &[&model, &text]);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        outcome.out
    };
    let digest = run("logits {} --digest");
    assert!(digest.starts_with("digest of 100 positions: "), "{digest}");
    assert!(digest.ends_with(", token by token and as one prompt\n"), "{digest}");
    for isa in ["scalar", "sse2", "avx2", "AVX-512", "neon"] {
        assert_eq!(run(&format!("logits {{}} --digest --isa {isa}")), digest, "{isa}");
        assert_eq!(run(&format!("run {{}} -t 0 --isa {isa}")), run("run {} -t 0"), "{isa}");
        assert_eq!(perplexity(&format!(" --isa {isa}")), perplexity(""), "{isa}");
    }
    let [f32, f16, q8] = ["f32", "f16", "q8"].map(|kv| {
        run(&format!("run {{}} -t 0 --kv {kv}"));
        assert!(perplexity(&format!(" --kv {kv}")).contains("1 document,"));
        run(&format!("logits {{}} --digest --kv {kv}"))
    });
    assert!(f32 == digest && f16 != f32 && q8 != f32 && q8 != f16);
    for (words, expected) in [
        ("run {} --kv q4", "f32, f16, q8"),
        ("run {} --isa mmx", "scalar, sse2, "),
        ("logits {} --digest --save x", "--save"),
    ] {
        let outcome = bootllm(words, &[&model]);
        assert!(outcome.status == Some(1) && outcome.err.contains(expected), "{outcome:?}");
    }
    bootllm("logits {} --digest -n 101", &[&model]).assert_refused("100 positions, not 101");
}

#[test]
fn speed_is_measured_and_compared_with_the_machine() {
    let (_folder, model) = folder_with_model();
    let outcome = bootllm("bench {} --threads 1,2 --times 1 --decode 7 --kv q8", &[&model]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    // The context of this model has 100 positions.
    assert!(outcome.out.contains("in q8; prefill of 100 tokens, decode of 7\n"), "{outcome:?}");
    let rows = outcome.out.lines().skip_while(|line| !line.starts_with("cores ")).skip(1);
    let cores = rows.map_while(|row| row.split_whitespace().next()).take(2);
    assert!(cores.eq(["1", "2"]), "{outcome:?}");
    let words = "bench --shape 260K --format q4_0 --threads 1 --times 2 --prefill 0 --json";
    let outcome = bootllm(words, &[]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    for expected in ["\"model\": \"260K q4_0\"", "\"prefill_tokens\": 0,", "\"decode_tokens\": 64,"]
    {
        assert!(outcome.out.contains(expected), "{expected:?} is not in {outcome:?}");
    }
    bootllm("bench {} --prefill 0 --decode 0", &[&model]).assert_refused("0 tokens");
    bootllm("bench --shape 7B", &[]).assert_refused("260K, 15M, 42M, 110M, 1.1B");
    for (words, expected) in [
        ("bench {} --times 0", "--times"),
        // A file has its own format.
        ("bench {} --format q4_0", "--format"),
        ("bench {} --shape 15M", "--shape"),
    ] {
        let outcome = bootllm(words, &[&model]);
        assert!(outcome.status == Some(1) && outcome.err.contains(expected), "{outcome:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn progress_is_shown_at_a_terminal() {
    use std::process::Command;

    let folder = Folder::new();
    let words = "bench --shape 260K --threads 1 --times 40 --prefill 16";
    let command = Program::get().command(words.split(' '));
    let report = folder.path().join("report");
    let line = format!("'{}' {words} > '{}'", command.get_program().display(), report.display());
    // Its terminal is standard error; standard output is a file.
    let Ok(script) = Command::new("script").args(["-qec", &line, "/dev/null"]).output() else {
        eprintln!("`script`, of util-linux, is not here: nothing is tested");
        return;
    };
    let (seen, report) =
        (String::from_utf8(script.stdout).unwrap(), std::fs::read_to_string(report).unwrap());
    assert!(script.status.success(), "{seen}");
    assert!(seen.contains("\r1 core: decode, "), "{seen:?}");
    assert!(seen.ends_with("\r\x1b[K"), "{seen:?}");
    assert!(report.contains("\ncores ") && !report.contains('\x1b'), "{report:?}");
    // Without a terminal nothing is shown.
    assert_eq!(bootllm(words, &[]).err, "");
}

/// Waits for something that happens soon, or fails.
#[cfg(target_os = "linux")]
fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !happened() {
        assert!(start.elapsed().as_secs() < 120, "waited too long: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_leaves_no_unfinished_file() {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let folder = Folder::new();
        let output = folder.path().join("model.bin");
        // It takes minutes to write.
        let mut command =
            Program::get().command(arguments("synthesize 1.1B {} --to v0", &[&output]));
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        wait_until("a file", || folder.names().iter().any(|name| name.ends_with(".part")));
        let kill = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().signal(), Some(number));
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    }

    // `nohup` has SIGHUP ignored.
    let folder = Folder::new();
    let program = Program::get().command([] as [&str; 0]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" synthesize 1.1B \"$1\" --to v0"]);
    command.arg(program.get_program()).arg(folder.path().join("model.bin"));
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    wait_until("a file", || folder.names().iter().any(|name| name.ends_with(".part")));
    for name in ["HUP", "TERM"] {
        let kill = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

/// A signal during an answer leaves the terminal as it was.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_takes_the_terminal_out_of_raw_mode() {
    use std::process::Command;

    let folder = Folder::new();
    let model = folder.path().join("model.bin");
    // Slow enough to be interrupted.
    let made = bootllm("synthesize 15M {} --to v2", &[&model]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let program = Program::get().command([] as [&str; 0]);
    let said = folder.path().join("said");
    for signal in ["TERM", "HUP"] {
        let line = format!(
            "'{}' run '{}' Why? -m chat -y x -n 0 </dev/tty >/dev/null 2>&1 & \
             until stty -a </dev/tty | grep -q -e '-icanon'; do kill -0 $! || break; done; \
             kill -s {signal} $!; wait $!; echo status $?; stty -a </dev/tty",
            program.get_program().display(),
            model.display(),
        );
        let mut script = Command::new("script");
        let Ok(output) = script.args(["-qec", &line]).arg(&said).output() else {
            eprintln!("`script`, of util-linux, is not here: nothing is tested");
            return;
        };
        let seen = String::from_utf8(output.stdout).unwrap();
        let (_, after) = seen.split_once("status ").expect("an exit status");
        assert!(after.starts_with("143") || after.starts_with("129"), "{seen:?}");
        assert!(after.contains(" icanon"), "{seen:?}");
    }
}

#[test]
fn very_long_prompts_are_taken_or_refused() {
    let (_folder, model) = folder_with_model();
    for (text, is_too_long) in
        [("Once upon a time ".repeat(5000), true), ("日本語".repeat(9), false)]
    {
        let outcome = Program::get().run([
            OsStr::new("run"),
            model.as_os_str(),
            OsStr::new("-t0"),
            OsStr::new("-i"),
            OsStr::new(&text),
        ]);
        if is_too_long {
            let tokens = vocabulary().encode(&text, true, false).len();
            let error = GenerateError::PromptTooLong { tokens, context: 100 };
            outcome.assert_refused(&error.to_string());
        } else {
            assert!(outcome.out.starts_with(&text), "{outcome:?}");
        }
    }
}

#[test]
fn a_chat_reads_questions_from_standard_input_until_its_end() {
    let (_folder, model) = folder_with_model();
    let chat = |words: &str, input: &[u8]| {
        let words = format!("run {{}} -m chat -t 0{words}");
        Program::get().run_with(arguments(&words, &[&model]), input)
    };
    // Nothing at all, only the system prompt, and a line without its end.
    for input in ["", "Be kind.\n", "Be kind."] {
        let outcome = chat("", input.as_bytes());
        assert_eq!((outcome.status, outcome.out.as_str()), (Some(0), ""), "{outcome:?}");
        assert!(outcome.err.starts_with("Enter system prompt (optional): User: "), "{outcome:?}");
    }
    let typed = chat(" -n 80", b"Be kind.\nWho?\n");
    assert_eq!(typed.status, Some(0), "{typed:?}");
    assert!(typed.err.contains("User: Assistant: "), "{typed:?}");
    assert!(typed.out.ends_with('\n') && typed.out.len() > 10, "{typed:?}");
    let given = Program::get().run_with(
        arguments("run {} -m chat -t 0 -n 80 -y Be@kind. -i Who?", &[&model])
            .into_iter()
            .map(|word| if word == "Be@kind." { "Be kind.".into() } else { word }),
        b"",
    );
    assert_eq!(given.out, typed.out);
    // The question alone does not fit what is left.
    let error = GenerateError::QuestionTooLong { tokens: 33, length: 10, left: 10, context: 100 };
    chat(" -n 10", b"\nWho is there, and why?\n")
        .without_questions()
        .assert_refused(&error.to_string());
    // 0 is the whole context, in a chat as in a text.
    assert_eq!(chat(" -n 0", b"\nWho?\n").out, chat(" -n 100", b"\nWho?\n").out);
    chat("", b"caf\xe9\n").without_questions().assert_refused("valid UTF-8");
}

#[test]
fn inspect_shows_what_a_file_contains_and_needs() {
    let (folder, model) = folder_with_model();
    let outcome = bootllm("inspect {} --tensors", &[&model]);
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
    for expected in [
        "format       llama2.c v1 (f32)",
        "shape        width 48, hidden 80, 3 layers",
        "heads        6 of 8, 2 for keys and values",
        "vocabulary   325 tokens",
        "context      100 tokens",
        "output       tied to the token embedding",
        "tokenizer    325 pieces of up to",
        "with the whole context",
        "blk.2.ffn_down.weight ",
    ] {
        assert!(outcome.out.contains(expected), "{expected:?} is not in {}", outcome.out);
    }
    std::fs::remove_file(folder.path().join("story.tokenizer.bin")).unwrap();
    let outcome = bootllm("inspect {}", &[&model]);
    assert_eq!(outcome.status, Some(0));
    assert!(outcome.out.contains("there is no story.tokenizer.bin or tokenizer.bin"));
}

#[test]
fn inspect_describes_models_that_cannot_be_run() {
    let folder = Folder::new();
    let mut file = Gguf::parse(&SmallModel::tied_embeddings().gguf(Encoding::F32));
    let architecture = file.values.iter_mut().find(|(key, _)| key == "general.architecture");
    architecture.unwrap().1 = value::text("mamba");
    let model = folder.file("model.gguf", &file.bytes());
    let outcome = bootllm("inspect {} --tensors", &[&model]);
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
    for expected in ["GGUF (f32)", "325 tokens", "can be run", "mamba", "blk.2.ffn_down.weight "] {
        assert!(outcome.out.contains(expected), "{expected:?} is not in {}", outcome.out);
    }
    assert_eq!(bootllm("run {}", &[&model]).status, Some(1));
}

#[test]
fn logits_are_saved_and_compared() {
    let (folder, model) = folder_with_model();
    let saved = folder.path().join("saved.f32le");
    let outcome = bootllm("logits {} -n 9 --save {}", &[&model, &saved]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert_eq!(outcome.out.lines().count(), 9);
    assert!(outcome.out.starts_with("pos=0 token=1 argmax="), "{outcome:?}");
    assert_eq!(std::fs::metadata(&saved).unwrap().len(), 4 * 9 * 325);

    let outcome = bootllm("logits {} --compare {} --tolerance 0", &[&model, &saved]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(outcome.out.contains("2925 logits of 9 positions compared: 2925 equal to the bit"));
    assert!(outcome.out.contains("argmax is the same at every position"), "{outcome:?}");

    let mut bytes = std::fs::read(&saved).unwrap();
    let place = 4 * (2 * 325 + 17);
    let logit = f32::from_le_bytes(*bytes[place..].first_chunk().unwrap());
    set(&mut bytes, place, (logit + 0.5).to_le_bytes());
    std::fs::write(&saved, &bytes).unwrap();
    let outcome = bootllm("logits {} --compare {} --tolerance 0.25", &[&model, &saved]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.out.contains("2924 equal to the bit"), "{outcome:?}");
    assert!(outcome.out.contains("at position 2, token 17"), "{outcome:?}");
    assert!(outcome.err.contains("2.5e-1"), "{outcome:?}");
    let outcome = bootllm("logits {} --compare {} --tolerance 0.75", &[&model, &saved]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");

    // Some of the positions, and more of them than were saved.
    for (positions, compared) in [(2, 2 * 325), (12, 9 * 325)] {
        let words = format!("logits {{}} -n {positions} --compare {{}}");
        let outcome = bootllm(&words, &[&model, &saved]);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        assert!(outcome.out.contains(&format!("{compared} logits of ")), "{outcome:?}");
    }

    // NaN is above every tolerance.
    set(&mut bytes, place, f32::NAN.to_le_bytes());
    std::fs::write(&saved, &bytes).unwrap();
    let outcome = bootllm("logits {} --compare {} --tolerance 1000", &[&model, &saved]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    // Less than a position, and not whole positions.
    for bytes in [&bytes[..14], &bytes[..4 * 325 + 4]] {
        let saved = folder.file("cut", bytes);
        bootllm("logits {} --compare {}", &[&model, &saved]).assert_refused("cut: ");
    }
    let nowhere = folder.path().join("no/folder");
    let outcome = bootllm("logits {} --save {}", &[&model, &nowhere]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.err.contains("no/folder: No such file"), "{outcome:?}");
}

/// What never ends is read as far as there are logits to compare it with.
#[cfg(target_os = "linux")]
#[test]
fn comparing_reads_no_more_than_it_needs() {
    let (_folder, model) = folder_with_model();
    let outcome = bootllm("logits {} --compare {}", &[&model, Path::new("/dev/zero")]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(outcome.out.contains(&format!("{} logits of 100 positions", 100 * 325)));
    bootllm("logits {} --compare {}", &[&model, Path::new("/dev/null")])
        .assert_refused("/dev/null: ");
}

#[test]
fn converting_keeps_the_model_and_its_tokenizer() {
    let (folder, model) = folder_with_model();
    let run = |path: &Path| bootllm("run {} -t 0 -i Once", &[path]);
    let config = SmallModel::tied_embeddings().config;
    for (to, version) in ["v0", "v1", "v2"].into_iter().zip(VERSIONS) {
        let output = folder.path().join(to);
        let outcome = bootllm(&format!("convert {{}} {{}} --to {to}"), &[&model, &output]);
        assert_eq!((outcome.status, outcome.out.as_str()), (Some(0), ""), "{outcome:?}");
        let expected = SmallModel::tied_embeddings().file(version(&config));
        assert!(std::fs::read(&output).unwrap() == expected, "{to}");
        // The tokenizer is beside it, so it can be run.
        let tokenizer = format!("{to}.tokenizer.bin");
        assert!(outcome.err.contains(&tokenizer), "{outcome:?}");
        assert!(std::fs::read(folder.path().join(tokenizer)).unwrap() == vocabulary().write());
        assert_eq!(run(&output).status, Some(0), "{to}");
        if to != "v2" {
            assert_eq!(run(&output).out, run(&model).out, "{to}");
        }
    }

    // One that is there already is as good. One that was named goes along, from wherever it is.
    let v1 = folder.path().join("story.v1");
    assert_eq!(bootllm("convert {} {} --to v1", &[&model, &v1]).status, Some(0));
    let elsewhere = Folder::new();
    let (bare, output) = (elsewhere.path().join("bare.bin"), elsewhere.path().join("new.bin"));
    std::fs::copy(&model, &bare).unwrap();
    let outcome = bootllm("convert {} {} --to v0", &[&bare, &output]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert_eq!(elsewhere.names(), ["bare.bin", "new.bin"]);
    assert!(outcome.err.contains("--tokenizer"), "{outcome:?}");
    let tokenizer = folder.path().join("story.tokenizer.bin");
    let outcome = bootllm("convert {} {} --to v0 -f -z {}", &[&bare, &output, &tokenizer]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert_eq!(elsewhere.names(), ["bare.bin", "new.bin", "new.tokenizer.bin"]);
}

#[test]
fn files_that_exist_are_replaced_by_force_alone() {
    let (folder, model) = folder_with_model();
    let output = folder.file("output.bin", b"precious");
    let tokenizer = folder.path().join("output.tokenizer.bin");
    let convert =
        |options: &str| bootllm(&format!("convert {{}} {{}} --to v0{options}"), &[&model, &output]);
    convert("").assert_refused("--force");
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    std::fs::remove_file(&output).unwrap();
    std::fs::write(&tokenizer, b"of another model").unwrap();
    convert("").assert_refused("output.tokenizer.bin");
    assert_eq!(folder.names(), ["output.tokenizer.bin", "story.bin", "story.tokenizer.bin"]);
    assert_eq!(std::fs::read(&tokenizer).unwrap(), b"of another model");
    for force in [" --force", " -f"] {
        assert_eq!(convert(force).status, Some(0));
        assert!(std::fs::read(&tokenizer).unwrap() == vocabulary().write());
    }
    bootllm("synthesize 260K {} --to v0", &[&output]).assert_refused("--force");
    assert_eq!(bootllm("synthesize 260K {} --to v0 -f", &[&output]).status, Some(0));
}

#[test]
fn a_prompt_is_an_argument_or_on_standard_input() {
    let (_folder, model) = folder_with_model();
    let run = |words: &str, input: &str| {
        let outcome = Program::get().run_with(arguments(words, &[&model]), input.as_bytes());
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        outcome.out
    };
    let told = run("run {} -t 0 -n 30 -i Once", "not read");
    assert!(told.starts_with("Once"), "{told}");
    assert_eq!(run("run {} Once -t 0 -n 30", "not read"), told);
    for input in ["Once", "Once\n", "Once\r\n"] {
        assert_eq!(run("run {} -t 0 -n 30 -i -", input), told);
        assert_eq!(run("run {} -t 0 -n 30", input), told);
    }
    assert!(run("run {} -t 0 -n 30", "Once\n\n").starts_with("Once\n"));
    // The argument itself may be a hyphen, after which nothing is an option.
    assert!(run("run -t 0 -n 30 {} -- -", "").starts_with('-'));
    let both = bootllm("run {} Once -i Once", &[&model]);
    assert_eq!((both.status, both.out.as_str()), (Some(1), ""), "{both:?}");
    bootllm("run {} -m chat -i -", &[&model]).assert_refused("standard input");
    let binary = Program::get().run_with(arguments("run {}", &[&model]), b"caf\xe9");
    binary.assert_refused("standard input: ");
    // A chat reads its questions there.
    let chat = Program::get().run_with(arguments("run {} Who? -m chat -t 0 -y x", &[&model]), b"");
    let same = Program::get().run_with(arguments("run {} -m chat -t 0 -y x", &[&model]), b"Who?");
    assert_eq!((chat.status, chat.out), (Some(0), same.out));
}

#[test]
fn a_model_is_found_by_its_name_in_the_usual_folders() {
    let (folder, model) = folder_with_model();
    let run_in = |name: &str| {
        let words = format!("run {name} -t 0 -n 9 -i Once");
        let mut command = Program::get().command(words.split(' '));
        command.current_dir(folder.path()).output().unwrap()
    };
    let expected = run_in("story.bin").stdout;
    assert!(expected.starts_with(b"Once"));
    assert!(!run_in("story").status.success());
    for place in ["target/models", "models"] {
        let place = folder.path().join(place);
        std::fs::create_dir_all(&place).unwrap();
        for name in ["story.bin", "story.tokenizer.bin"] {
            std::fs::rename(model.with_file_name(name), place.join(name)).unwrap();
        }
        for name in ["story.bin", "story"] {
            let output = run_in(name);
            assert_eq!(output.stdout, expected, "{name} in {}: {output:?}", place.display());
        }
        // A path is a path.
        assert!(!run_in("./story.bin").status.success());
        for name in ["story.bin", "story.tokenizer.bin"] {
            std::fs::rename(place.join(name), model.with_file_name(name)).unwrap();
        }
    }
}

#[test]
fn the_prompt_of_the_stick_works_in_a_folder_and_on_a_pipe() {
    let (folder, model) = folder_with_model();
    let repl = |input: &str| {
        Program::get().run_with([OsStr::new("repl"), folder.path().as_os_str()], input.as_bytes())
    };
    let outcome = repl("/set temperature 0\nOnce upon a time\n/show\nexit\nnever read\n");
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
    let prompt = ["run", "-t0", "-i", "Once upon a time"].map(OsStr::new);
    let told = Program::get().run(prompt.into_iter().chain([model.as_os_str()])).out;
    // The prompt stands there once, and the text goes on after it, without control characters.
    let told = told.trim_end().replace(|c: char| c.is_control() && c != '\n' && c != '\t', "");
    let echoed = told.replacen("Once upon a time", ">>> Once upon a time\x1b[0m", 1);
    assert!(outcome.out.contains(&echoed), "{echoed:?} is not in {}", outcome.out);
    assert!(outcome.out.contains("story.tokenizer.bin, 325 tokens"));
    assert!(!outcome.out.contains("never read"));
    // The end of the input ends it, wherever it comes.
    for input in ["", "On", "/help\n"] {
        assert_eq!(repl(input).status, Some(0), "{input:?}");
    }
    let empty = Folder::new();
    let outcome = bootllm("repl {}", &[empty.path()]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(outcome.out.contains("There is no model here"), "{outcome:?}");
}

/// The texts of `shared/reference/stories260K/COMMANDS.md`.
#[test]
#[cfg_attr(not(has_shared), ignore = "needs the folder `shared` beside the repository")]
fn texts_are_llama2_c_s_byte_for_byte() {
    let folder = shared();
    let (f32_files, int8) = (["stories260K.bin", "stories260K_v1.bin"], ["stories260K_v2_gs4.bin"]);
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("greedy_once_n256.txt", &f32_files, &["-t0", "-n256", "-i", "Once upon a time"]),
        ("greedy_empty_n200.txt", &f32_files, &["-t0", "-n200"]),
        ("greedy_dog_n512.txt", &f32_files, &["-t0", "-n512", "-i", "The dog"]),
        (
            "t1.0_p0.9_s42_once_n256.txt",
            &f32_files,
            &["-t1.0", "-p0.9", "-s42", "-n256", "-i", "Once upon a time"],
        ),
        ("t0.8_p1.0_s1234_empty_n256.txt", &f32_files, &["-t0.8", "-p1.0", "-s1234", "-n256"]),
        ("runq_gs4_greedy_once_n256.txt", &int8, &["-t0", "-n256", "-i", "Once upon a time"]),
    ];
    let tokenizer = folder.join("models/tok512.bin");
    for (name, models, arguments) in cases {
        let expected = std::fs::read_to_string(folder.join("reference/stories260K").join(name));
        let expected = expected.unwrap();
        for model in models {
            let model = folder.join("models").join(model);
            let fixed =
                [OsStr::new("run"), model.as_os_str(), OsStr::new("-z"), tokenizer.as_os_str()];
            let all = fixed.into_iter().chain(arguments.iter().map(OsStr::new));
            let outcome = Program::get().run(all);
            assert_eq!(outcome.status, Some(0), "{outcome:?}");
            assert_eq!(outcome.out, expected, "{name} by {}", model.display());
        }
    }
}
