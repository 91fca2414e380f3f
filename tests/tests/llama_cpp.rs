//! Logits against llama.cpp's, where it is at hand.
//!
//! Set `BOOTLLM_LLAMA_CPP` to a Python that has the package `llama-cpp-python`, and run
//! `cargo test -p bootllm-tests --test llama_cpp -- --ignored --nocapture`. It takes some seconds.

use bootllm_cores::OneCore;
use bootllm_engine::Session;
use bootllm_model_file::Config;
use bootllm_quant::Encoding;
use bootllm_tests::{Folder, SmallModel, load, qwen2};
use std::path::Path;
use std::process::Command;

/// How far logits may be from llama.cpp's: the root mean square of the differences, in standard
/// deviations of the logits.
///
/// Both engines add in another order, which floating-point weights show in the last digits.
/// llama.cpp also rounds activations to f16 or bf16 where the weights are, and the scales of
/// quantized activations to f16, so that some of the integers are others.
fn bound(weights: Encoding) -> f64 {
    match weights {
        Encoding::F32 => 1e-5,
        Encoding::F16 => 3e-3,
        _ => 5e-2,
    }
}

fn llama_cpp(python: &str, model: &Path, tokens: &[u32]) -> Vec<f32> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/llama_cpp_logits.py");
    let out = model.with_extension("f32le");
    let tokens = tokens.iter().map(u32::to_string);
    let status = Command::new(python).arg(script).arg(model).arg(&out).args(tokens).status();
    assert!(status.unwrap().success(), "llama.cpp cannot run {}", model.display());
    let bytes = std::fs::read(out).unwrap();
    bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect()
}

/// A model with untied embeddings whose rows are blocks of 32 in all formats, or one with tied ones.
fn models() -> [SmallModel; 2] {
    let small = SmallModel::tied_embeddings().config;
    let blocks = Config { dim: 128, hidden_dim: 192, heads: 4, kv_heads: 2, layers: 3, ..small };
    let untied = Config { tied_embeddings: false, ..blocks };
    [blocks, untied].map(|config| SmallModel { config, seed: 5 })
}

#[test]
#[ignore = "needs llama.cpp: set BOOTLLM_LLAMA_CPP to a Python with llama-cpp-python"]
fn logits_are_llama_cpp_s_within_a_bound() {
    let python = std::env::var("BOOTLLM_LLAMA_CPP").expect("BOOTLLM_LLAMA_CPP");
    let folder = Folder::new();
    let tokens: Vec<u32> = (0..48).map(|i| 3 + i * 37 % 300).collect();
    for model in models() {
        for weights in Encoding::writable() {
            for (name, bytes) in [("llama", model.gguf(weights)), ("qwen2", qwen2(&model, weights))]
            {
                let path = folder.file("model.gguf", &bytes);
                let theirs = llama_cpp(&python, &path, &tokens);
                let mut session = Session::new(&load(&bytes, 100), &OneCore).unwrap();
                let vocab_size = model.config.vocab_size;
                let (mut differences, mut squares, mut sum) = (0.0, 0.0, 0.0);
                for (&token, theirs) in tokens.iter().zip(theirs.chunks(vocab_size)) {
                    for (&ours, &theirs) in session.decode(token).unwrap().iter().zip(theirs) {
                        let (ours, theirs) = (f64::from(ours), f64::from(theirs));
                        differences += (ours - theirs).powi(2);
                        squares += theirs * theirs;
                        sum += theirs;
                    }
                }
                let count = (tokens.len() * vocab_size) as f64;
                let variance = squares / count - (sum / count).powi(2);
                let apart = (differences / count / variance).sqrt();
                let tied = model.config.tied_embeddings;
                let format = weights.name();
                println!("{name}, {format}, tied: {tied}: {apart:.1e} deviations apart");
                assert!(apart < bound(weights), "{name}, {format}: {apart}");
                assert!(apart > 0.0, "it is another engine");
            }
        }
    }
}
