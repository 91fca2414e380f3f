//! The program on Linux, run as a person runs it.

use bootllm_tests::{
    Folder, Program, SmallModel, VERSIONS, arguments, bootllm, folder_with_model, set, shared,
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
    // A seed is said where it mattered, and does the same again.
    let outcome = run("-n 30");
    let (_, seed) = outcome.err.rsplit_once("\nseed ").expect("a seed");
    assert_eq!(run(&format!("-n 30 -s {}", seed.trim_end())).out, outcome.out);
    assert!(!run("-n 30 -s 5").err.contains("seed"));
    assert_ne!(run("-n 30 -s 5").out, run("-n 30 -s -5").out);
    assert_eq!(run("-n 30 -s -5").out, run("-n 30 -s 18446744073709551611").out);
    // 0 and too much both mean the whole context.
    assert_eq!(run("-t 0 -n 0").out, run("-t 0 -n 18446744073709551615").out);
    assert_eq!(run("-t 0 -n 0").out, run("-t 0 -n 100").out);
    // llama2.c cuts a prompt that is longer than the text may be, in silence.
    bootllm("run {} -t 0 -n 3 -i upon", &[&model]).assert_refused("4 tokens, and length is 3");
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
fn instructions_change_nothing_and_the_form_of_keys_and_values_does() {
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
        assert!(perplexity(&format!(" --kv {kv}")).contains("1 documents"));
        run(&format!("logits {{}} --digest --kv {kv}"))
    });
    assert!(f32 == digest && f16 != f32 && q8 != f32 && q8 != f16);
    for (words, expected) in [
        ("run {} --kv q4", "it must be f32, f16 or q8"),
        ("run {} --isa mmx", "it must be one of scalar, sse2, "),
        ("logits {} --digest --save x", "cannot be used with"),
    ] {
        let outcome = bootllm(words, &[&model]);
        assert!(outcome.status == Some(1) && outcome.err.contains(expected), "{outcome:?}");
    }
    bootllm("logits {} --digest -n 101", &[&model])
        .assert_refused("the context of this model has 100 positions, not 101");
}

#[test]
fn the_speed_is_measured_and_held_against_the_machine_s() {
    let (_folder, model) = folder_with_model();
    let outcome = bootllm("bench {} --threads 1,2 --times 1 --decode 7 --kv q8", &[&model]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    // The context of this model has 100 positions.
    for expected in
        ["KV cache in q8; prefill of 100 tokens, decode of 7\n", "1 core\n", "2 cores\n"]
    {
        assert!(outcome.out.contains(expected), "{expected:?} is not in {outcome:?}");
    }
    let words = "bench --shape 260K --format q4_0 --threads 1 --times 2 --prefill 0 --json";
    let outcome = bootllm(words, &[]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    for expected in ["\"model\": \"260K q4_0\"", "\"prefill_tokens\": 0,", "\"decode_tokens\": 64,"]
    {
        assert!(outcome.out.contains(expected), "{expected:?} is not in {outcome:?}");
    }
    bootllm("bench {} --prefill 0 --decode 0", &[&model]).assert_refused("nothing to measure");
    bootllm("bench --shape 7B", &[]).assert_refused("no shape 7B; there are 260K, 15M,");
    for (words, expected) in [
        ("bench {} --times 0", "it must be 1 or more"),
        // A file has its own format.
        ("bench {} --format q4_0", "cannot be used with"),
        ("bench {} --shape 15M", "cannot be used with"),
    ] {
        let outcome = bootllm(words, &[&model]);
        assert!(outcome.status == Some(1) && outcome.err.contains(expected), "{outcome:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn who_waits_at_a_terminal_sees_what_is_measured() {
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
    assert!(report.contains("1 core\n") && !report.contains('\x1b'), "{report:?}");
    // Where nobody watches, nothing is shown.
    assert_eq!(bootllm(words, &[]).err, "");
}

#[test]
fn very_long_prompts_are_taken_or_refused() {
    let (_folder, model) = folder_with_model();
    for (text, tokens) in [
        ("Once upon a time ".repeat(5000), "tokens, the context of this model only 100"),
        ("日本語".repeat(9), ""),
    ] {
        let outcome = Program::get().run([
            OsStr::new("run"),
            model.as_os_str(),
            OsStr::new("-t0"),
            OsStr::new("-i"),
            OsStr::new(&text),
        ]);
        if tokens.is_empty() {
            assert!(outcome.out.starts_with(&text), "{outcome:?}");
        } else {
            outcome.assert_refused(tokens);
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
    // Nothing at all, only the system's text, and a line without its end.
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
    // The question alone does not fit into what is left.
    chat(" -n 10", b"\nWho is there, and why?\n").without_questions().assert_refused(
        "the question has 33 tokens; 10 are left of the 10 that this conversation may have \
         (the context of this model has 100)",
    );
    // 0 is the whole context, in a chat as in a text.
    assert_eq!(chat(" -n 0", b"\nWho?\n").out, chat(" -n 100", b"\nWho?\n").out);
    chat("", b"caf\xe9\n").without_questions().assert_refused("valid UTF-8");
}

#[test]
fn inspect_says_what_a_file_holds_and_needs() {
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
    assert!(outcome.out.contains("the likeliest token is the same at every position"));

    let mut bytes = std::fs::read(&saved).unwrap();
    let place = 4 * (2 * 325 + 17);
    let logit = f32::from_le_bytes(*bytes[place..].first_chunk().unwrap());
    set(&mut bytes, place, (logit + 0.5).to_le_bytes());
    std::fs::write(&saved, &bytes).unwrap();
    let outcome = bootllm("logits {} --compare {} --tolerance 0.25", &[&model, &saved]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.out.contains("2924 equal to the bit"), "{outcome:?}");
    assert!(outcome.out.contains("at position 2, token 17"), "{outcome:?}");
    assert!(outcome.err.contains("above the tolerance of 2.5e-1"), "{outcome:?}");
    let outcome = bootllm("logits {} --compare {} --tolerance 0.75", &[&model, &saved]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");

    // NaN is above every tolerance.
    set(&mut bytes, place, f32::NAN.to_le_bytes());
    std::fs::write(&saved, &bytes).unwrap();
    let outcome = bootllm("logits {} --compare {} --tolerance 1000", &[&model, &saved]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    let nowhere = folder.path().join("no/folder");
    let outcome = bootllm("logits {} --save {}", &[&model, &nowhere]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.err.contains("no/folder: No such file"), "{outcome:?}");
}

#[test]
fn converting_keeps_what_a_model_says() {
    let (folder, model) = folder_with_model();
    let run = |path: &Path| {
        let tokenizer = folder.path().join("story.tokenizer.bin");
        bootllm("run {} -t 0 -i Once -z {}", &[path, &tokenizer]).out
    };
    let config = SmallModel::tied_embeddings().config;
    for (to, version) in ["v0", "v1", "v2"].into_iter().zip(VERSIONS) {
        let output = folder.path().join(to);
        let outcome = bootllm(&format!("convert {{}} {{}} --to {to}"), &[&model, &output]);
        assert_eq!((outcome.status, outcome.out.as_str()), (Some(0), ""), "{outcome:?}");
        let expected = SmallModel::tied_embeddings().file(version(&config));
        assert!(std::fs::read(&output).unwrap() == expected, "{to}");
        if to != "v2" {
            assert_eq!(run(&output), run(&model), "{to}");
        }
    }
    assert_eq!(folder.names(), ["story.bin", "story.tokenizer.bin", "v0", "v1", "v2"]);
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
    // The prompt stands there once, and the text goes on after it.
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
fn texts_are_llama2_c_s_byte_for_byte() {
    let Some(folder) = shared("the texts of stories260K") else {
        return;
    };
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
