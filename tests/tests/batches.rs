//! Rows of several sequences in one batch: each has the bits that it has alone.

use bootllm_engine::{Engine, KvFormat, Model, Row, RunError, Sequence, Session};
use bootllm_host::Threads;
use bootllm_model_file::Version;
use bootllm_quant::Encoding;
use bootllm_tests::{SmallModel, load, qwen2};
use core::ops::ControlFlow;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

/// Positions of the models here.
const CONTEXT: usize = 100;

fn models() -> &'static [Arc<Model>] {
    static MODELS: LazyLock<Vec<Arc<Model>>> = LazyLock::new(|| {
        let (tied, untied) = (SmallModel::tied_embeddings(), SmallModel::untied_embeddings());
        vec![
            tied.load(Version::V1),
            tied.load(Version::V2 { group: 8 }),
            load(&qwen2(&untied, Encoding::Q8_0), CONTEXT),
        ]
    });
    &MODELS
}

fn threads(count: usize) -> &'static Threads {
    static THREADS: LazyLock<[Threads; 3]> =
        LazyLock::new(|| [1, 2, 3].map(|count| Threads::start(count).unwrap()));
    &THREADS[count - 1]
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// Token `index` of sequence `sequence`.
fn token(sequence: usize, index: usize, vocab_size: usize) -> u32 {
    ((index * 37 + sequence * 101 + index * index * 11) % vocab_size) as u32
}

/// The logits after each of a sequence's first tokens, fed alone, one by one.
fn alone(model: &Arc<Model>, format: KvFormat, sequence: usize, count: usize) -> Vec<Vec<u32>> {
    let cores = threads(1).cores();
    let mut session = Session::with_kv_format(model, cores, format).unwrap();
    let vocab_size = model.shape().vocab_size;
    let one = |index| bits(session.decode(token(sequence, index, vocab_size)).unwrap());
    (0..count).map(one).collect()
}

/// The rows that a batch takes of each sequence, and their order.
#[derive(Clone, Debug)]
struct Mix {
    /// Per batch and sequence: how many rows.
    rows: Vec<[usize; 3]>,
    /// Whether rows of different sequences alternate, or come sequence by sequence.
    alternate: bool,
    /// Every how many rows logits are wanted.
    wanted: usize,
}

fn mixes() -> impl Strategy<Value = Mix> {
    // One reads a prompt, two decode; then the roles change.
    let batch = prop_oneof![
        (1..40usize).prop_map(|prompt| [prompt, 1, 1]),
        (1..40usize).prop_map(|prompt| [1, prompt, 1]),
        (0..4usize, 0..4usize, 0..30usize).prop_map(|(a, b, c)| [a, b, c]),
    ];
    let batches = prop::collection::vec(batch, 1..5);
    (batches, any::<bool>(), 1..5usize).prop_map(|(rows, alternate, wanted)| Mix {
        rows,
        alternate,
        wanted,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn each_row_of_a_mixed_batch_has_the_bits_that_it_has_alone(
        mix in mixes(),
        model in 0..3usize,
        cores in 1..=3usize,
        formats in prop::array::uniform3(0..3usize),
    ) {
        let model = &models()[model];
        let vocab_size = model.shape().vocab_size;
        let formats = formats.map(|format| KvFormat::ALL[format]);
        let mut engine = Engine::new(model, threads(cores).cores()).unwrap();
        let mut sequences =
            formats.map(|format| Sequence::new(model, CONTEXT, format).unwrap());
        let mut found: [Vec<(usize, Vec<u32>)>; 3] = Default::default();
        for counts in &mix.rows {
            let row = |sequence: usize, offset: usize| {
                let position = sequences[sequence].position() + offset;
                let logits = (position + sequence).is_multiple_of(mix.wanted);
                let token = token(sequence, position, vocab_size);
                Row { sequence, position, token, logits }
            };
            let fits = |row: &Row| row.position < model.context();
            let mut rows: Vec<Row> = (0..3)
                .flat_map(|sequence| (0..counts[sequence]).map(move |offset| (sequence, offset)))
                .map(|(sequence, offset)| row(sequence, offset))
                .filter(fits)
                .collect();
            if mix.alternate {
                rows.sort_by_key(|row| row.position - sequences[row.sequence].position());
            }
            let mut rest = rows.as_slice();
            while !rest.is_empty() {
                let mut output = engine.run(&mut sequences, rest, None).unwrap();
                while let Some((row, logits)) = output.next_logits() {
                    let row = rest[row];
                    found[row.sequence].push((row.position, bits(logits)));
                }
                let done = output.rows();
                rest = &rest[done..];
            }
        }
        for (sequence, found) in found.iter().enumerate() {
            let expected =
                alone(model, formats[sequence], sequence, sequences[sequence].position());
            for (position, logits) in found {
                prop_assert!(*logits == expected[*position], "{sequence}, {position}");
            }
        }
    }
}

#[test]
fn rows_that_do_not_continue_their_sequence_are_refused_and_change_nothing() {
    let model = &models()[0];
    let mut engine = Engine::new(model, threads(1).cores()).unwrap();
    let mut sequences = [0; 2].map(|_| Sequence::new(model, 10, KvFormat::F32).unwrap());
    let row = |sequence, position| Row { sequence, position, token: 3, logits: false };
    let wrong = |sequence| Some(RunError::WrongRow { sequence });
    for (rows, expected) in [
        (vec![row(0, 1)], wrong(0)),
        (vec![row(0, 0), row(0, 2)], wrong(0)),
        (vec![row(0, 0), row(1, 0), row(1, 0)], wrong(1)),
        (vec![row(2, 0)], wrong(2)),
        (
            (0..11).map(|position| row(1, position)).collect(),
            Some(RunError::ContextFull { context: 10 }),
        ),
    ] {
        assert_eq!(engine.run(&mut sequences, &rows, None).err(), expected);
        assert_eq!(sequences.each_ref().map(Sequence::position), [0, 0]);
    }
    // A sequence of another model.
    let mut other = [Sequence::new(&models()[1], 10, KvFormat::F32).unwrap()];
    assert_eq!(engine.run(&mut other, &[row(0, 0)], None).err(), wrong(0));
    // No rows are nothing to do.
    assert_eq!(engine.run(&mut sequences, &[], None).unwrap().rows(), 0);
}

/// A pass that is stopped between two layers leaves every sequence as it was.
#[test]
fn a_stopped_pass_leaves_the_sequences_as_they_were() {
    let model = &models()[0];
    let mut engine = Engine::new(model, threads(2).cores()).unwrap();
    let mut sequences = [0; 2].map(|_| Sequence::new(model, CONTEXT, KvFormat::F32).unwrap());
    let vocab_size = model.shape().vocab_size;
    let rows = |from: usize, count: usize| -> Vec<Row> {
        let row = |(sequence, position)| {
            let token = token(sequence, position, vocab_size);
            Row { sequence, position, token, logits: true }
        };
        (0..2).flat_map(|s| (from..from + count).map(move |p| (s, p))).map(row).collect()
    };
    engine.run(&mut sequences, &rows(0, 7), None).unwrap();
    for layers in 1..model.shape().layers {
        let mut left = layers;
        let mut stop = || {
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let stopped = engine.run(&mut sequences, &rows(7, 9), Some(&mut stop)).err();
        assert_eq!(stopped, Some(RunError::Stopped));
        assert_eq!(sequences.each_ref().map(Sequence::position), [7, 7]);
    }
    let next = rows(7, 9);
    let mut output = engine.run(&mut sequences, &next, None).unwrap();
    while let Some((row, logits)) = output.next_logits() {
        let Row { sequence, position, .. } = next[row];
        let expected = alone(model, KvFormat::F32, sequence, position + 1);
        assert!(bits(logits) == expected[position], "{sequence}, {position}");
    }
}

/// A value that a narrower format cannot represent is reported, not hidden.
#[test]
fn numbers_that_are_none_are_an_error_in_every_format_of_keys_and_values() {
    let mut bytes = SmallModel::tied_embeddings().file(Version::V1);
    // The largest norm weights there are make the activations infinite; they follow the header.
    for value in bytes[256..256 + 4 * 48].as_chunks_mut::<4>().0 {
        *value = f32::MAX.to_le_bytes();
    }
    let model = load(&bytes, CONTEXT);
    for format in KvFormat::ALL {
        let mut session = Session::with_kv_format(&model, threads(1).cores(), format).unwrap();
        let damaged = match session.decode(5) {
            Ok(logits) => logits.iter().any(|logit| !logit.is_finite()),
            Err(error) => error == RunError::NotANumber,
        };
        assert!(damaged, "{}", format.name());
    }
}
