//! Bad input of every kind: what is wrong is said, and nothing is lost.

use bootllm_model_file::{Config, Version};
use bootllm_tests::{
    Folder, Program, SmallModel, arguments, bootllm, folder_with_model, set, vocabulary,
    vocabulary_of,
};
use std::ffi::OsStr;
use std::path::Path;

fn model_with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = SmallModel::tied_embeddings().file(Version::V1);
    change(&mut bytes);
    bytes
}

fn int8_with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = SmallModel::tied_embeddings().file(Version::V2 { group: 16 });
    change(&mut bytes);
    bytes
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
    let v0 = SmallModel::tied_embeddings().file(Version::V0);
    let swapped: Vec<u8> =
        v0.as_chunks::<4>().0.iter().flat_map(|&[a, b, c, d]| [d, c, b, a]).collect();
    let float = |value: f32| move |bytes: &mut Vec<u8>| set(bytes, 256, value.to_le_bytes());
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "the file is empty; copy the model again"),
        ("one byte", vec![7], "only 1 byte, less than a header"),
        ("a header cut off", good[..100].into(), "only 100 bytes, less than a header"),
        ("truncated", good[..good.len() / 2].into(), "cut short; copy or download it again"),
        ("one byte short", good[..good.len() - 1].into(), "cut short"),
        ("oversized", [&good[..], &[0; 100]].concat(), "too long, or not a model at all"),
        ("big-endian", swapped, "written on a big-endian machine"),
        ("noise", noise(5000, 1), "not a model in GGUF or in one of"),
        ("more noise", noise(100_000, 2), "not a model in GGUF or in one of"),
        ("zeros", vec![0; 5000], "not a model in GGUF or in one of"),
        ("a text", b"Once upon a time ".repeat(99), "not a model"),
        ("GGUF", b"GGUF\x03\0\0\0".repeat(99), "the file ends within its description"),
        ("zip", b"PK\x03\x04\x14\0\0\0".repeat(99), "a zip archive or a PyTorch checkpoint"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0".repeat(99), "gzip data, not a model"),
        ("pickle", b"\x80\x02}q\0(X\x05".repeat(99), "a Python pickle"),
        ("safetensors", b"\x99\x01\0\0\0\0\0\0{\"a\":{}}".repeat(99), "a safetensors file"),
        ("version 3", model_with(|b| b[4] = 3), "version 3; versions 0, 1 and 2 can be read"),
        ("flag 7", model_with(|b| b[36] = 7), "flag for tied embeddings is 7"),
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
        outcome.assert_refused(expected);
        assert!(outcome.err.contains("model.bin"), "{what}: {outcome:?}");
        let output = folder.path().join("output.bin");
        bootllm("convert {} {} --to v2", &[&model, &output]).assert_refused(expected);
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
        outcome.assert_refused("nothing.bin: No such file");
        bootllm(command, &[folder.path(), &output]).assert_refused("it is a folder");
        bootllm(command, &[Path::new("/dev/null"), &output]).assert_refused("/dev/null: it is");
    }
    let outcome = bootllm("repl {}", &[&missing]);
    outcome.assert_refused("nothing.bin: No such file");
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
            outcome.assert_refused(expected);
            assert!(outcome.err.contains("other.bin"), "{what}: {outcome:?}");
        }
    }
    let missing = folder.path().join("missing.bin");
    let outcome = bootllm("run {} -z {}", &[&model, &missing]);
    outcome.assert_refused("missing.bin: No such file");
    bootllm("run {} -z {}", &[&model, folder.path()]).assert_refused("it is a folder");
}

#[test]
fn the_tokenizer_is_the_named_one_else_its_own_else_the_common_one() {
    let folder = Folder::new();
    let model = folder.file("story.bin", &SmallModel::tied_embeddings().file(Version::V1));
    let run = || bootllm("run {} -t 0 -n 3", &[&model]);
    run().assert_refused("no story.tokenizer.bin or tokenizer.bin beside it; name one with");
    folder.file("tokenizer.bin", &vocabulary_of(300).write());
    run().assert_refused("tokenizer.bin: it has 300 tokens, the model 325");
    folder.file("tokenizer.bin", &vocabulary().write());
    assert_eq!(run().status, Some(0));
    // Its own counts, even if it is the wrong one.
    let own = folder.file("story.tokenizer.bin", &vocabulary_of(301).write());
    run().assert_refused("story.tokenizer.bin: it has 301 tokens");
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
        ("run {} --threads 0", "'--threads <COUNT>': it must be 1 to 1024"),
        ("run {} --threads -2", "-2"),
        ("run {} --threads 1025", "it must be 1 to 1024"),
        ("run {} --threads many", "it must be 1 to 1024"),
        ("repl --threads 0", "it must be 1 to 1024"),
        ("logits {} --threads 18446744073709551616", "it must be 1 to 1024"),
        ("perplexity {} {} --threads 0", "it must be 1 to 1024"),
        ("run {} --fast", "unexpected argument '--fast'"),
        ("convert {}", "<OUTPUT>"),
        ("convert {} out", "--to <TO>"),
        ("convert {} out --to v3", "[possible values: v0, v1, v2, f32, f16, bf16, q8_0, q4_0]"),
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
        bootllm(words, &[&model, &existing]).assert_refused(expected);
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
fn a_model_that_needs_more_memory_than_there_is_is_refused_with_both_numbers() {
    let config = Config { context: i32::MAX as usize, ..SmallModel::tied_embeddings().config };
    let folder = Folder::new();
    let file = SmallModel { config, seed: 1 }.file(Version::V1);
    let model = folder.file("huge.bin", &file);
    folder.file("tokenizer.bin", &vocabulary().write());
    for words in ["run {} -t 0 -n 3", "logits {}"] {
        let outcome = bootllm(words, &[&model]);
        outcome.assert_refused("huge.bin: the model needs ");
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
    let config = Config { context: 3_000_000, ..SmallModel::tied_embeddings().config };
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
    assert!(err.contains("cannot allocate"), "{err}");
}

#[test]
fn a_failed_conversion_loses_nothing() {
    let (folder, model) = folder_with_model();
    let original = std::fs::read(&model).unwrap();
    let output = folder.file("output.bin", b"precious");
    let bad = folder.file("bad.bin", &model_with(|b| set(b, 256, f32::NAN.to_le_bytes())));

    bootllm("convert {} {} --to v1", &[&model, &model]).assert_refused("into its own file");
    let roundabout = folder.path().join("../").join(folder.path().file_name().unwrap());
    let roundabout = roundabout.join("story.bin");
    bootllm("convert {} {} --to v1", &[&model, &roundabout]).assert_refused("its own file");
    bootllm("convert {} {} --to v2", &[&bad, &output]).assert_refused("not a number");
    let nowhere = folder.path().join("no/folder.bin");
    bootllm("convert {} {} --to v1", &[&model, &nowhere]).assert_refused("No such file");
    bootllm("convert {} {} --to v1", &[&model, folder.path()]).assert_refused("is a folder");
    let device = Path::new("/dev/null");
    bootllm("convert {} {} --to v1", &[&model, device]).assert_refused("/dev/null: ");
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
