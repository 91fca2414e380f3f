//! The program on Linux, run as a person runs it, with good and with bad input.

use bootllm_model_file::{Config, Version};
use bootllm_tests::{
    Folder, Outcome, Program, SmallModel, VERSIONS, shared, vocabulary, vocabulary_of,
};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A folder with a model, `story.bin`, and its tokenizer.
fn folder_with_model() -> (Folder, PathBuf) {
    let folder = Folder::new();
    let model = folder.file("story.bin", &SmallModel::shared_classifier().file(Version::V1));
    folder.file("story.tokenizer.bin", &vocabulary().write());
    (folder, model)
}

/// Runs the program, the first argument being a list of words and the others whole arguments.
fn bootllm(words: &str, paths: &[&Path]) -> Outcome {
    Program::get().run(arguments(words, paths))
}

/// Words, with a path in place of each `{}`.
fn arguments(words: &str, paths: &[&Path]) -> Vec<OsString> {
    let mut paths = paths.iter();
    let mut next = |word: &str| match word {
        "{}" => paths.next().expect("a path for every {}").into(),
        word => word.into(),
    };
    words.split(' ').map(&mut next).collect()
}

/// What was wrong is said in one line, which holds `expected`, and nothing else happens.
#[track_caller]
fn assert_refused(outcome: &Outcome, expected: &str) {
    assert_eq!((outcome.status, outcome.out.as_str()), (Some(1), ""), "{outcome:?}");
    assert!(outcome.err.starts_with("bootllm: "), "{outcome:?}");
    assert_eq!(outcome.err.lines().count(), 1, "{outcome:?}");
    assert!(outcome.err.contains(expected), "{expected:?} is not in {outcome:?}");
}

fn model_with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = SmallModel::shared_classifier().file(Version::V1);
    change(&mut bytes);
    bytes
}

fn int8_with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = SmallModel::shared_classifier().file(Version::V2 { group: 16 });
    change(&mut bytes);
    bytes
}

/// Overwrites four bytes.
fn set(bytes: &mut [u8], offset: usize, number: [u8; 4]) {
    bytes[offset..offset + 4].copy_from_slice(&number);
}

/// The seven numbers of a v1 header, from byte 8 on.
fn set_number(index: usize, number: i32) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| set(bytes, 8 + 4 * index, number.to_le_bytes())
}

/// Bytes without any sense, the same every time.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn bad_models_are_refused_with_the_reason() {
    let good = model_with(|_| {});
    let v0 = SmallModel::shared_classifier().file(Version::V0);
    let swapped: Vec<u8> =
        v0.as_chunks::<4>().0.iter().flat_map(|&[a, b, c, d]| [d, c, b, a]).collect();
    let float = |value: f32| move |bytes: &mut Vec<u8>| set(bytes, 256, value.to_le_bytes());
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "the file is empty; copy the model again"),
        ("one byte", vec![7], "only 1 bytes, less than a header"),
        ("a header cut off", good[..100].into(), "only 100 bytes, less than a header"),
        ("truncated", good[..good.len() / 2].into(), "cut short; copy or download it again"),
        ("one byte short", good[..good.len() - 1].into(), "cut short"),
        ("oversized", [&good[..], &[0; 100]].concat(), "too long, or not a model at all"),
        ("big-endian", swapped, "written on a big-endian machine"),
        ("noise", noise(5000, 1), "not a model: no known format"),
        ("more noise", noise(100_000, 2), "not a model: no known format"),
        ("zeros", vec![0; 5000], "not a model: no known format"),
        ("a text", b"Once upon a time ".repeat(99), "not a model"),
        ("GGUF", b"GGUF\x03\0\0\0".repeat(99), "a GGUF file"),
        ("zip", b"PK\x03\x04\x14\0\0\0".repeat(99), "a zip archive or a PyTorch checkpoint"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0".repeat(99), "gzip data, not a model"),
        ("pickle", b"\x80\x02}q\0(X\x05".repeat(99), "a Python pickle"),
        ("safetensors", b"\x99\x01\0\0\0\0\0\0{\"a\":{}}".repeat(99), "a safetensors file"),
        ("version 3", model_with(|b| b[4] = 3), "version 3; versions 0, 1 and 2 can be read"),
        ("flag 7", model_with(|b| b[36] = 7), "flag for a shared classifier is 7"),
        ("no heads", model_with(set_number(3, 0)), "n_heads is 0"),
        ("heads", model_with(set_number(3, 5)), "5 heads do not divide the dimension 48"),
        ("kv heads", model_with(set_number(4, 4)), "4 key and value heads do not divide 6"),
        ("odd head", model_with(set_number(3, 48)), "a head has 1 values, an odd number"),
        ("no layers", model_with(set_number(2, 0)), "n_layers is 0"),
        ("dim < 0", model_with(set_number(0, -48)), "dim is -48"),
        ("overflow", model_with(set_number(1, i32::MAX)), "cut short"),
        (
            "10 GB in 1 KB",
            model_with(|bytes| {
                set_number(1, 20_000_000)(bytes);
                bytes.truncate(1024);
            }),
            "bytes, the file has 1024: it is cut short",
        ),
        ("group 0", int8_with(|b| set(b, 37, [0; 4])), "a group has 0 values; it must have 1 to"),
        ("group -1", int8_with(|b| set(b, 37, [255; 4])), "a group has -1 values"),
        ("group 7", int8_with(|b| b[37] = 7), "groups of 7 values do not divide rows of 48"),
        ("huge group", int8_with(|b| b[40] = 0x7f), "a group has 2130706448 values"),
        (
            "NaN in a norm",
            model_with(float(f32::NAN)),
            "damaged: number 0 in row 0 of blk.0.attn_norm.weight is not a number",
        ),
        (
            "infinity in a norm",
            model_with(float(f32::NEG_INFINITY)),
            "number 0 in row 0 of blk.0.attn_norm.weight is infinite",
        ),
        (
            "NaN in a matrix",
            // The embedding begins after seven norms.
            model_with(|b| set(b, 256 + 4 * (7 * 48 + 48 * 9 + 5), f32::NAN.to_le_bytes())),
            "number 5 in row 9 of token_embd.weight is not a number",
        ),
        (
            "an infinite scale",
            int8_with(|b| {
                let end = b.len();
                set(b, end - 4, f32::INFINITY.to_le_bytes());
            }),
            "of blk.2.ffn_up.weight is infinite",
        ),
    ];
    for (what, bytes, expected) in cases {
        let folder = Folder::new();
        let model = folder.file("model.bin", &bytes);
        folder.file("tokenizer.bin", &vocabulary().write());
        let outcome = bootllm("run {} -t 0 -n 5", &[&model]);
        assert_refused(&outcome, expected);
        assert!(outcome.err.contains("model.bin"), "{what}: {outcome:?}");
        let output = folder.path().join("output.bin");
        assert_refused(&bootllm("convert {} {} --to v2", &[&model, &output]), expected);
        assert_eq!(folder.names(), ["model.bin", "tokenizer.bin"], "{what}: no rest is left");
    }
}

#[test]
fn paths_that_are_no_models_are_refused() {
    let folder = Folder::new();
    let missing = folder.path().join("nothing.bin");
    let commands = ["run {} -t 0", "inspect {}", "logits {}", "convert {} {} --to v1"];
    for command in commands {
        let output = folder.path().join("output.bin");
        let outcome = bootllm(command, &[&missing, &output]);
        assert_refused(&outcome, "nothing.bin: No such file");
        assert_refused(&bootllm(command, &[folder.path(), &output]), "it is a folder");
        assert_refused(&bootllm(command, &[Path::new("/dev/null"), &output]), "/dev/null: it is");
    }
    let outcome = bootllm("repl {}", &[&missing]);
    assert_refused(&outcome, "nothing.bin: No such file");
}

#[test]
fn bad_tokenizers_are_refused_with_the_reason() {
    let (folder, model) = folder_with_model();
    let good = vocabulary().write();
    let with = |offset, number| {
        let mut bytes = good.clone();
        set(&mut bytes, offset, number);
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "the file is empty; copy the tokenizer again"),
        ("truncated", good[..good.len() - 1].into(), "token 324 is cut off at the end of the file"),
        ("half", good[..good.len() / 2].into(), "is cut off at the end of the file"),
        ("noise", noise(4000, 3), "not a tokenizer: it would have pieces of up to"),
        ("a model", model_with(|_| {}), "not a tokenizer"),
        ("length", with(8, (-1i32).to_le_bytes()), "token 0 has a piece of -1 bytes"),
        ("no length", with(8, [0; 4]), "token 0 has a piece of 0 bytes"),
        ("long", with(8, 60_000i32.to_le_bytes()), "token 0 is cut off"),
        ("too long", with(8, i32::MAX.to_le_bytes()), "token 0 has a piece of 2147483647 bytes"),
        ("NaN", with(4, f32::NAN.to_le_bytes()), "the score of token 0 is not a number"),
        ("small", vocabulary_of(300).write(), "it has 300 tokens, the model 325"),
        ("large", vocabulary_of(326).write(), "it has 326 tokens, the model 325"),
    ];
    for (what, bytes, expected) in cases {
        let tokenizer = folder.file("other.bin", &bytes);
        for command in ["run {} -t 0 --tokenizer {}", "run {} -t 0 -z {}", "inspect {} -z {}"] {
            let outcome = bootllm(command, &[&model, &tokenizer]);
            assert_refused(&outcome, expected);
            assert!(outcome.err.contains("other.bin"), "{what}: {outcome:?}");
        }
    }
    let missing = folder.path().join("missing.bin");
    let outcome = bootllm("run {} -z {}", &[&model, &missing]);
    assert_refused(&outcome, "missing.bin: No such file");
    assert_refused(&bootllm("run {} -z {}", &[&model, folder.path()]), "it is a folder");
}

#[test]
fn the_tokenizer_is_the_named_one_else_its_own_else_the_common_one() {
    let folder = Folder::new();
    let model = folder.file("story.bin", &SmallModel::shared_classifier().file(Version::V1));
    let run = || bootllm("run {} -t 0 -n 3", &[&model]);
    assert_refused(&run(), "no story.tokenizer.bin or tokenizer.bin beside it; name one with");
    folder.file("tokenizer.bin", &vocabulary_of(300).write());
    assert_refused(&run(), "tokenizer.bin: it has 300 tokens, the model 325");
    folder.file("tokenizer.bin", &vocabulary().write());
    assert_eq!(run().status, Some(0));
    // Its own counts, even if it is the wrong one.
    let own = folder.file("story.tokenizer.bin", &vocabulary_of(301).write());
    assert_refused(&run(), "story.tokenizer.bin: it has 301 tokens");
    std::fs::rename(own, folder.path().join("named.bin")).unwrap();
    folder.file("tokenizer.bin", b"bad");
    folder.file("named.bin", &vocabulary().write());
    let named = folder.path().join("named.bin");
    assert_eq!(bootllm("run {} -t 0 -n 3 -z {}", &[&model, &named]).status, Some(0));
}

#[test]
fn bad_arguments_are_refused_with_the_reason() {
    let (folder, model) = folder_with_model();
    let existing = folder.file("existing", b"what was there");
    let cases = [
        ("", "Usage: bootllm"),
        ("fly", "unrecognized subcommand 'fly'"),
        ("run", "<MODEL>"),
        ("run {} -t x", "invalid value 'x' for '--temperature <TEMPERATURE>': not a number"),
        ("run {} -t -1", "it must be 0 or more"),
        ("run {} -t nan", "it must be 0 or more"),
        ("run {} -t inf", "it must be 0 or more"),
        ("run {} -p 1.5", "it must be a number from 0 to 1"),
        ("run {} -p -0.1", "it must be a number from 0 to 1"),
        ("run {} -p nan", "it must be a number from 0 to 1"),
        ("run {} -s x", "it must be a whole number"),
        ("run {} -s 1.5", "it must be a whole number"),
        ("run {} -s 18446744073709551616", "it must be a whole number"),
        ("run {} -n x", "invalid value 'x'"),
        ("run {} -n -1", "-1"),
        ("run {} -n 99999999999999999999", "invalid value"),
        ("run {} -m dance", "[possible values: generate, chat]"),
        ("run {} --fast", "unexpected argument '--fast'"),
        ("convert {}", "<OUTPUT>"),
        ("convert {} out", "--to <TO>"),
        ("convert {} out --to v3", "[possible values: v0, v1, v2]"),
        ("logits {} --tolerance x --compare {}", "invalid value 'x'"),
        ("logits {} --tolerance nan --compare {}", "it must be 0 or more"),
        ("logits {} -n 0", "it must be 1 or more"),
    ];
    for (words, expected) in cases {
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let outcome = match words.as_str() {
            "" => Program::get().run([] as [&str; 0]),
            words => bootllm(words, &[&model, &existing]),
        };
        assert_eq!((outcome.status, outcome.out.as_str()), (Some(1), ""), "{words}: {outcome:?}");
        assert!(outcome.err.contains(expected), "{words}: {expected:?} is not in {outcome:?}");
    }
    let cases = [
        ("run {} --context 0", "the context can have 1 to 100 tokens, not 0"),
        ("run {} --context 101", "the context can have 1 to 100 tokens, not 101"),
        ("run {} --context 3 -i Once", "the prompt has 5 tokens, the context of this model only 3"),
        ("logits {} -n 101", "the context of this model has 100 positions, not 101"),
        ("convert {} {} --to v1 --group 8", "only v2 has groups"),
        ("convert {} {} --to v2 --group 7", "groups of 7 values do not divide rows of 48"),
        ("convert {} {} --to v2 --group 0", "a group has 0 values"),
        ("convert {} {} --to v2 --group 4294967297", "a group has 4294967297 values"),
        ("logits {} --compare {}", "14 bytes are not the logits of a model with 325 tokens"),
    ];
    for (words, expected) in cases {
        assert_refused(&bootllm(words, &[&model, &existing]), expected);
    }
    assert_eq!(std::fs::read(&existing).unwrap(), b"what was there");
    assert_eq!(folder.names(), ["existing", "story.bin", "story.tokenizer.bin"]);
}

#[cfg(unix)]
#[test]
fn a_prompt_that_is_no_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let (_folder, model) = folder_with_model();
    let prompt = OsStr::from_bytes(b"caf\xe9");
    let outcome =
        Program::get().run([OsStr::new("run"), model.as_os_str(), OsStr::new("-i"), prompt]);
    assert_eq!((outcome.status, outcome.out.as_str()), (Some(1), ""), "{outcome:?}");
    assert!(outcome.err.contains("invalid UTF-8"), "{outcome:?}");
}

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
    // A prompt longer than what is asked for is cut as llama2.c cuts it.
    assert_eq!(run("-t 0 -n 3 -i upon").out, "upon\n");
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
            assert_refused(&outcome, tokens);
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
    assert_refused(
        &chat(" -n 10", b"\nWho is there, and why?\n").without_prompts(),
        "the prompt has",
    );
    assert_refused(&chat("", b"caf\xe9\n").without_prompts(), "valid UTF-8");
}

trait WithoutPrompts {
    fn without_prompts(self) -> Self;
}

impl WithoutPrompts for Outcome {
    /// The outcome without what asks for questions.
    fn without_prompts(mut self) -> Self {
        if let Some(start) = self.err.find("bootllm: ") {
            self.err.drain(..start);
        }
        self
    }
}

#[test]
fn inspect_says_what_a_file_holds_and_needs() {
    let (folder, model) = folder_with_model();
    let outcome = bootllm("inspect {} --tensors", &[&model]);
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
    for expected in [
        "format       llama2.c v1 (f32)",
        "shape        dim 48, hidden 80, 3 layers",
        "heads        6 of 8, 2 for keys and values",
        "vocabulary   325 tokens",
        "context      100 tokens",
        "classifier   the token embedding",
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
fn a_model_that_needs_more_memory_than_there_is_is_refused_with_both_numbers() {
    let config = Config { context: i32::MAX as usize, ..SmallModel::shared_classifier().config };
    let folder = Folder::new();
    let file = SmallModel { config, seed: 1 }.file(Version::V1);
    let model = folder.file("huge.bin", &file);
    folder.file("tokenizer.bin", &vocabulary().write());
    for words in ["run {} -t 0 -n 3", "logits {}"] {
        let outcome = bootllm(words, &[&model]);
        assert_refused(&outcome, "huge.bin: the model needs ");
        assert!(outcome.err.contains("GB of memory, this machine has "), "{outcome:?}");
    }
    let outcome = bootllm("inspect {}", &[&model]);
    assert_eq!(outcome.status, Some(0));
    assert!(outcome.out.contains("GB  KV cache"), "{outcome:?}");
    assert_eq!(bootllm("run {} -t 0 -n 3 --context 50", &[&model]).status, Some(0));
}

/// The system promises memory that it does not have; here it does not even promise it.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_cannot_be_had_is_a_message_too() {
    let config = Config { context: 3_000_000, ..SmallModel::shared_classifier().config };
    let folder = Folder::new();
    let model = folder.file("large.bin", &SmallModel { config, seed: 1 }.file(Version::V1));
    let program = Program::get().command([] as [&str; 0]);
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 200000; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .arg("logits")
        .arg(&model)
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("large.bin: "), "{err}");
    assert!(err.contains("memory"), "{err}");
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
    let config = SmallModel::shared_classifier().config;
    for (to, version) in ["v0", "v1", "v2"].into_iter().zip(VERSIONS) {
        let output = folder.path().join(to);
        let outcome = bootllm(&format!("convert {{}} {{}} --to {to}"), &[&model, &output]);
        assert_eq!((outcome.status, outcome.out.as_str()), (Some(0), ""), "{outcome:?}");
        let expected = SmallModel::shared_classifier().file(version(&config));
        assert!(std::fs::read(&output).unwrap() == expected, "{to}");
        if to != "v2" {
            assert_eq!(run(&output), run(&model), "{to}");
        }
    }
    assert_eq!(folder.names(), ["story.bin", "story.tokenizer.bin", "v0", "v1", "v2"]);
}

#[test]
fn a_failed_conversion_loses_nothing() {
    let (folder, model) = folder_with_model();
    let original = std::fs::read(&model).unwrap();
    let output = folder.file("output.bin", b"precious");
    let bad = folder.file("bad.bin", &model_with(|b| set(b, 256, f32::NAN.to_le_bytes())));

    assert_refused(&bootllm("convert {} {} --to v1", &[&model, &model]), "into its own file");
    let roundabout = folder.path().join("../").join(folder.path().file_name().unwrap());
    let roundabout = roundabout.join("story.bin");
    assert_refused(&bootllm("convert {} {} --to v1", &[&model, &roundabout]), "its own file");
    assert_refused(&bootllm("convert {} {} --to v2", &[&bad, &output]), "not a number");
    let nowhere = folder.path().join("no/folder.bin");
    assert_refused(&bootllm("convert {} {} --to v1", &[&model, &nowhere]), "No such file");
    assert_refused(&bootllm("convert {} {} --to v1", &[&model, folder.path()]), "is a folder");
    let device = Path::new("/dev/null");
    assert_refused(&bootllm("convert {} {} --to v1", &[&model, device]), "/dev/null: ");
    assert!(!std::fs::metadata(device).unwrap().is_file(), "a device must stay a device");

    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    assert!(std::fs::read(&model).unwrap() == original);
    assert_eq!(folder.names(), ["bad.bin", "output.bin", "story.bin", "story.tokenizer.bin"]);

    // Whatever the two are called, the model is not overwritten.
    let part = folder.path().join("other.bin.part");
    std::fs::rename(&model, &part).unwrap();
    let other = folder.path().join("other.bin");
    let outcome = bootllm("convert {} {} --to v1", &[&part, &other]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(std::fs::read(&part).unwrap() == original);
    assert!(std::fs::read(&other).unwrap() == original);
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
    let echoed = format!(">>> Once upon a time\n{told}");
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
    assert!(outcome.out.contains("There is no model on this volume"), "{outcome:?}");
}

/// A reader that has seen enough (`bootllm inspect MODEL | head -1`) is no fault of the program.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_or_full_output_is_no_panic() {
    let (_folder, model) = folder_with_model();
    let commands = ["run {} -t 0", "inspect {} --tensors", "logits {} -n 100"];
    for command in commands {
        let mut child = Program::get()
            .command(arguments(command, &[&model]))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{command}");

        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output =
            Program::get().command(arguments(command, &[&model])).stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {err}");
        assert!(err.contains("bootllm: standard output: No space left"), "{command}: {err}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Program::get().command(arguments("run {} -t 0", &[&model]));
    let output = command.stderr(full).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "figures that nobody can read are no error");
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
