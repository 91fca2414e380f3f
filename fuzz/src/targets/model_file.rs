//! Model files: header, tokenizer, loading, a few tokens, converting.

use super::tokenizer::controls;
use crate::memory;
use bootllm_cores::OneCore;
use bootllm_engine::{KvFormat, LoadError, Model, Plan, Session};
use bootllm_model_file::{
    Config, FileFormat, ModelFile, OutputFormat, RowError, Tensor, TokenKind, Version, WriteError,
    convert, largest_group, read,
};
use bootllm_platform::{ReadAt, StorageError};
use bootllm_quant::Encoding;
use bootllm_sampling::{Sampler, SamplerSettings};
use bootllm_tokenizer::Tokenizer;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Positions of a session. A header may ask for far more.
const CONTEXT: usize = 40;
/// Bytes that a model may use here.
const SMALL: u64 = 8 << 20;

/// Feeds a model file. The input is the file.
pub fn model_file(mut bytes: &[u8]) {
    let file = match read(&mut bytes) {
        Ok(file) => Arc::new(file),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    check_tensors(&file);
    let plan = match Plan::new(file.clone()) {
        Ok(plan) => Arc::new(plan),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    check_tokenizer(&plan, bytes);
    check_memory(&plan, bytes);
    check_read_errors(&plan, bytes);
    if run(&plan, bytes) {
        check_conversions(&file, bytes);
    }
}

/// All tensors are within the file, none overlaps another, and each is found.
fn check_tensors(file: &ModelFile) {
    let mut ranges = Vec::new();
    for tensor in file.tensors() {
        assert_eq!(file.tensor(&tensor.name), Some(tensor));
        for plane in tensor.planes {
            let length = plane.row_bytes.checked_mul(tensor.rows() as u64).unwrap();
            ranges.push(plane.offset..plane.offset.checked_add(length).unwrap());
        }
    }
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.last().is_none_or(|last| last.end <= file.size));
    assert!(ranges.is_sorted_by(|a, b| a.end <= b.start), "tensors overlap");
    // The densest format that can be described, Q1_0, has 7 values per byte.
    assert!(file.parameters() <= 8 * file.size);
}

/// A tokenizer inside is valid, or an error.
fn check_tokenizer(plan: &Plan, mut bytes: &[u8]) {
    let vocab_size = plan.shape().vocab_size;
    let Some(vocabulary) = &plan.file().vocabulary else {
        return;
    };
    let opened = Tokenizer::from_file(&mut bytes, vocab_size);
    match Tokenizer::from_gguf(vocabulary, &mut bytes) {
        Ok(tokenizer) => {
            assert_eq!(tokenizer.len(), vocab_size);
            super::tokenizer::check(&tokenizer, bytes, &|byte| byte_token(&tokenizer, byte));
            assert!(opened.is_ok_and(|opened| opened.write() == tokenizer.write()));
            let written = tokenizer.write();
            if tokenizer.check_llama2c().is_ok() {
                assert_eq!(Tokenizer::from_bytes(&written).unwrap().write(), written);
            }
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(opened.is_err());
        }
    }
}

/// The last token whose piece names this byte and that is not a control token.
fn byte_token(tokenizer: &Tokenizer, byte: u8) -> Option<u32> {
    let digits = format!("{byte:02X}");
    let is = |&token: &u32| match tokenizer.piece(token) {
        [b'<', b'0', b'x', own @ .., b'>'] => {
            own.eq_ignore_ascii_case(digits.as_bytes())
                && !controls(tokenizer, token)
                && !matches!(tokenizer.kind(token), TokenKind::Control | TokenKind::Unknown)
        }
        _ => false,
    };
    let unknown = tokenizer.rules().unknown;
    let unknown = (!controls(tokenizer, unknown)).then_some(unknown);
    (0..tokenizer.len() as u32).rev().find(is).or(unknown)
}

/// A context that does not fit the memory is an error and does not end the program.
fn check_memory(plan: &Arc<Plan>, mut bytes: &[u8]) {
    let context = plan.shape().context;
    let (least, needed) = (needed(plan, 1), needed(plan, context));
    assert!(least <= needed);
    // Without a limit the system would promise memory that it does not have.
    if memory::limit().is_some_and(|limit| needed / 2 > limit as u64) && least < SMALL {
        let go_on = &mut |_| ControlFlow::Continue(());
        let Ok(model) = Model::load(plan, &mut bytes, &OneCore, context, go_on) else {
            return;
        };
        let session = Session::new(&model, &OneCore).map(drop);
        assert!(matches!(session, Err(LoadError::OutOfMemory { .. })));
    }
}

/// Bytes that the model takes with a context of `context` positions.
fn needed(plan: &Plan, context: usize) -> u64 {
    plan.memory(context, KvFormat::F32).total()
}

/// A file on a bad spot of the disk.
struct Bad<'a> {
    bytes: &'a [u8],
    end: u64,
}

impl ReadAt for Bad<'_> {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        if offset + buffer.len() as u64 > self.end {
            return Err(StorageError::Device { offset, reason: "bad".into() });
        }
        self.bytes.read_at(offset, buffer)
    }
}

fn check_read_errors(plan: &Arc<Plan>, bytes: &[u8]) {
    let file = plan.file();
    if needed(plan, 1) > SMALL {
        return;
    }
    // Within the first tensor in the file, whichever that is.
    let first = file.tensors().iter().map(|tensor| tensor.planes[0].offset).min().unwrap_or(0);
    let end_of_plane = |tensor: &Tensor| {
        tensor.planes.map(|plane| plane.offset + plane.row_bytes * tensor.rows() as u64)
    };
    let last = file.tensors().iter().flat_map(end_of_plane).max().unwrap_or(0);
    for end in [0, first, file.size / 2] {
        let go_on = &mut |_| ControlFlow::Continue(());
        let result = Model::load(plan, &mut Bad { bytes, end }, &OneCore, 1, go_on);
        match result.map(drop) {
            Err(
                LoadError::Rows(RowError::Storage(_) | RowError::NotFinite { .. })
                | LoadError::RopeFactor { .. },
            ) => {}
            // Bytes after the weights are not read.
            Ok(()) => assert!(last <= end),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Loads the model and feeds a few tokens. Returns whether its weights are finite.
fn run(plan: &Arc<Plan>, mut bytes: &[u8]) -> bool {
    let context = plan.shape().context.min(CONTEXT);
    let announced = needed(plan, context);
    if announced > SMALL {
        return false;
    }
    let mut calls = 0;
    let mut progress = |_| {
        calls += 1;
        ControlFlow::Continue(())
    };
    let (loaded, peak) = memory::peak(|| {
        let model = Model::load(plan, &mut bytes, &OneCore, context, &mut progress)?;
        Session::new(&model, &OneCore).map(drop)?;
        Ok::<_, LoadError>(model)
    });
    assert!(peak as u64 <= announced, "{peak} bytes instead of {announced}");
    let model = match loaded {
        Ok(model) => model,
        Err(LoadError::Rows(RowError::NotFinite { .. }) | LoadError::RopeFactor { .. }) => {
            return false;
        }
        Err(error) => panic!("{error}"),
    };
    assert!(calls > 0, "nobody would see that something is going on");

    let mut session = Session::new(&model, &OneCore).unwrap();
    let last = plan.shape().vocab_size as u32 - 1;
    let mut sampler =
        Sampler::new(SamplerSettings::default().chain(1), plan.shape().vocab_size).unwrap();
    let mut first_time = Vec::new();
    for token in [last.min(1), last, 0].into_iter().take(context) {
        let logits = session.decode(token).unwrap();
        first_time.extend(logits.iter().map(|logit| logit.to_bits()));
        if let Ok(token) = sampler.sample(logits, &[]) {
            assert!(token <= last);
        }
    }
    assert!(session.decode(last + 1).is_err());
    session.rewind(0);
    let mut second_time = Vec::new();
    for token in [last.min(1), last, 0].into_iter().take(context) {
        second_time.extend(session.decode(token).unwrap().iter().map(|logit| logit.to_bits()));
    }
    assert!(first_time == second_time);
    true
}

fn check_conversions(file: &ModelFile, mut bytes: &[u8]) {
    // v0 has tables of the size of the context.
    if file.context().is_none_or(|context| context > 4096) {
        return;
    }
    let config = Config::of(file);
    let as_llama2c = config.as_ref().is_ok_and(|config| {
        let Config { norm_epsilon, rope_base, .. } = *config;
        (norm_epsilon, rope_base) == (Config::NORM_EPSILON, Config::ROPE_BASE)
    });
    let group = config.as_ref().map_or(1, largest_group);
    for version in [Version::V0, Version::V1, Version::V2 { group }] {
        let mut output = Vec::new();
        match convert(file, &mut bytes, version, None, &mut output, &mut |_| {}) {
            Err(WriteError::Config(_)) if !as_llama2c => continue,
            result => result.unwrap(),
        }
        let again = read(&mut output.as_slice()).unwrap();
        assert_eq!(
            (again.format, Config::of(&again)),
            (FileFormat::Llama2c(version), config.clone())
        );
    }
    for weights in Encoding::writable() {
        let mut output = Vec::new();
        let format = OutputFormat::Gguf(weights);
        match convert(file, &mut bytes, format, None, &mut output, &mut |_| {}) {
            Err(WriteError::TooLarge { .. }) => continue,
            result => result.unwrap(),
        }
        let again = read(&mut output.as_slice()).unwrap();
        assert_eq!(again.format, FileFormat::Gguf);
        let shape = |file: &ModelFile| (file.context(), file.vocab_size(), file.parameters());
        assert_eq!(shape(&again), shape(file));
        assert_eq!(again.vocabulary.is_some(), file.vocabulary.is_some());
    }
}
