//! Whole runs on small generated texts.

mod common;

use bootllm_cores::OneCore;
use bootllm_engine::Session;
use bootllm_model_file::Config;
use bootllm_tokenizer::Tokenizer;
use bootllm_train::backend::Device;
use bootllm_train::data_loader::Documents;
use bootllm_train::error::TrainError;
use bootllm_train::fit::{BEST, Run, RunEnd, RunEvent, RunSettings, TOKENIZER};
use bootllm_train::network::{Batch, Network};
use bootllm_train::optimizer::{self, OptimizerSettings};
use bootllm_train::parameters::{Parameters, Random};
use bootllm_train::shape::Shape;
use bootllm_train::{checkpoint, log, sample};
use common::Folder;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A token for every byte, and some words.
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

/// Sentences of a grammar that is learned quickly.
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

fn settings(tokenizer: &Tokenizer) -> RunSettings {
    RunSettings {
        shape: shape(tokenizer),
        corpus: PathBuf::new(),
        steps: 40,
        batch_tokens: 200,
        accumulate: 2,
        optimizer: OptimizerSettings {
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
        patience: None,
    }
}

fn begin(folder: &Path, settings: RunSettings) -> anyhow::Result<Run> {
    begin_on(Device::Cpu, folder, settings)
}

fn begin_on(device: Device, folder: &Path, settings: RunSettings) -> anyhow::Result<Run> {
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

/// Runs until a step, and stops there as if the program had been killed.
fn kill(run: &mut Run, at: u64) {
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run.run(&mut |event| {
            if matches!(event, RunEvent::Step(entry, _) if entry.step == at) {
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
        RunEvent::Step(entry, _) if entry.step == 1 => first = entry.loss,
        RunEvent::Evaluation { entry, sample, .. } => {
            last = entry.held_out.unwrap().loss;
            assert!(sample.starts_with("the"), "{sample}");
            samples += 1;
        }
        RunEvent::Step(..) => {}
    })
    .unwrap();
    assert_eq!(samples, 5);
    // Chance is ln 267 = 5.6.
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

    // The other run is killed between two checkpoints, twice, and loses the steps after them.
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

/// Random letters: a model can only memorize the training documents, and then predicts the held-out
/// ones worse.
fn noise() -> (Documents, Documents) {
    let mut random = Random::new(7);
    let mut text = || (0..40).map(|_| ['a', 'e', 's', 't'][random.below(4)]).collect::<String>();
    let mut documents =
        |count| Documents::new(&(0..count).map(|_| text()).collect::<Vec<_>>(), &tokenizer());
    (documents(4), documents(4))
}

fn overfitting(patience: Option<u64>) -> RunSettings {
    let optimizer = settings(&tokenizer()).optimizer;
    RunSettings {
        steps: 240,
        dropout: 0.0,
        accumulate: 1,
        evaluate_every: 8,
        optimizer: OptimizerSettings { decay: 0.0, ..optimizer },
        patience,
        ..settings(&tokenizer())
    }
}

fn begin_overfitting(folder: &Path, patience: Option<u64>) -> Run {
    let settings = overfitting(patience);
    let weights = Parameters::random(&settings.shape.config(), settings.seed);
    Run::begin(folder, settings, Device::Cpu, weights, tokenizer(), noise()).unwrap()
}

fn resume_overfitting(folder: &Path, patience: Option<u64>) -> Run {
    let mut checkpoint = checkpoint::read(&folder.join(checkpoint::NAME)).unwrap();
    checkpoint.settings.patience = patience;
    Run::resume(folder, Device::Cpu, checkpoint, tokenizer(), noise()).unwrap()
}

/// The step and the held-out loss of every evaluation in a run's log.
fn evaluations(folder: &Folder) -> Vec<(u64, f64)> {
    let entries = log::read(&folder.join(log::NAME)).unwrap();
    entries.iter().filter_map(|entry| Some((entry.step, entry.held_out?.loss))).collect()
}

#[test]
fn a_run_stops_when_the_held_out_loss_rises_and_keeps_the_best_weights() {
    let (stopped, whole) = (Folder::new("training-stopped"), Folder::new("training-patient"));
    let mut run = begin_overfitting(stopped.path(), Some(3));
    let mut best = Vec::new();
    let end = run.run(&mut |event| {
        if let RunEvent::Evaluation { entry, progress, .. } = event
            && progress.best_step == Some(entry.step)
        {
            best.push(entry.step);
        }
    });
    assert_eq!(end.unwrap(), RunEnd::NoImprovement);
    let losses = evaluations(&stopped);
    let &(step, loss) = losses.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let progress = *run.progress();
    assert_eq!(progress.step, step + 3 * 8);
    assert!(progress.step < 240, "it never stopped");
    assert_eq!((progress.best_step, progress.evaluations_since_best), (Some(step), 3));
    assert_eq!(best.last(), Some(&step));
    assert!((progress.best.unwrap() - loss).abs() < 1e-5);
    // The model file has the weights of that step, not the last ones.
    let mut model = bootllm_host::open(&stopped.join(BEST)).unwrap();
    let kept = Parameters::read(&model.file, &mut model.source).unwrap();
    let mut network = Network::new(kept.config()).unwrap();
    let batches = noise().1.batches(48, 200);
    let tokens: usize = batches.iter().map(|batch| batch.tokens.len()).sum();
    let sum: f64 = batches.iter().map(|batch| network.loss(&kept, batch)).sum();
    assert!((sum / tokens as f64 - loss).abs() < 1e-5);

    // Without patience it runs all steps. A stopped run that is resumed without ends in the same bits.
    let mut patient = begin_overfitting(whole.path(), None);
    assert_eq!(patient.run(&mut |_| {}).unwrap(), RunEnd::AllSteps);
    assert_eq!(
        resume_overfitting(stopped.path(), Some(3)).run(&mut |_| {}).unwrap(),
        RunEnd::NoImprovement
    );
    assert_eq!(evaluations(&stopped), losses);
    let mut resumed = resume_overfitting(stopped.path(), None);
    assert_eq!(resumed.run(&mut |_| {}).unwrap(), RunEnd::AllSteps);
    assert_eq!(patient.progress(), resumed.progress());
    assert!(patient.weights().unwrap().values() == resumed.weights().unwrap().values());
    assert_eq!(evaluations(&whole), evaluations(&stopped));
}

#[test]
fn an_interrupted_run_stops_at_the_same_step() {
    let (whole, parts) = (Folder::new("training-stops"), Folder::new("training-killed-stops"));
    let mut run = begin_overfitting(whole.path(), Some(3));
    assert_eq!(run.run(&mut |_| {}).unwrap(), RunEnd::NoImprovement);
    // Killed after evaluations without improvement, whose number must not be lost.
    let mut other = begin_overfitting(parts.path(), Some(3));
    kill(&mut other, run.progress().step - 3);
    let mut other = resume_overfitting(parts.path(), Some(3));
    assert_eq!(other.progress().evaluations_since_best, 2);
    assert_eq!(other.run(&mut |_| {}).unwrap(), RunEnd::NoImprovement);
    assert_eq!(run.progress(), other.progress());
    assert!(run.weights().unwrap().values() == other.weights().unwrap().values());
    let best = |folder: &Folder| std::fs::read(folder.join(BEST)).unwrap();
    assert!(best(&whole) == best(&parts));
}

/// A checkpoint as it was written before runs could stop early.
#[test]
fn an_older_checkpoint_resumes_and_runs_all_its_steps() {
    let folder = Folder::new("training-older");
    let mut run = begin_overfitting(folder.path(), Some(1));
    kill(&mut run, 9);
    let path = folder.join(checkpoint::NAME);
    let bytes = std::fs::read(&path).unwrap();
    let title = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let (length, rest) = bytes[title..bytes.len() - 32].split_first_chunk::<8>().unwrap();
    let (header, weights) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    assert!(header["settings"].as_object_mut().unwrap().remove("patience").is_some());
    let progress = header["progress"].as_object_mut().unwrap();
    for key in ["best_step", "evaluations_since_best"] {
        assert!(progress.remove(key).is_some(), "{key}");
    }
    let header = serde_json::to_vec(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    let mut older = [&bytes[..title], &length, &header, weights].concat();
    older.extend(Sha256::digest(&older));
    std::fs::write(&path, older).unwrap();

    let checkpoint = checkpoint::read(&path).unwrap();
    assert_eq!(checkpoint.settings, RunSettings { patience: None, ..overfitting(None) });
    assert_eq!((checkpoint.progress.step, checkpoint.progress.best_step), (8, None));
    let mut run = resume_overfitting(folder.path(), None);
    assert_eq!(run.run(&mut |_| {}).unwrap(), RunEnd::AllSteps);
    assert_eq!(run.progress().step, 240);
}

#[test]
#[cfg(feature = "burn")]
fn a_run_resumes_on_another_device() {
    // Without dropout, because Burn has other random numbers.
    let settings = || RunSettings { dropout: 0.0, ..settings(&tokenizer()) };
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
fn without_burn_a_gpu_is_refused_and_no_file_is_written() {
    let folder = Folder::new("training-gpu");
    let run = folder.join("run");
    let refused = begin_on(Device::Gpu(0), &run, settings(&tokenizer()));
    let error: TrainError = refused.err().unwrap().downcast().unwrap();
    assert_eq!(error, TrainError::BuiltWithoutGpu);
    assert!(!run.exists());
}

#[test]
fn the_trainer_and_the_engine_agree() {
    for tied_embeddings in [true, false] {
        let tokenizer = tokenizer();
        let config = Shape { tied_embeddings, ..shape(&tokenizer) }.config();
        let mut weights = Parameters::random(&config, 5);
        // Larger than initial weights, so that logits differ from each other.
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

#[test]
#[cfg_attr(not(has_shared), ignore = "needs the folder `shared` beside the repository")]
fn the_trainer_and_the_engine_agree_on_stories260k() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
    let path = shared.join("stories260K.bin");
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
fn a_loss_of_nan_ends_the_run_and_keeps_the_checkpoint() {
    let folder = Folder::new("training-nan");
    let mut settings = settings(&tokenizer());
    settings.optimizer.rate = 1e30;
    let error = begin(folder.path(), settings).unwrap().run(&mut |_| {}).unwrap_err();
    let diverged = error.downcast_ref::<TrainError>().unwrap();
    assert!(matches!(diverged, TrainError::Diverged { step: 2.., .. }), "{diverged:?}");
    let kept = checkpoint::read(&folder.join(checkpoint::NAME)).unwrap();
    assert!(kept.weights.values().iter().all(|value| value.is_finite()));
}

#[test]
fn a_damaged_or_foreign_checkpoint_is_refused() {
    let folder = Folder::new("training-damaged");
    let mut run = begin(folder.path(), RunSettings { steps: 1, ..settings(&tokenizer()) }).unwrap();
    run.run(&mut |_| {}).unwrap();
    let path = folder.join(checkpoint::NAME);
    let good = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = checkpoint::read(&path).err().expect("a damaged checkpoint was read");
        error.downcast::<TrainError>().unwrap()
    };
    assert_eq!(refused(b""), TrainError::NotACheckpoint);
    for length in [30, good.len() / 2, good.len() - 1] {
        let error = refused(&good[..length]);
        use TrainError::{CheckpointCutShort, CheckpointDamaged};
        assert!(matches!(error, CheckpointCutShort | CheckpointDamaged), "{error:?}");
    }
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    assert_eq!(refused(&flipped), TrainError::CheckpointDamaged);

    // Invalid headers with a correct checksum.
    let title = good.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut random = Random::new(8);
    for _ in 0..500 {
        let mut bytes = good[..good.len() - 32].to_vec();
        for _ in 0..1 + random.below(3) {
            bytes[title + random.below(600)] = random.below(256) as u8;
        }
        bytes.extend(Sha256::digest(bytes.clone()));
        // Whether an error or not: no panic, and no allocation beyond the file's size.
        let _ = checkpoint::parse(&bytes);
    }

    // Another corpus.
    std::fs::write(&path, &good).unwrap();
    let checkpoint = checkpoint::read(&path).unwrap();
    let other = Documents::new(&texts(50, 9), &tokenizer());
    let none = Documents::new(&[], &tokenizer());
    let refused = Run::resume(folder.path(), Device::Cpu, checkpoint, tokenizer(), (other, none));
    let error: TrainError = refused.err().unwrap().downcast().unwrap();
    assert_eq!(error, TrainError::CorpusChanged(PathBuf::new()));

    // A second run in the same folder.
    let refused = begin(folder.path(), settings(&tokenizer())).err().unwrap();
    let error: TrainError = refused.downcast().unwrap();
    assert_eq!(error, TrainError::RunExists(folder.path().to_owned()));
}
