//! Runs from beginning to end, on small texts that the tests make themselves.

mod common;

use bootllm_cores::OneCore;
use bootllm_engine::Session;
use bootllm_model_file::Config;
use bootllm_tokenizer::Tokenizer;
use bootllm_train::backend::Device;
use bootllm_train::feed::Documents;
use bootllm_train::fit::{BEST, Event, Run, Settings, TOKENIZER};
use bootllm_train::network::{Batch, Network};
use bootllm_train::parameters::{Parameters, Random};
use bootllm_train::shape::Shape;
use bootllm_train::{checkpoint, log, optimizer, sample};
use common::Folder;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Every byte a token, and some words.
fn tokenizer() -> Tokenizer {
    let mut pieces: Vec<(Vec<u8>, f32)> = ["<unk>", "\n<s>\n", "\n</s>\n"]
        .iter()
        .map(|piece| (piece.as_bytes().to_vec(), 0.0))
        .collect();
    pieces.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>").into_bytes(), 0.0)));
    for (index, piece) in [" ", "a", "e", "t", "s", "th", "the", " the"].iter().enumerate() {
        pieces.push((piece.as_bytes().to_vec(), -(index as f32)));
    }
    Tokenizer::new(pieces.iter().map(|(piece, score)| (piece.as_slice(), *score)))
}

/// Sentences of a grammar that is quickly learned.
fn texts(count: usize, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut one = |words: [&str; 3]| words[random.below(3)].to_owned();
    let mut text = || {
        let (who, what) = (one(["the cat", "the rat", "the bat"]), one([" eats", " sat", " sees"]));
        format!("{who}{what} {}.", one(["the cat", "the rat", "the bat"]))
    };
    (0..count).map(|_| (0..4).map(|_| text()).collect::<Vec<_>>().join(" ")).collect()
}

fn shape(tokenizer: &Tokenizer) -> Shape {
    Shape {
        dim: 16,
        hidden_dim: 40,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        vocab_size: tokenizer.len(),
        context: 48,
        tied_embeddings: true,
    }
}

fn settings(tokenizer: &Tokenizer) -> Settings {
    Settings {
        shape: shape(tokenizer),
        corpus: PathBuf::new(),
        steps: 40,
        batch_tokens: 200,
        accumulate: 2,
        optimizer: optimizer::Settings {
            method: optimizer::Method::AdamW,
            rate: 2e-2,
            warm_up: 5,
            final_rate: 0.1,
            decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            clip: 1.0,
        },
        dropout: 0.1,
        seed: 3,
        evaluate_every: 8,
        prompt: String::from("the"),
    }
}

fn begin(folder: &Path, settings: Settings) -> anyhow::Result<Run> {
    begin_on(Device::Cpu, folder, settings)
}

fn begin_on(device: Device, folder: &Path, settings: Settings) -> anyhow::Result<Run> {
    let tokenizer = tokenizer();
    let weights = Parameters::random(&settings.shape.config(), settings.seed);
    let documents = |count, seed| Documents::new(&texts(count, seed), &tokenizer);
    let documents = (documents(50, 1), documents(5, 2));
    Run::begin(folder, settings, device, weights, tokenizer, documents)
}

fn resume(folder: &Path) -> anyhow::Result<Run> {
    resume_on(Device::Cpu, folder)
}

fn resume_on(device: Device, folder: &Path) -> anyhow::Result<Run> {
    let tokenizer = tokenizer();
    let documents = |count, seed| Documents::new(&texts(count, seed), &tokenizer);
    let documents = (documents(50, 1), documents(5, 2));
    let checkpoint = checkpoint::read(&folder.join(checkpoint::NAME))?;
    Run::resume(folder, device, checkpoint, tokenizer, documents)
}

/// Lets a run go on until a step, and ends it there as if the program had been killed.
fn kill(run: &mut Run, at: u64) {
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run.run(&mut |event| {
            if matches!(event, Event::Step(entry, _) if entry.step == at) {
                std::panic::resume_unwind(Box::new(()));
            }
        })
    }));
    assert!(killed.is_err());
}

#[test]
fn a_run_learns_and_leaves_a_model_that_the_engine_loads() {
    let folder = Folder::new("training-learns");
    let mut run = begin(folder.path(), settings(&tokenizer())).unwrap();
    let (mut first, mut last, mut samples) = (f64::NAN, f64::NAN, 0);
    run.run(&mut |event| match event {
        Event::Step(entry, _) if entry.step == 1 => first = entry.loss,
        Event::Evaluation(entry, sample) => {
            last = entry.held_out.unwrap().loss;
            assert!(sample.starts_with("the"), "{sample}");
            samples += 1;
        }
        Event::Step(..) => {}
    })
    .unwrap();
    assert_eq!(samples, 5);
    // From ln 267 = 5.6.
    assert!(first > 5.0 && last < 2.5, "from {first} to {last}");
    let entries = log::read(&folder.join(log::NAME)).unwrap();
    assert_eq!(entries.len(), 40);
    let mut model = bootllm_host::open(&folder.join(BEST)).unwrap();
    assert_eq!(Shape::from(&Config::of(&model.file).unwrap()), shape(&tokenizer()));
    assert_eq!(model.tokenizer(None).unwrap().len(), tokenizer().len());
    model.load(&OneCore, None).unwrap();
    assert!(folder.join(TOKENIZER).exists());
}

#[test]
fn an_interrupted_run_ends_in_the_same_weights() {
    let (whole, parts) = (Folder::new("training-whole"), Folder::new("training-parts"));
    let mut run = begin(whole.path(), settings(&tokenizer())).unwrap();
    run.run(&mut |_| {}).unwrap();

    // The other run is killed between two checkpoints, twice: what it did behind them is lost.
    let mut other = begin(parts.path(), settings(&tokenizer())).unwrap();
    for kill_at in [19, 30] {
        kill(&mut other, kill_at);
        other = resume(parts.path()).unwrap();
        assert_eq!(other.progress().step, kill_at / 8 * 8);
    }
    other.run(&mut |_| {}).unwrap();
    assert_eq!(run.progress(), other.progress());
    assert!(run.weights().unwrap().values() == other.weights().unwrap().values());
    let entries = |folder: &Folder| {
        let entries = log::read(&folder.join(log::NAME)).unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.step, entry.loss, entry.held_out))
            .collect::<Vec<_>>()
    };
    assert_eq!(entries(&whole), entries(&parts));
    let bytes = |folder: &Folder, name| std::fs::read(folder.join(name)).unwrap();
    assert!(bytes(&whole, BEST) == bytes(&parts, BEST));
}

#[test]
#[cfg(feature = "burn")]
fn a_run_goes_on_on_another_device() {
    // Without dropout, whose random numbers are others in Burn.
    let settings = || Settings { dropout: 0.0, ..settings(&tokenizer()) };
    let (cpu, both) = (Folder::new("training-cpu"), Folder::new("training-both"));
    begin(cpu.path(), settings()).unwrap().run(&mut |_| {}).unwrap();
    kill(&mut begin_on(Device::Burn, both.path(), settings()).unwrap(), 19);
    kill(&mut resume(both.path()).unwrap(), 30);
    resume_on(Device::Burn, both.path()).unwrap().run(&mut |_| {}).unwrap();
    let [cpu, both] = [cpu, both].map(|folder| log::read(&folder.join(log::NAME)).unwrap());
    assert_eq!(cpu.len(), both.len());
    for (cpu, both) in cpu.iter().zip(&both) {
        assert_eq!((cpu.step, cpu.tokens, cpu.epoch), (both.step, both.tokens, both.epoch));
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-3 * a, "{cpu:?} and {both:?}");
        near(cpu.loss, both.loss);
        assert_eq!(cpu.held_out.is_some(), both.held_out.is_some());
        if let (Some(cpu), Some(both)) = (cpu.held_out, both.held_out) {
            near(cpu.loss, both.loss);
        }
    }
}

#[test]
#[cfg(not(feature = "burn"))]
fn without_burn_a_gpu_is_refused_and_nothing_is_left() {
    let folder = Folder::new("training-gpu");
    let run = folder.join("run");
    let refused = begin_on(Device::Gpu(0), &run, settings(&tokenizer()));
    let message = refused.err().unwrap().to_string();
    assert!(message.contains("--features gpu"), "{message}");
    assert!(!run.exists());
}

#[test]
fn the_trainer_and_the_engine_agree() {
    for tied_embeddings in [true, false] {
        let tokenizer = tokenizer();
        let config = Shape { tied_embeddings, ..shape(&tokenizer) }.config();
        let mut weights = Parameters::random(&config, 5);
        // Larger than a model begins with, so that the logits differ from each other.
        weights.values_mut().iter_mut().for_each(|value| *value *= 5.0);
        let tokens = tokenizer.encode("the cat sat, the rat sees é", true, false);
        let batch = Batch { targets: tokens.clone(), lengths: vec![tokens.len()], tokens };
        let logits = Network::new(&config).unwrap().logits(&weights, &batch);
        let model = sample::load(&weights).unwrap();
        let mut session = Session::new(&model, &OneCore).unwrap();
        let largest = logits.iter().fold(0.0f32, |max, logit| max.max(logit.abs()));
        assert!(largest > 1.0, "logits up to {largest} show nothing");
        for (&token, expected) in batch.tokens.iter().zip(logits.chunks(config.vocab_size)) {
            let found = session.decode(token).unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-3, "{found} and {expected}");
            }
        }
    }
}

/// Real weights, where they are at hand.
#[test]
fn the_trainer_and_the_engine_agree_on_stories260k() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
    let path = shared.join("stories260K.bin");
    if !path.exists() {
        return;
    }
    eprintln!("also with {}", path.display());
    let mut opened = bootllm_host::open(&path).unwrap();
    let tokenizer = opened.tokenizer(Some(&shared.join("tok512.bin"))).unwrap();
    let weights = Parameters::read(&opened.file, &mut opened.source).unwrap();
    let text = "Once upon a time, there was a little girl named Lily. She loved to play outside.";
    let tokens = tokenizer.encode(text, true, false);
    let batch = Batch { targets: tokens.clone(), lengths: vec![tokens.len()], tokens };
    let logits = Network::new(weights.config()).unwrap().logits(&weights, &batch);
    let model = opened.load(&OneCore, None).unwrap();
    let mut session = Session::new(&model, &OneCore).unwrap();
    for (&token, expected) in batch.tokens.iter().zip(logits.chunks(tokenizer.len())) {
        for (found, expected) in session.decode(token).unwrap().iter().zip(expected) {
            assert!((*found - expected).abs() < 1e-3, "{found} and {expected}");
        }
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint() {
    let folder = Folder::new("training-nan");
    let mut settings = settings(&tokenizer());
    settings.optimizer.rate = 1e30;
    let error = begin(folder.path(), settings).unwrap().run(&mut |_| {}).unwrap_err();
    let message = format!("{error:#}");
    assert!(message.contains("the loss is") && message.contains("--rate"), "{message}");
    let kept = checkpoint::read(&folder.join(checkpoint::NAME)).unwrap();
    assert!(kept.weights.values().iter().all(|value| value.is_finite()));
}

#[test]
fn a_damaged_or_foreign_checkpoint_is_refused() {
    let folder = Folder::new("training-damaged");
    let mut run = begin(folder.path(), Settings { steps: 1, ..settings(&tokenizer()) }).unwrap();
    run.run(&mut |_| {}).unwrap();
    let path = folder.join(checkpoint::NAME);
    let good = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        format!("{:#}", checkpoint::read(&path).err().expect("a damaged checkpoint was read"))
    };
    assert!(refused(b"").contains("not a checkpoint"));
    for length in [30, good.len() / 2, good.len() - 1] {
        let message = refused(&good[..length]);
        assert!(message.contains("cut short") || message.contains("damaged"), "{message}");
    }
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    assert!(refused(&flipped).contains("damaged"));

    // Headers that make no sense, under a checksum that is right.
    let title = good.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut random = Random::new(8);
    for _ in 0..500 {
        let mut bytes = good[..good.len() - 32].to_vec();
        for _ in 0..1 + random.below(3) {
            bytes[title + random.below(600)] = random.below(256) as u8;
        }
        bytes.extend(Sha256::digest(bytes.clone()));
        // An error or not: no panic, and no memory for what is not there.
        let _ = checkpoint::parse(&bytes);
    }

    // Another corpus than the run began with.
    std::fs::write(&path, &good).unwrap();
    let checkpoint = checkpoint::read(&path).unwrap();
    let other = Documents::new(&texts(50, 9), &tokenizer());
    let none = Documents::new(&[], &tokenizer());
    let refused = Run::resume(folder.path(), Device::Cpu, checkpoint, tokenizer(), (other, none));
    assert!(refused.err().unwrap().to_string().contains("has changed"));

    // A second run in the same folder.
    let refused = begin(folder.path(), settings(&tokenizer())).err().unwrap().to_string();
    assert!(refused.contains("there is a run in it"), "{refused}");
}
