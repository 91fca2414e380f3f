//! The models of `bootllm synthesize`, which benchmarks use.

use bootllm_tests::{Folder, bootllm};
use std::path::{Path, PathBuf};

fn synthesized(folder: &Folder, to: &str) -> PathBuf {
    let path = folder.path().join(to);
    let outcome = bootllm(&format!("synthesize 260K {{}} -f --to {to}"), &[&path]);
    assert_eq!((outcome.status, outcome.out.as_str()), (Some(0), ""), "{outcome:?}");
    path
}

fn converted(folder: &Folder, model: &Path, to: &str) -> Vec<u8> {
    let path = folder.path().join("converted");
    let outcome = bootllm(&format!("convert {{}} {{}} -f --to {to}"), &[model, &path]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    std::fs::read(path).unwrap()
}

#[test]
fn files_of_all_formats_hold_the_same_model() {
    let folder = Folder::new();
    let [v0, v2, f32] = ["v0", "v2", "f32"].map(|to| synthesized(&folder, to));
    assert_eq!(folder.names(), ["f32", "v0", "v0.tokenizer.bin", "v2", "v2.tokenizer.bin"]);
    assert!(converted(&folder, &f32, "v0") == std::fs::read(&v0).unwrap());
    assert!(converted(&folder, &v0, "v2") == std::fs::read(&v2).unwrap());
    for to in ["f32", "f16", "bf16", "q8_0", "q4_0"] {
        let expected = std::fs::read(synthesized(&folder, to)).unwrap();
        assert!(converted(&folder, &v0, to) == expected, "{to}");
    }
    // And a model it is: it loads with its tokenizer, computes and writes.
    let logits = |model: &Path| bootllm("logits {} -n 9", &[model]).out;
    assert_eq!(logits(&v0).lines().count(), 9);
    assert_eq!(logits(&v0), logits(&f32));
    assert!(!logits(&v0).contains("NaN"));
    for model in [&v0, &v2, &f32] {
        let outcome = bootllm("run {} -t 0 -n 40 -i once", &[model]);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        assert!(outcome.out.starts_with("once") && outcome.out.len() > 40, "{outcome:?}");
        // Nothing that the model says ends the text.
        assert!(outcome.err.starts_with("prompt 4 tokens, "), "{outcome:?}");
        assert!(outcome.err.contains("generated 37 tokens, "), "{outcome:?}");
    }
}

#[test]
fn a_shape_that_has_no_name_is_refused_with_the_names() {
    let folder = Folder::new();
    let path = folder.path().join("model");
    let outcome = bootllm("synthesize 7B {} --to v0", &[&path]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.err.contains("260K, 15M, 42M, 110M, 1.1B"), "{outcome:?}");
    assert!(folder.names().is_empty());
}
