//! The engine compared with references, to the bit.

use bootllm_chat::{DIGEST_POSITIONS, report};
use bootllm_cores::{Cores, OneCore};
use bootllm_engine::{Model, RunError, Session};
use bootllm_host::Threads;
use bootllm_model_file::{Config, FileFormat, TensorRole, Version, convert, largest_group};
use bootllm_sampling::argmax;
use bootllm_tests::{Reference, SmallModel, VERSIONS, digest, formats, load, shared};
use bootllm_tokenizer::BOS;
use std::path::Path;
use std::sync::Arc;

const MODELS: [fn() -> SmallModel; 3] =
    [SmallModel::tied_embeddings, SmallModel::untied_embeddings, SmallModel::smallest];

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// The bits of the logits at each position, the most probable token being fed next.
fn greedy(model: &Arc<Model>, cores: &dyn Cores) -> Vec<Vec<u32>> {
    let mut session = Session::new(model, cores).unwrap();
    let mut token = BOS;
    let mut next = |_| {
        let logits = session.decode(token).unwrap();
        token = argmax(logits);
        bits(logits)
    };
    (0..model.context()).map(&mut next).collect()
}

#[test]
fn logits_are_those_of_plain_loops_on_one_core_and_on_several() {
    for model in MODELS.map(|model| model()) {
        for format in formats(&model.config) {
            let mut reference = Reference::new(&model.file(format), model.config, format);
            let mut token = BOS;
            let mut expected = Vec::new();
            for _ in 0..model.config.context {
                let logits = reference.forward(token);
                assert!(logits.iter().all(|logit| logit.is_finite()));
                token = argmax(&logits);
                expected.push(bits(&logits));
            }
            let loaded = model.load(format);
            assert!(greedy(&loaded, &OneCore) == expected, "{format} on one core");
            for cores in [2, 3, 4, 7] {
                let threads = Threads::start(cores).unwrap();
                assert!(greedy(&loaded, threads.cores()) == expected, "{format}, {cores} cores");
            }
        }
    }
}

/// The checksums were printed when the test was written. Every machine must print them.
#[test]
fn logits_are_the_same_on_every_machine() {
    let model = SmallModel::tied_embeddings();
    for (version, checksum) in
        VERSIONS.into_iter().zip(["657e745e98c57776", "657e745e98c57776", "65006096fa469405"])
    {
        let loaded = model.load(version(&model.config));
        let mut session = Session::new(&loaded, &OneCore).unwrap();
        session.prefill(&(0..80).collect::<Vec<_>>()).unwrap();
        let line = report::logits(80, 80, session.decode(80).unwrap());
        let start = format!("pos=80 token=80 argmax=110 checksum={checksum} logits[0..10]: 1.0");
        assert!(line.starts_with(&start), "{line}");
    }
}

/// The digests of the built-in models are in their cards, for users to compare with a PC's.
#[test]
fn the_built_in_models_have_the_digests_of_their_cards() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let threads = Threads::start(2).unwrap();
    for name in ["bedtime-stories", "shakespeare"] {
        let bytes = std::fs::read(folder.join(name).with_extension("bin")).unwrap();
        let card = std::fs::read_to_string(folder.join(name).with_extension("md")).unwrap();
        let mut session = Session::new(&load(&bytes, 256), threads.cores()).unwrap();
        let digest = digest(&mut session, BOS, DIGEST_POSITIONS);
        assert!(digest.agrees(), "{digest}");
        let line = format!("| digest | 256 positions: `{:016x}`", digest.one_by_one);
        assert!(card.contains(&line), "{name}: {digest}");
    }
}

#[test]
fn prefill_and_decode_leave_the_same_behind() {
    let model = SmallModel::untied_embeddings();
    let tokens: Vec<u32> = (0..40).map(|i| i * 37 % model.config.vocab_size as u32).collect();
    for version in VERSIONS.map(|version| version(&model.config)) {
        let loaded = model.load(version);
        let mut one_by_one = Session::new(&loaded, &OneCore).unwrap();
        let mut expected = Vec::new();
        for &token in &tokens {
            expected.push(bits(one_by_one.decode(token).unwrap()));
        }
        let threads = Threads::start(2).unwrap();
        for split in [1, 7, 31, 32, 39] {
            let mut session = Session::new(&loaded, threads.cores()).unwrap();
            session.prefill(&tokens[..split]).unwrap();
            assert_eq!(session.position(), split);
            for (&token, expected) in tokens.iter().zip(&expected).skip(split) {
                assert!(bits(session.decode(token).unwrap()) == *expected, "{version}, {split}");
            }
        }
    }
}

#[test]
fn a_rewound_session_is_as_good_as_new() {
    let model = SmallModel::tied_embeddings();
    let loaded = model.load(Version::V1);
    let mut session = Session::new(&loaded, &OneCore).unwrap();
    let expected: Vec<_> = (3..60).map(|token| bits(session.decode(token).unwrap())).collect();
    for position in [56, 33, 32, 31, 1, 0] {
        session.rewind(position);
        // Something else first, which must be forgotten again.
        session.prefill(&[7, 8, 9, 10]).unwrap();
        session.rewind(position);
        for (token, expected) in (3 + position as u32..60).zip(&expected[position..]) {
            assert!(bits(session.decode(token).unwrap()) == *expected, "from {position} on");
        }
    }
    session.rewind(1000);
    assert_eq!(session.position(), 57, "there is no position ahead to go back to");
}

#[test]
fn a_shorter_context_changes_nothing_but_where_it_ends() {
    let model = SmallModel::tied_embeddings();
    for version in VERSIONS.map(|version| version(&model.config)) {
        let bytes = model.file(version);
        let load = |context| load(&bytes, context);
        let expected = greedy(&load(model.config.context), &OneCore);
        for context in [1, 31, 32, 33, 99] {
            let loaded = load(context);
            assert!(greedy(&loaded, &OneCore) == expected[..context], "{version}, {context}");
            let mut session = Session::new(&loaded, &OneCore).unwrap();
            session.prefill(&vec![BOS; context]).unwrap();
            assert_eq!(session.decode(BOS).err(), Some(RunError::ContextFull { context }));
        }
        assert_eq!(load(0).context(), 1);
        assert_eq!(load(usize::MAX).context(), model.config.context);
    }
}

#[test]
fn a_token_that_the_model_does_not_know_is_refused_and_changes_nothing() {
    let model = SmallModel::smallest();
    let loaded = model.load(Version::V0);
    let mut session = Session::new(&loaded, &OneCore).unwrap();
    for token in [3, u32::MAX] {
        let expected = RunError::NoSuchToken { token, vocab_size: 3 };
        assert_eq!(session.decode(token).err(), Some(expected));
        assert_eq!(session.prefill(&[token]).err(), Some(expected));
    }
    assert_eq!(session.position(), 0);
    assert!(session.decode(2).is_ok());
}

fn converted(mut bytes: &[u8], version: Version) -> Vec<u8> {
    let file = bootllm_model_file::read(&mut bytes).unwrap();
    let mut output = Vec::new();
    convert(&file, &mut bytes, version, None, &mut output, &mut |_| {}).unwrap();
    output
}

#[test]
fn formats_convert_into_each_other() {
    for model in MODELS.map(|model| model()) {
        let [v0, v1, v2] = VERSIONS.map(|version| version(&model.config));
        let file = |version| model.file(version);
        for from in [v0, v1] {
            assert!(converted(&file(from), v0) == file(v0), "{from} to {v0}");
            assert!(converted(&file(from), v1) == file(v1), "{from} to {v1}");
            assert!(converted(&file(from), v2) == file(v2), "{from} to {v2}");
        }
        // What int8 has lost stays lost, but nothing more is.
        let floats = converted(&file(v2), v1);
        assert!(converted(&converted(&file(v2), v0), v1) == floats);
        let model_file = bootllm_model_file::read(&mut floats.as_slice()).unwrap();
        assert_eq!(model_file.format, FileFormat::Llama2c(v1));
        assert_eq!(Config::of(&model_file), Ok(model.config));
    }
}

/// The description of a file in the shared folder, with its bytes.
fn real_model(folder: &Path, name: &str) -> (bootllm_model_file::ModelFile, Vec<u8>) {
    let bytes = std::fs::read(folder.join("models").join(name)).unwrap();
    (bootllm_model_file::read(&mut bytes.as_slice()).unwrap(), bytes)
}

#[test]
#[cfg_attr(not(has_shared), ignore = "needs the folder `shared` beside the repository")]
fn a_real_model_s_logits_are_llama2_c_s_to_the_bit() {
    let folder = shared();
    let reference = folder.join("reference/stories260K/logits_pos0-255_V512.f32le");
    let reference = std::fs::read(reference).unwrap();
    let reference: Vec<f32> =
        reference.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect();
    for name in ["stories260K.bin", "stories260K_v1.bin", "stories260K-f32.gguf"] {
        let (file, bytes) = real_model(&folder, name);
        let model = load(&bytes, 256);
        let vocab_size = file.vocab_size().unwrap();
        let mut session = Session::new(&model, &OneCore).unwrap();
        let (mut token, mut equal) = (BOS, 0);
        // The GGUF file has a shorter context.
        let reference = &reference[..256.min(model.context()) * vocab_size];
        for expected in reference.chunks(vocab_size) {
            let logits = session.decode(token).unwrap();
            for (logit, expected) in logits.iter().zip(expected) {
                assert!((logit - expected).abs() <= 1e-5);
                equal += usize::from(logit.to_bits() == expected.to_bits());
            }
            token = argmax(logits);
        }
        println!("{name}: {equal} of {} logits are equal to the bit", reference.len());
        assert_eq!(session.position(), model.context());
        assert_eq!(equal, reference.len());
    }
}

#[test]
#[cfg_attr(not(has_shared), ignore = "needs the folder `shared` beside the repository")]
fn a_real_model_converts_into_what_llama2_c_s_exporter_writes() {
    let folder = shared();
    let (file, v0) = real_model(&folder, "stories260K.bin");
    let (_, v1) = real_model(&folder, "stories260K_v1.bin");
    let (int8, v2) = real_model(&folder, "stories260K_v2_gs4.bin");
    let version = Version::V2 { group: largest_group(&Config::of(&file).unwrap()) };
    assert_eq!(int8.format, FileFormat::Llama2c(version));
    assert!(converted(&v0, Version::V1) == v1);
    assert!(converted(&v0, version) == v2);
    assert!(converted(&v1, version) == v2);
    // v0's unused RoPE tables are written anew; they may differ in rounding.
    let again = converted(&v1, Version::V0);
    assert_eq!(again.len(), v0.len());
    for role in [TensorRole::TokenEmbedding, TensorRole::OutputNorm] {
        let plane = file.tensor(&role.name(0)).unwrap().planes[0];
        let weights = plane.offset as usize..plane.offset as usize + plane.row_bytes as usize;
        assert!(again[weights.clone()] == v0[weights]);
    }
    assert!(converted(&again, Version::V1) == v1);
}
