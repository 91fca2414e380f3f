//! Bad input of every kind: the program reports what is wrong and loses no data.

use bootllm_cores::OneCore;
use bootllm_engine::{LoadError, Model, Plan};
use bootllm_model_file::{Config, ConfigError, GgufError, ReadError, RowError, Version};
use bootllm_quant::LARGEST_GROUP;
use bootllm_tests::{
    Folder, Program, SmallModel, arguments, bootllm, folder_with_model, set, vocabulary,
    vocabulary_of,
};
use bootllm_tokenizer::{FileError, Tokenizer};
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

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

/// Random bytes, the same every time.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Why a model cannot be run.
#[derive(Debug)]
enum Problem {
    Read(ReadError),
    Load(LoadError),
}

impl Problem {
    fn of(bytes: &[u8]) -> Self {
        let file = match bootllm_model_file::read(&mut &*bytes) {
            Ok(file) => Arc::new(file),
            Err(error) => return Problem::Read(error),
        };
        let plan = Arc::new(Plan::new(file).expect("a model that can be run"));
        let (context, mut source) = (plan.shape().context, bytes);
        let go_on = &mut |_| ControlFlow::Continue(());
        match Model::load(&plan, &mut source, &OneCore, context, go_on) {
            Ok(_) => panic!("nothing is wrong with it"),
            Err(error) => Problem::Load(error),
        }
    }

    fn message(&self) -> String {
        match self {
            Problem::Read(error) => error.to_string(),
            Problem::Load(error) => error.to_string(),
        }
    }

    /// Whether it is this value, or the scale of this index, that is NaN or infinite.
    fn is_not_finite(&self, of: &str, at: (usize, usize), is_nan: bool) -> bool {
        let Problem::Load(LoadError::Rows(RowError::NotFinite { tensor, row, index, nan })) = self
        else {
            return false;
        };
        tensor == of && (*row, *index) == at && *nan == is_nan
    }

    fn is_config(&self, expected: ConfigError) -> bool {
        matches!(self, Problem::Read(ReadError::Config(error)) if *error == expected)
    }
}

/// A name, a file, and a check that an error is the expected one.
type BadFile<Error> = (&'static str, Vec<u8>, fn(&Error) -> bool);

fn files_that_are_no_models() -> Vec<BadFile<Problem>> {
    let good = model_with(|_| {});
    let v0 = SmallModel::tied_embeddings().file(Version::V0);
    let swapped: Vec<u8> =
        v0.as_chunks::<4>().0.iter().flat_map(|&[a, b, c, d]| [d, c, b, a]).collect();
    let readme = "# A project\n\nOnce upon a time there was a README, and a user who took it.\n";
    let is_foreign = |p: &Problem| matches!(p, Problem::Read(ReadError::Foreign { .. }));
    let is_no_model = |p: &Problem| matches!(p, Problem::Read(ReadError::NotAModel));
    let has_other_size = |p: &Problem| matches!(p, Problem::Read(ReadError::Size { .. }));
    vec![
        ("empty", vec![], |p| matches!(p, Problem::Read(ReadError::Empty))),
        ("one byte", vec![7], |p| matches!(p, Problem::Read(ReadError::TooShort { found: 1 }))),
        ("a header cut off", good[..100].into(), |p| {
            matches!(p, Problem::Read(ReadError::TooShort { found: 100 }))
        }),
        ("truncated", good[..good.len() / 2].into(), has_other_size),
        ("one byte short", good[..good.len() - 1].into(), has_other_size),
        ("oversized", [&good[..], &[0; 100]].concat(), has_other_size),
        ("big-endian", swapped, |p| matches!(p, Problem::Read(ReadError::BigEndian))),
        ("noise", noise(5000, 1), is_no_model),
        ("more noise", noise(100_000, 2), is_no_model),
        ("zeros", vec![0; 5000], is_no_model),
        ("a text", b"Once upon a time ".repeat(99), is_no_model),
        ("a README", readme.repeat(20).into(), is_no_model),
        ("GGUF", b"GGUF\x03\0\0\0".repeat(99), |p| {
            matches!(p, Problem::Read(ReadError::Gguf(GgufError::CutShort)))
        }),
        ("zip", b"PK\x03\x04\x14\0\0\0".repeat(99), is_foreign),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0".repeat(99), is_foreign),
        ("pickle", b"\x80\x02}q\0(X\x05".repeat(99), is_foreign),
        ("safetensors", b"\x99\x01\0\0\0\0\0\0{\"a\":{}}".repeat(99), is_foreign),
        ("version 3", model_with(|b| b[4] = 3), |p| {
            matches!(p, Problem::Read(ReadError::Version { found: 3 }))
        }),
    ]
}

fn headers_that_make_no_sense() -> Vec<BadFile<Problem>> {
    vec![
        ("flag 7", model_with(|b| b[36] = 7), |p| p.is_config(ConfigError::TiedFlag { found: 7 })),
        ("no heads", model_with(set_number(3, 0)), |p| {
            p.is_config(ConfigError::NotPositive { field: "n_heads", found: 0 })
        }),
        ("heads", model_with(set_number(3, 5)), |p| {
            p.is_config(ConfigError::HeadsDoNotDivide { dim: 48, heads: 5 })
        }),
        ("kv heads", model_with(set_number(4, 4)), |p| {
            p.is_config(ConfigError::KvHeadsDoNotDivide { heads: 6, kv_heads: 4 })
        }),
        ("odd head", model_with(set_number(3, 48)), |p| {
            p.is_config(ConfigError::OddHead { head_size: 1 })
        }),
        ("no layers", model_with(set_number(2, 0)), |p| {
            p.is_config(ConfigError::NotPositive { field: "n_layers", found: 0 })
        }),
        ("dim < 0", model_with(set_number(0, -48)), |p| {
            p.is_config(ConfigError::NotPositive { field: "dim", found: -48 })
        }),
        ("overflow", model_with(set_number(1, i32::MAX)), |p| {
            matches!(p, Problem::Read(ReadError::Size { .. }))
        }),
        (
            "10 GB in 1 KB",
            model_with(|bytes| {
                set_number(1, 20_000_000)(bytes);
                bytes.truncate(1024);
            }),
            |p| matches!(p, Problem::Read(ReadError::Size { found: 1024, .. })),
        ),
        ("group 0", int8_with(|b| set(b, 37, [0; 4])), |p| {
            p.is_config(ConfigError::GroupSize { found: 0, largest: LARGEST_GROUP })
        }),
        ("group -1", int8_with(|b| set(b, 37, [255; 4])), |p| {
            p.is_config(ConfigError::GroupSize { found: -1, largest: LARGEST_GROUP })
        }),
        ("group 7", int8_with(|b| b[37] = 7), |p| {
            p.is_config(ConfigError::GroupDoesNotDivide { group: 7, columns: 48 })
        }),
        ("huge group", int8_with(|b| b[40] = 0x7f), |p| {
            p.is_config(ConfigError::GroupSize { found: 2_130_706_448, largest: LARGEST_GROUP })
        }),
    ]
}

fn weights_that_are_not_finite() -> Vec<BadFile<Problem>> {
    let float = |value: f32| move |bytes: &mut Vec<u8>| set(bytes, 256, value.to_le_bytes());
    vec![
        ("NaN in a norm", model_with(float(f32::NAN)), |p| {
            p.is_not_finite("blk.0.attn_norm.weight", (0, 0), true)
        }),
        ("infinity in a norm", model_with(float(f32::NEG_INFINITY)), |p| {
            p.is_not_finite("blk.0.attn_norm.weight", (0, 0), false)
        }),
        (
            "NaN in a matrix",
            // The embedding begins after seven norms.
            model_with(|b| set(b, 256 + 4 * (7 * 48 + 48 * 9 + 5), f32::NAN.to_le_bytes())),
            |p| p.is_not_finite("token_embd.weight", (9, 5), true),
        ),
        (
            "an infinite scale",
            int8_with(|b| {
                let end = b.len();
                set(b, end - 4, f32::INFINITY.to_le_bytes());
            }),
            // The last of the three scales of the last row.
            |p| p.is_not_finite("blk.2.ffn_up.weight", (79, 2), false),
        ),
    ]
}

#[test]
fn bad_models_are_refused_with_the_reason() {
    let kinds =
        [files_that_are_no_models(), headers_that_make_no_sense(), weights_that_are_not_finite()];
    for (what, bytes, is_expected) in kinds.into_iter().flatten() {
        let problem = Problem::of(&bytes);
        assert!(is_expected(&problem), "{what}: {problem:?}");
        // The program says so, and which file it is.
        let folder = Folder::new();
        let model = folder.file("model.bin", &bytes);
        folder.file("tokenizer.bin", &vocabulary().write());
        let outcome = bootllm("run {} -t 0 -n 5", &[&model]);
        outcome.assert_refused(&problem.message());
        assert!(outcome.err.contains("model.bin"), "{what}: {outcome:?}");
        let output = folder.path().join("output.bin");
        bootllm("convert {} {} --to v2", &[&model, &output]).assert_refused(&problem.message());
        assert_eq!(folder.names(), ["model.bin", "tokenizer.bin"], "{what}: no file is left");
    }
}

#[test]
fn paths_that_are_not_files_are_refused() {
    let folder = Folder::new();
    let missing = folder.path().join("nothing.bin");
    let commands = ["run {} -t 0", "inspect {}", "logits {}", "convert {} {} --to v1"];
    for command in commands {
        let output = folder.path().join("output.bin");
        let outcome = bootllm(command, &[&missing, &output]);
        outcome.assert_refused("nothing.bin: No such file");
        bootllm(command, &[folder.path(), &output]).assert_refused("");
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
    let is_no_tokenizer = |e: &FileError| matches!(e, FileError::LongestPiece { .. });
    let cases: Vec<BadFile<FileError>> = vec![
        ("empty", vec![], |e| *e == FileError::Empty),
        ("truncated", good[..good.len() - 1].into(), |e| *e == FileError::CutShort { token: 324 }),
        ("half", good[..good.len() / 2].into(), |e| matches!(e, FileError::CutShort { .. })),
        ("noise", noise(4000, 3), is_no_tokenizer),
        ("a model", model_with(|_| {}), is_no_tokenizer),
        ("length", with(8, (-1i32).to_le_bytes()), |e| {
            *e == FileError::PieceLength { token: 0, length: -1 }
        }),
        ("no length", with(8, [0; 4]), |e| *e == FileError::PieceLength { token: 0, length: 0 }),
        ("long", with(8, 60_000i32.to_le_bytes()), |e| *e == FileError::CutShort { token: 0 }),
        ("too long", with(8, i32::MAX.to_le_bytes()), |e| {
            *e == FileError::PieceLength { token: 0, length: i32::MAX }
        }),
        ("NaN", with(4, f32::NAN.to_le_bytes()), |e| *e == FileError::Score { token: 0 }),
        ("small", vocabulary_of(300).write(), |e| {
            *e == FileError::VocabularySize { found: 300, expected: 325 }
        }),
        ("large", vocabulary_of(326).write(), |e| {
            *e == FileError::VocabularySize { found: 326, expected: 325 }
        }),
    ];
    for (what, bytes, is_expected) in cases {
        let error = Tokenizer::from_file(&mut bytes.as_slice(), 325).err().expect("an error");
        assert!(is_expected(&error), "{what}: {error:?}");
        let tokenizer = folder.file("other.bin", &bytes);
        for command in ["run {} -t 0 --tokenizer {}", "run {} -t 0 -z {}", "inspect {} -z {}"] {
            let outcome = bootllm(command, &[&model, &tokenizer]);
            outcome.assert_refused(&error.to_string());
            assert!(outcome.err.contains("other.bin"), "{what}: {outcome:?}");
        }
    }
    let missing = folder.path().join("missing.bin");
    bootllm("run {} -z {}", &[&model, &missing]).assert_refused("missing.bin: No such file");
    bootllm("run {} -z {}", &[&model, folder.path()]).assert_refused("");
}

#[test]
fn the_tokenizer_is_the_named_one_else_its_own_else_the_common_one() {
    let folder = Folder::new();
    let model = folder.file("story.bin", &SmallModel::tied_embeddings().file(Version::V1));
    let run = || bootllm("run {} -t 0 -n 3", &[&model]);
    run().assert_refused("--tokenizer");
    folder.file("tokenizer.bin", &vocabulary_of(300).write());
    run().assert_refused("/tokenizer.bin: ");
    folder.file("tokenizer.bin", &vocabulary().write());
    assert_eq!(run().status, Some(0));
    // Its own counts, even if it is the wrong one.
    let own = folder.file("story.tokenizer.bin", &vocabulary_of(301).write());
    run().assert_refused("/story.tokenizer.bin: ");
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
    // Each names what is wrong: a command, an option or its value.
    let cases = [
        ("", "Usage: bootllm"),
        ("fly", "'fly'"),
        ("run", "<MODEL>"),
        ("run {} -t x", "'x' for '--temperature <TEMPERATURE>'"),
        ("run {} -t -1", "--temperature"),
        ("run {} -t nan", "--temperature"),
        ("run {} -t inf", "--temperature"),
        ("run {} -p 1.5", "--top-p"),
        ("run {} -p -0.1", "--top-p"),
        ("run {} -p nan", "--top-p"),
        ("run {} one two", "'two'"),
        ("run {} -s x", "--seed"),
        ("run {} -s 1.5", "--seed"),
        ("run {} -s 18446744073709551616", "--seed"),
        ("run {} -n x", "--length"),
        ("run {} -n -1", "-1"),
        ("run {} -n 99999999999999999999", "--length"),
        ("run {} -m dance", "[possible values: generate, chat]"),
        ("run {} --threads 0", "1 to 1024"),
        ("run {} --threads -2", "-2"),
        ("run {} --threads 1025", "1 to 1024"),
        ("run {} --threads many", "1 to 1024"),
        ("repl --threads 0", "1 to 1024"),
        ("logits {} --threads 18446744073709551616", "1 to 1024"),
        ("perplexity {} {} --threads 0", "1 to 1024"),
        ("run {} --fast", "'--fast'"),
        ("convert {}", "<OUTPUT>"),
        ("convert {} out", "--to <TO>"),
        ("convert {} out --to v3", "[possible values: v0, v1, v2, f32, f16, bf16, q8_0, q4_0]"),
        ("logits {} --tolerance x --compare {}", "--tolerance"),
        ("logits {} --tolerance nan --compare {}", "--tolerance"),
        ("logits {} -n 0", "--positions"),
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
        ("run {} --context 0", "1 to 100 tokens, not 0"),
        ("run {} --context 101", "1 to 100 tokens, not 101"),
        ("run {} --context 3 -i Once", "the prompt has 5 tokens, "),
        ("logits {} -n 101", "100 positions, not 101"),
        ("convert {} {} -f --to v1 --group 8", "v2"),
        ("convert {} {} -f --to v2 --group 7", "groups of 7 values"),
        ("convert {} {} -f --to v2 --group 0", "0 values"),
        ("convert {} {} -f --to v2 --group 4294967297", "4294967297 values"),
        ("logits {} --compare {}", "existing: 14 bytes "),
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

/// The system promises more memory than it has; here it does not even promise it.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_cannot_be_allocated_is_a_message_too() {
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
    bootllm("convert {} {} --to v2 -f", &[&bad, &output]).assert_refused("not a number");
    bootllm("convert {} {} --to v1 -f", &[&model, &model]).assert_refused("into its own file");
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
    assert!(!folder.names().contains(&"other.tokenizer.bin".into()), "there is none beside it");
    assert!(std::fs::read(&part).unwrap() == original);
    assert!(std::fs::read(&other).unwrap() == original);
}

/// A reader that has seen enough (`bootllm inspect MODEL | head -1`) is not an error.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_or_full_output_is_no_panic() {
    let (_folder, model) = folder_with_model();
    let commands = ["run {} -t 0", "inspect {} --tensors", "logits {} -n 100"];
    for command in commands {
        let mut child = Program::get()
            .command(arguments(command, &[&model]))
            .stdin(std::process::Stdio::null())
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
    let output = command.stderr(full).stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "figures that cannot be written are not an error");
}
