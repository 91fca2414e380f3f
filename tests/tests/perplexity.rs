//! `bootllm perplexity`: how well a model predicts a text.

use bootllm_cores::OneCore;
use bootllm_engine::Session;
use bootllm_model_file::Version;
use bootllm_quant::Encoding;
use bootllm_tests::{
    Folder, Gguf, Program, SmallModel, bootllm, folder_with_model, set, shared, value, vocabulary,
};
use std::ffi::OsStr;
use std::path::Path;

const STORIES: [&str; 3] = ["Once upon a time", "the dog, 日本語!\n\nIt is on the über", "a"];

/// A row of the table: tokens, nats per token, perplexity, bits per byte.
fn row(line: &str) -> Vec<f64> {
    line.split_whitespace().skip(1).map(|field| field.parse().expect("a number")).collect()
}

/// The loss of a text by the definition, from logits that `bootllm logits` saves; and its tokens.
fn plain_loss(folder: &Folder, model: &Path, text: &str) -> (f64, usize) {
    let tokens = vocabulary().encode(text, true, false);
    let saved = folder.path().join("saved.f32le");
    let positions = tokens.len().to_string();
    let words = ["logits", "-n", &positions, "-i", text, "--save"].map(OsStr::new);
    let outcome = Program::get().run(words.into_iter().chain([saved.as_os_str(), model.as_ref()]));
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let bytes = std::fs::read(saved).unwrap();
    let logits: Vec<f64> =
        bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect();
    let loss = |(logits, &next): (&[f64], &u32)| {
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        -(logits[next as usize].exp() / sum).ln()
    };
    let rows = logits.chunks(vocabulary().len());
    (rows.zip(&tokens[1..]).map(loss).sum(), tokens.len() - 1)
}

#[test]
fn the_loss_is_that_of_the_definition() {
    let (folder, model) = folder_with_model();
    let too_long = "日本 ".repeat(70);
    let text = [STORIES[0], STORIES[1], &too_long, STORIES[2]].join("\r\n<|endoftext|>\n");
    let text = folder.file("text", text.as_bytes());
    let outcome = bootllm("perplexity {} {}", &[&model, &text]);
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
    let lines: Vec<&str> = outcome.out.lines().collect();
    let bytes: usize = STORIES.iter().map(|story| story.len()).sum();
    let expected = format!(
        "{}: 3 documents, {bytes} bytes; 1 longer than 100 tokens left out (see --windows)",
        text.display()
    );
    assert_eq!((lines.len(), lines[0]), (3, expected.as_str()));

    let all = STORIES.map(|story| plain_loss(&folder, &model, story));
    let (loss, tokens) = all.iter().fold((0.0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let mean = loss / tokens as f64;
    let expected = [tokens as f64, mean, mean.exp(), loss / 2f64.ln() / bytes as f64];
    for (found, expected) in row(lines[2]).iter().zip(expected) {
        // The last digit that is printed.
        assert!((found - expected).abs() < 1e-3, "{found} is not {expected}: {outcome:?}");
    }
}

#[test]
fn a_long_document_is_read_in_windows_that_overlap() {
    let (folder, model) = folder_with_model();
    // Each character is a token of its own.
    let story = "日".repeat(60);
    let text = folder.file("text", story.as_bytes());
    let tokens = vocabulary().encode(&story, true, false);
    let (bos, content) = (tokens[0], &tokens[1..]);
    assert_eq!(content.len(), 61, "a space before the text");
    // A context of 41 has room for BOS and 40 tokens: windows begin at 0, 20 and 40.
    let window = |range: std::ops::Range<usize>| [&[bos], &content[range]].concat();
    let outcome = bootllm("perplexity {} {} --context 41", &[&model, &text]);
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
    let found = row(outcome.out.lines().nth(2).unwrap());
    assert_eq!(found[0], 61.0);

    let logits = |tokens: &[u32], predicted: usize| window_loss(tokens, predicted);
    let expected =
        logits(&window(0..40), 1) + logits(&window(20..60), 21) + logits(&window(40..61), 21);
    assert!((found[1] - expected / 61.0).abs() < 1e-3, "{found:?} {expected}");
    assert!((found[3] - expected / 2f64.ln() / 180.0).abs() < 1e-3, "{found:?}");

    // A document that fits is measured as ever, and long ones beside it if that is wanted.
    let both = folder.file("both", format!("{story}<|endoftext|>Once").as_bytes());
    let short = bootllm("perplexity {} {} --context 41", &[&model, &both]);
    assert_eq!(row(short.out.lines().nth(2).unwrap())[0], 4.0);
    let all = bootllm("perplexity {} {} --context 41 --windows", &[&model, &both]);
    assert_eq!(row(all.out.lines().nth(2).unwrap())[0], 65.0);
    // The number of threads changes nothing here either.
    for threads in ["1", "3"] {
        let words = format!("perplexity {{}} {{}} --context 41 --windows --threads {threads}");
        assert_eq!(bootllm(&words, &[&model, &both]).out, all.out);
    }
}

/// The loss of a window's tokens from index `predicted` on, by the engine's own logits.
fn window_loss(tokens: &[u32], predicted: usize) -> f64 {
    let model = SmallModel::tied_embeddings().load(Version::V1);
    let mut session = Session::new(&model, &OneCore).unwrap();
    let mut loss = 0.0;
    for (index, pair) in tokens.windows(2).enumerate() {
        let logits: Vec<f64> =
            session.decode(pair[0]).unwrap().iter().map(|&logit| logit.into()).collect();
        if index + 1 >= predicted {
            let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
            loss -= (logits[pair[1] as usize].exp() / sum).ln();
        }
    }
    loss
}

#[test]
fn without_bos_the_first_token_is_not_counted() {
    let folder = Folder::new();
    let mut file = Gguf::parse(&SmallModel::tied_embeddings().gguf(Encoding::F32));
    let add_bos = file.values.iter_mut().find(|(key, _)| key == "tokenizer.ggml.add_bos_token");
    add_bos.unwrap().1 = value::bool(false);
    let model = folder.file("model.gguf", &file.bytes());
    let story = "日".repeat(3);
    let tokens = vocabulary().encode(&story, true, false);
    let text = folder.file("text", story.as_bytes());
    let outcome = bootllm("perplexity {} {}", &[&model, &text]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let found = row(outcome.out.lines().nth(2).unwrap());
    // The first token is the space that goes before a text, which is none of its bytes.
    let loss = window_loss(&tokens[1..], 1);
    assert_eq!(found[0], 3.0);
    assert!((found[1] - loss / 3.0).abs() < 1e-3, "{found:?} {loss}");
    assert!((found[3] - loss / 2f64.ln() / 9.0).abs() < 1e-3, "{found:?} {loss}");

    // Of one token nothing can be said; it was NaN.
    let add_space = file.values.iter_mut().find(|(key, _)| key.ends_with("add_space_prefix"));
    add_space.unwrap().1 = value::bool(false);
    let model = folder.file("model.gguf", &file.bytes());
    let one = folder.file("one", b"a");
    bootllm("perplexity {} {}", &[&model, &one]).assert_refused("one: no token can be predicted");
    let some = folder.file("some", format!("a<|endoftext|>{story}").as_bytes());
    let outcome = bootllm("perplexity {} {}", &[&model, &some]);
    let found = row(outcome.out.lines().nth(2).unwrap());
    assert_eq!(found[0], 2.0, "{outcome:?}");
    let loss = window_loss(&tokens[2..], 1);
    assert!((found[3] - loss / 2f64.ln() / 6.0).abs() < 1e-3, "{found:?} {loss}");
    assert!(found.iter().all(|figure| figure.is_finite()), "{outcome:?}");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (folder, model) = folder_with_model();
    let text: Vec<String> = (0..9).map(|n| format!("Once upon {n} times. ").repeat(n)).collect();
    let text = folder.file("text", text.join("<|endoftext|>").as_bytes());
    let run = |words: &str| {
        let outcome = bootllm(&format!("perplexity {{}} {{}}{words}"), &[&model, &text]);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        outcome.out
    };
    let out = run(" --threads 1");
    assert!(out.contains(" documents, "), "{out}");
    for threads in ["", " --threads 2", " --threads 3", " --threads 100"] {
        assert_eq!(run(threads), out);
    }
    // Documents are counted from the first.
    assert!(run(" --documents 2").contains(": 2 documents, 57 bytes\n"));
    assert_ne!(run(" --documents 2"), run(" --documents 3"));
}

#[test]
fn models_are_compared_on_the_documents_that_fit_them_all() {
    let (folder, model) = folder_with_model();
    // Its context has 70 tokens.
    let other = folder.file("other.bin", &SmallModel::untied_embeddings().file(Version::V0));
    let tokenizer = folder.file("other", &vocabulary().write());
    let long = "é".repeat(80);
    let text = folder.file("text", format!("{long}<|endoftext|>{}", STORIES[1]).as_bytes());
    let outcome = bootllm(
        "perplexity {} {} --against {} -z {} -z {}",
        &[&model, &text, &other, &tokenizer, &tokenizer],
    );
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let lines: Vec<&str> = outcome.out.lines().collect();
    assert!(lines[0].contains("; 1 longer than 100 and 70 tokens "), "{outcome:?}");
    assert_eq!(lines.len(), 4, "{outcome:?}");

    // Each says the same alone, if it is asked about the same documents.
    let alone = bootllm("perplexity {} {} --context 70", &[&model, &text]);
    assert_eq!(row(alone.out.lines().nth(2).unwrap()), row(lines[2]));
    let alone = bootllm("perplexity {} {} -z {}", &[&other, &text, &tokenizer]);
    assert_eq!(row(alone.out.lines().nth(2).unwrap()), row(lines[3]));
    assert_ne!(row(lines[2]), row(lines[3]));
    let all = bootllm("perplexity {} {}", &[&model, &text]);
    assert!(all.out.contains(": 2 documents, "), "{all:?}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let (folder, model) = folder_with_model();
    let text = folder.file("text", STORIES[0].as_bytes());
    let refused = |words: &str, text: &Path, expected: &str| {
        bootllm(&format!("perplexity {{}} {{}}{words}"), &[&model, text]).assert_refused(expected);
    };
    refused("", &folder.file("empty", b""), "empty: there is no text in it");
    refused("", &folder.file("ends", b"\n<|endoftext|>\n \n"), "ends: there is no text in it");
    refused("", &model, "story.bin: not a text: byte ");
    refused("", &folder.file("latin", b"caf\xe9"), "latin: not a text in UTF-8: byte 3");
    refused("", folder.path(), "it is a folder");
    refused("", &folder.path().join("none"), "none: No such file");
    refused(" --context 1", &text, "text: no token can be predicted");
    refused(" --context 101", &text, "1 to 100 tokens, not 101");
    refused(" --context 0", &text, "1 to 100 tokens, not 0");
    refused(" -z a -z b", &text, "more tokenizers (2) than models (1)");

    let against = folder.file("against.bin", b"no model");
    bootllm("perplexity {} {} --against {}", &[&model, &text, &against])
        .assert_refused("against.bin: ");
    let other = SmallModel::untied_embeddings();
    let vocab_size = other.config.vocab_size - 1;
    let config = bootllm_model_file::Config { vocab_size, ..other.config };
    let other = folder.file("other.bin", &SmallModel { config, ..other }.file(Version::V1));
    std::fs::copy(model.with_file_name("story.tokenizer.bin"), folder.path().join("tokenizer.bin"))
        .unwrap();
    bootllm("perplexity {} {} --against {}", &[&model, &text, &other])
        .assert_refused("tokenizer.bin: it has 325 tokens, the model 324");

    // v1 begins with the norms: two per layer, then the one before the output projection.
    let config = SmallModel::tied_embeddings().config;
    let mut bytes = std::fs::read(&model).unwrap();
    for number in 0..config.dim {
        let offset = 256 + 4 * (2 * config.layers * config.dim + number);
        set(&mut bytes, offset, 3e38f32.to_le_bytes());
    }
    std::fs::write(&model, bytes).unwrap();
    refused("", &text, "story.bin: the model's output is not a number");
}

#[test]
#[cfg_attr(not(has_shared), ignore = "needs the folder `shared` beside the repository")]
fn a_trained_model_predicts_a_story_better_than_chance() {
    let shared = shared();
    let models = shared.join("models");
    let outcome = bootllm(
        "perplexity {} {} -z {} -z {} --against {} --documents 1 --context 200",
        &[
            &models.join("stories260K.bin"),
            &shared.join("text/tinystories-a.txt"),
            &models.join("tok512.bin"),
            &models.join("tok512.bin"),
            &models.join("stories260K_v2_gs4.bin"),
        ],
    );
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let rows: Vec<_> = outcome.out.lines().skip(2).map(|line| row(line)[3]).collect();
    assert!((0.6..1.1).contains(&rows[0]), "{outcome:?}");
    assert!((rows[1] / rows[0] - 1.0).abs() < 0.01, "int8 is further from f32: {outcome:?}");
}
