//! GGUF files: what is read, what is written, what is refused.

use bootllm_engine::{KvFormat, Plan, PlanError};
use bootllm_model_file::{
    Config, ConfigError, FileFormat, GgufError, ModelFile, OffsetProblem, OutputFormat, ReadError,
    RowError, TensorRole, Tokens, Version, WriteError, WrongType, convert, for_each_f32_row, read,
};
use bootllm_quant::Encoding;
use bootllm_tests::{Folder, Gguf, SmallModel, bootllm, plan, shared, string, value, vocabulary};
use bootllm_tokenizer::{Decoder, Tokenizer};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

const MODELS: [fn() -> SmallModel; 3] =
    [SmallModel::tied_embeddings, SmallModel::untied_embeddings, SmallModel::smallest];

/// A small file that is good, with a tokenizer inside.
fn good() -> Gguf {
    static GOOD: LazyLock<Gguf> =
        LazyLock::new(|| Gguf::parse(&SmallModel::tied_embeddings().gguf(Encoding::F32)));
    GOOD.clone()
}

fn described(file: &Gguf) -> Result<ModelFile, ReadError> {
    read(&mut file.bytes().as_slice())
}

/// All weights of a model, tensor after tensor, as their bits.
fn weights(mut bytes: &[u8]) -> BTreeMap<String, Vec<u32>> {
    let file = read(&mut bytes).unwrap();
    let tensors = file.tensors().iter().map(|tensor| {
        let mut values = Vec::new();
        for_each_f32_row(&mut bytes, tensor, &mut Default::default(), |_, row| {
            values.extend(row.iter().map(|value| value.to_bits()));
            Ok::<_, RowError>(())
        })
        .unwrap();
        (tensor.name.clone(), values)
    });
    tensors.collect()
}

fn converted(bytes: &[u8], format: impl Into<OutputFormat>) -> Vec<u8> {
    converted_with(bytes, format, None)
}

fn converted_with(
    mut bytes: &[u8],
    format: impl Into<OutputFormat>,
    tokens: Option<&dyn Tokens>,
) -> Vec<u8> {
    let file = read(&mut bytes).unwrap();
    let mut output = Vec::new();
    convert(&file, &mut bytes, format, tokens, &mut output, &mut |_| {}).unwrap();
    output
}

#[test]
fn a_written_file_is_read_as_it_was_meant() {
    for model in MODELS.map(|model| model()) {
        for weights in Encoding::writable() {
            let bytes = model.gguf(weights);
            let file = read(&mut bytes.as_slice()).unwrap();
            assert_eq!(Config::of(&file), Ok(model.config));
            assert_eq!(file.size, bytes.len() as u64);
            assert!(file.vocabulary.is_some());
            for tensor in file.tensors() {
                let expected = match weights {
                    _ if tensor.is_vector() => Encoding::F32,
                    _ if tensor.columns() % weights.block_len() != 0 => Encoding::F16,
                    weights => weights,
                };
                assert_eq!(tensor.encoding, Ok(expected), "{tensor}");
                assert_eq!(tensor.planes[0].offset % 32, 0);
            }
        }
    }
    let own = SmallModel::untied_embeddings().gguf(Encoding::Q8_0);
    let file = read(&mut own.as_slice()).unwrap();
    assert_eq!((file.format, file.main_format()), (FileFormat::Gguf, "q8_0"));
    let down = file.tensor(&TensorRole::Down.name(1)).unwrap();
    assert_eq!(down.encoding, Ok(Encoding::F16), "68 columns");
}

#[test]
fn a_file_says_what_llama_cpp_asks_for() {
    let model = SmallModel::untied_embeddings();
    let file = Gguf::parse(&model.gguf(Encoding::Q4_0));
    assert_eq!(file.version, 3);
    for (key, expected) in [
        ("general.architecture", value::text("llama")),
        ("general.alignment", value::u32(32)),
        ("general.file_type", value::u32(2)),
        ("general.quantization_version", value::u32(2)),
        ("llama.block_count", value::u32(2)),
        ("llama.context_length", value::u32(70)),
        ("llama.embedding_length", value::u32(32)),
        ("llama.feed_forward_length", value::u32(68)),
        ("llama.attention.head_count", value::u32(4)),
        ("llama.attention.head_count_kv", value::u32(4)),
        ("llama.attention.layer_norm_rms_epsilon", value::f32(1e-5)),
        ("llama.rope.dimension_count", value::u32(8)),
        ("llama.rope.freq_base", value::f32(10_000.0)),
        ("llama.vocab_size", value::u32(325)),
        ("tokenizer.ggml.model", value::text("llama")),
        ("tokenizer.ggml.bos_token_id", value::u32(1)),
        ("tokenizer.ggml.eos_token_id", value::u32(2)),
        ("tokenizer.ggml.unknown_token_id", value::u32(0)),
        ("tokenizer.ggml.add_bos_token", value::bool(true)),
        ("tokenizer.ggml.add_space_prefix", value::bool(true)),
    ] {
        assert_eq!(file.value(key), Some(expected.as_slice()), "{key}");
    }
    let tokens = file.value("tokenizer.ggml.tokens").unwrap();
    let start = ["<unk>", "<s>", "</s>", "<0x00>"].map(string).concat();
    assert!(tokens[16..].starts_with(&start));
    let spaced = string("\u{2581}th");
    assert!(tokens.windows(spaced.len()).any(|window| window == spaced));
    let kinds = file.value("tokenizer.ggml.token_type").unwrap();
    let kinds: Vec<u32> =
        kinds[16..].as_chunks().0.iter().map(|&kind| u32::from_le_bytes(kind)).collect();
    assert_eq!((&kinds[..4], &kinds[258..260]), ([2, 3, 3, 6].as_slice(), [6, 1].as_slice()));

    let shape = |name: &str| file.tensor(name).map(|tensor| tensor.dimensions.clone());
    assert_eq!(shape("blk.1.ffn_down.weight"), Some(vec![68, 32]));
    assert_eq!(shape("blk.0.attn_norm.weight"), Some(vec![32]));
    assert_eq!(shape("output.weight"), Some(vec![32, 325]));
    let shared = Gguf::parse(&SmallModel::tied_embeddings().gguf(Encoding::F32));
    assert_eq!(shared.tensor("output.weight"), None, "it is the embedding");
}

#[test]
fn formats_convert_into_each_other() {
    let tokens = vocabulary();
    for model in MODELS.map(|model| model()) {
        let v1 = model.file(Version::V1);
        let expected = weights(&v1);
        // Without loss, whatever way it goes.
        let tokens = Some(&tokens as &dyn Tokens).filter(|_| model.config.vocab_size == 325);
        let f32 = converted_with(&v1, Encoding::F32, tokens);
        assert!(weights(&f32) == expected);
        assert!(converted(&f32, Version::V1) == v1);
        assert!(converted(&f32, Version::V0) == model.file(Version::V0));
        assert!(converted(&f32, Encoding::F32).len() == f32.len());
        // From any of llama2.c's formats, and by way of GGUF, it is the same.
        for weights in Encoding::writable() {
            let direct = converted_with(&v1, weights, tokens);
            assert!(Gguf::parse(&converted(&f32, weights)).tensors == Gguf::parse(&direct).tensors);
            // What is lost is lost once.
            let floats = converted(&direct, Encoding::F32);
            let again = Gguf::parse(&converted(&floats, weights));
            assert!(again.tensors == Gguf::parse(&direct).tensors, "{weights:?}");
            assert!(Gguf::parse(&converted(&direct, weights)).tensors == again.tensors);
        }
    }
}

#[test]
fn values_that_nobody_here_reads_are_kept() {
    let names = ["a", "b"].map(string).concat();
    let nested =
        [value::array(4, 2, &[0; 8])[4..].to_vec(), value::array(8, 2, &names)[4..].to_vec()];
    let mut file = good()
        .with("general.name", value::text("small ü"))
        .with("tokenizer.chat_template", value::text(&"{{ x }}".repeat(20_000)))
        .with("general.file_type", value::u32(99))
        .with("some.nested", value::array(9, 2, &nested.concat()))
        .with("some.bytes", value::array(0, 70_000, &[7; 70_000]));
    for (number, bytes) in
        [(0, 1), (1, 1), (2, 2), (3, 2), (5, 4), (7, 1), (10, 8), (11, 8), (12, 8)]
    {
        let value = [u32::to_le_bytes(number).as_slice(), &[1; 8][..bytes]].concat();
        file.values.insert(1, (format!("some.of_type_{number}"), value));
    }
    let other = Gguf::parse(&converted(&file.bytes(), Encoding::Q8_0));
    assert_eq!(other.value("general.file_type"), Some(value::u32(7).as_slice()));
    assert_eq!(other.values.len(), file.values.len());
    for (key, expected) in &file.values {
        if key != "general.file_type" {
            assert!(other.value(key) == Some(expected), "{key}");
        }
    }
    // Version 2 differs in nothing.
    let old = Gguf { version: 2, ..file.clone() };
    assert!(converted(&old.bytes(), Encoding::Q8_0) == converted(&file.bytes(), Encoding::Q8_0));
}

#[test]
fn a_model_with_other_numbers_is_computed_with_them_and_is_none_of_llama2_c_s() {
    let small = SmallModel::tied_embeddings();
    for (config, what) in [
        (Config { norm_epsilon: 1e-6, ..small.config }, "the norms' epsilon"),
        (Config { rope_base: 500_000.0, ..small.config }, "the base of the rotary frequencies"),
    ] {
        let model = SmallModel { config, ..small };
        let bytes = model.gguf(Encoding::F32);
        let file = read(&mut bytes.as_slice()).unwrap();
        assert_eq!(Config::of(&file), Ok(config));
        let logits = |bytes: &[u8], config| {
            let mut reference = bootllm_tests::Reference::new(bytes, config, Encoding::F32);
            (0..4).for_each(|token| drop(reference.forward(token)));
            reference.forward(4)
        };
        let model = model.load(Encoding::F32);
        let mut session = bootllm_engine::Session::new(&model, &bootllm_cores::OneCore).unwrap();
        session.prefill(&[0, 1, 2, 3]).unwrap();
        let own = session.decode(4).unwrap().to_vec();
        assert!(own == logits(&bytes, config));
        assert!(own != logits(&bytes, small.config));

        let mut source = bytes.as_slice();
        for version in [Version::V0, Version::V1, Version::V2 { group: 16 }] {
            let sink = &mut Vec::new();
            let error = convert(&file, &mut source, version, None, sink, &mut |_| {}).unwrap_err();
            let expected = WriteError::Config(ConfigError::NotInLlama2c { what: what.into() });
            assert_eq!(error, expected);
        }
        let again = converted(&bytes, Encoding::F16);
        assert_eq!(Config::of(&read(&mut again.as_slice()).unwrap()), Ok(config));
    }
}

/// Other programs write them so.
#[test]
fn norms_may_be_halves() {
    let model = SmallModel::untied_embeddings();
    let whole = Gguf::parse(&model.gguf(Encoding::F32)).tensors(|all| {
        for norm in all.iter_mut().filter(|tensor| tensor.name.contains("norm")) {
            // Bits that a bfloat16 has.
            norm.bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|value| value[..2].fill(0));
        }
    });
    let halves = whole.clone().tensors(|all| {
        for norm in all.iter_mut().filter(|tensor| tensor.name.contains("norm")) {
            norm.kind = 30;
            norm.bytes = norm.bytes.chunks(4).flat_map(|value| [value[2], value[3]]).collect();
        }
    });
    let (whole, halves) = (whole.bytes(), halves.bytes());
    assert!(weights(&whole) == weights(&halves));
    let needed = |bytes: &[u8]| plan(bytes).memory(100, KvFormat::F32).weights;
    assert_eq!(needed(&whole), needed(&halves));
}

#[test]
fn what_may_be_left_out_has_llama_cpp_s_defaults() {
    let model = SmallModel::untied_embeddings();
    let file = Gguf::parse(&model.gguf(Encoding::F32));
    let file = file
        .without("llama.attention.head_count_kv")
        .without("llama.rope.dimension_count")
        .without("llama.rope.freq_base")
        .without("llama.vocab_size")
        .without("general.alignment")
        .without("general.file_type")
        .without("general.quantization_version")
        .without("tokenizer.ggml.scores")
        .without("tokenizer.ggml.add_bos_token")
        .without("tokenizer.ggml.add_space_prefix")
        .without("tokenizer.ggml.bos_token_id")
        .without("tokenizer.ggml.eos_token_id")
        .without("tokenizer.ggml.unknown_token_id");
    let shape = *plan(&file.bytes()).shape();
    assert_eq!((shape.context, shape.kv_heads, shape.vocab_size), (70, 4, 325));
    let read = described(&file).unwrap();
    assert_eq!(Config::of(&read), Ok(model.config));
    let vocabulary = read.vocabulary.unwrap();
    assert_eq!(vocabulary.rules(), Tokens::rules(&bootllm_tests::vocabulary()));
    // Numbers of any type, and scalings that scale nothing.
    let file = file
        .with("llama.block_count", [10u32.to_le_bytes().as_slice(), &2u64.to_le_bytes()].concat())
        .with(
            "llama.context_length",
            [2u32.to_le_bytes().as_slice(), &70u16.to_le_bytes()].concat(),
        )
        .with("tokenizer.ggml.unknown_token_id", value::u32(u32::MAX))
        .with("llama.rope.scaling.type", value::text("none"))
        .with("llama.rope.scaling.factor", value::f32(4.0))
        .with("llama.expert_count", value::u32(0))
        .with("split.count", value::u32(1));
    assert_eq!(*plan(&file.bytes()).shape(), shape);
    let file = file
        .with("llama.rope.scaling.type", value::text("linear"))
        .with("llama.rope.scaling.factor", value::f32(1.0));
    assert_eq!(*plan(&file.bytes()).shape(), shape);
    // Another alignment, and no tokenizer.
    let mut file = Gguf { alignment: 64, ..file }.with("general.alignment", value::u32(64));
    file.values.retain(|(key, _)| !key.starts_with("tokenizer."));
    let read = described(&file).unwrap();
    assert_eq!(read.vocabulary, None);
    assert_eq!(*plan(&file.bytes()).shape(), shape);
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq)]
enum Problem {
    /// It cannot be read.
    Read(ReadError),
    /// It cannot be run.
    Plan(PlanError),
}

impl From<GgufError> for Problem {
    fn from(error: GgufError) -> Self {
        Problem::Read(error.into())
    }
}

impl From<PlanError> for Problem {
    fn from(error: PlanError) -> Self {
        Problem::Plan(error)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Problem::Read(error) => error.fmt(f),
            Problem::Plan(error) => error.fmt(f),
        }
    }
}

/// What is wrong with this file.
fn problem(file: &Gguf) -> Problem {
    match described(file) {
        Err(error) => Problem::Read(error),
        Ok(file) => Problem::Plan(Plan::new(Arc::new(file)).err().expect("a bad file")),
    }
}

/// A good file with something wrong in it, and what that is.
fn bad_files() -> Vec<(Gguf, Problem)> {
    let tensor = |name: &'static str, change: fn(&mut bootllm_tests::GgufTensor)| {
        good().tensors(|all| change(all.iter_mut().find(|tensor| tensor.name == name).unwrap()))
    };
    let more = |name: &'static str| {
        good().tensors(|all| {
            let mut other = all[1].clone();
            other.name = name.into();
            all.push(other);
        })
    };
    let number = |key: &str, number: u32| good().with(key, value::u32(number));
    let float = |key: &str, number: f32| good().with(key, value::f32(number));
    let twice = {
        let mut file = good();
        file.values.push(file.values[3].clone());
        file
    };
    let wrong_type =
        |key, expected| -> Problem { GgufError::from(WrongType { key, expected }).into() };
    let unsupported = |key: &str, found: &str| -> Problem {
        PlanError::Unsupported { key: key.into(), found: found.into() }.into()
    };
    let wrong_value = |key: &str, found: &str, expected| -> Problem {
        PlanError::Value { key: key.into(), found: found.into(), expected }.into()
    };
    let missing = |key: &str| -> Problem { PlanError::Missing { key: key.into() }.into() };
    let unknown =
        |tensor: &str| -> Problem { PlanError::UnknownTensor { tensor: tensor.into() }.into() };
    let no_tensor =
        |tensor: &str| -> Problem { PlanError::MissingTensor { tensor: tensor.into() }.into() };
    let shape = |tensor: &str, found, expected| -> Problem {
        PlanError::TensorShape { tensor: tensor.into(), found, expected }.into()
    };
    let count = "a whole number from 1 to 2147483647";
    let epsilon = ("llama.attention.layer_norm_rms_epsilon", "a number from 0 to 1");
    let base = ("llama.rope.freq_base", "1 or more");
    let without =
        |name: &'static str| good().tensors(|all| all.retain(|tensor| tensor.name != name));
    vec![
        (Gguf { version: 1, ..good() }, GgufError::Version { found: 1 }.into()),
        (Gguf { version: 3 << 24, ..good() }, Problem::Read(ReadError::BigEndian)),
        (
            good().with("general.architecture", value::text("mamba\x1b[2J")),
            PlanError::Architecture { found: "mamba[2J".into(), known: "llama, qwen2".into() }
                .into(),
        ),
        (good().without("general.architecture"), PlanError::NoArchitecture.into()),
        (number("general.architecture", 1), PlanError::NoArchitecture.into()),
        (number("split.count", 3), GgufError::Split { files: 3 }.into()),
        (number("llama.expert_count", 8), unsupported("llama.expert_count", "8")),
        (
            good().with("llama.rope.scaling.type", value::text("yarn")),
            unsupported("llama.rope.scaling.type", "yarn"),
        ),
        (
            float("llama.rope.scaling.factor", -4.0),
            wrong_value("llama.rope.scaling.factor", "-4", "1 or more, or 0 for none"),
        ),
        (number("llama.some_new_thing", 4), unsupported("llama.some_new_thing", "4")),
        (number("general.alignment", 24), GgufError::Alignment { found: 24 }.into()),
        (number("general.alignment", 0), GgufError::Alignment { found: 0 }.into()),
        (number("llama.block_count", 0), wrong_value("llama.block_count", "0", count)),
        (
            number("llama.embedding_length", u32::MAX),
            wrong_value("llama.embedding_length", "4294967295", count),
        ),
        (
            number("llama.attention.head_count", 7),
            wrong_value("llama.attention.head_count_kv", "2", "a divisor of the heads"),
        ),
        (
            number("llama.attention.head_count_kv", 4),
            wrong_value("llama.attention.head_count_kv", "4", "a divisor of the heads"),
        ),
        (
            number("llama.rope.dimension_count", 10),
            wrong_value("llama.rope.dimension_count", "10", "even, and at most a head's size"),
        ),
        (
            number("llama.attention.key_length", 16),
            shape("blk.0.attn_q.weight", (48, 48), (96, 48)),
        ),
        (
            number("llama.attention.value_length", 9),
            wrong_value("llama.attention.value_length", "9", "the length of a key"),
        ),
        (good().without("llama.block_count"), missing("llama.block_count")),
        (
            good().with("llama.feed_forward_length", value::array(4, 3, &[80; 12])),
            wrong_value("llama.feed_forward_length", "a list of 3", count),
        ),
        (good().without(epsilon.0), missing(epsilon.0)),
        (float(epsilon.0, f32::NAN), wrong_value(epsilon.0, "NaN", epsilon.1)),
        (float(epsilon.0, -1.0), wrong_value(epsilon.0, "-1", epsilon.1)),
        (float(base.0, 0.0), wrong_value(base.0, "0", base.1)),
        (float(base.0, f32::INFINITY), wrong_value(base.0, "inf", base.1)),
        (twice, GgufError::Twice { key: "llama.attention.layer_norm_rms_epsilon".into() }.into()),
        (
            good().with("some.value", 13u32.to_le_bytes().into()),
            GgufError::ValueType { key: "some.value".into(), found: 13 }.into(),
        ),
        (
            good().with(
                "some.value",
                [9u32.to_le_bytes().as_slice(), &value::array(9, 1, &[])[4..].repeat(9)].concat(),
            ),
            GgufError::ValueType { key: "some.value".into(), found: 9 }.into(),
        ),
        (more("blk.0.ffn_up_exps.weight"), unknown("blk.0.ffn_up_exps.weight")),
        (more("blk.0.attn_q_norm.weight"), unknown("blk.0.attn_q_norm.weight")),
        (more("rope_freqs.weight"), shape("rope_freqs.weight", (1, 48), (1, 4))),
        (more("\x1b[2Jother"), GgufError::TensorName { tensor: "[2Jother".into() }.into()),
        (more("blk.x.attn_q.weight"), unknown("blk.x.attn_q.weight")),
        (more("attn_q.weight"), unknown("attn_q.weight")),
        (
            more("blk.0.attn_q.weight"),
            GgufError::TensorTwice { tensor: "blk.0.attn_q.weight".into() }.into(),
        ),
        (more("blk.3.attn_norm.weight"), unknown("blk.3.attn_norm.weight")),
        (without("blk.1.attn_k.weight"), no_tensor("blk.1.attn_k.weight")),
        (without("token_embd.weight"), no_tensor("token_embd.weight")),
        (good().tensors(Vec::clear), no_tensor("token_embd.weight")),
        (
            tensor("blk.0.ffn_down.weight", |tensor| {
                (tensor.kind, tensor.dimensions) = (12, vec![256, 15]);
            }),
            shape("blk.0.ffn_down.weight", (15, 256), (48, 80)),
        ),
        (
            tensor("output_norm.weight", |tensor| tensor.kind = 24),
            PlanError::Encoding { tensor: "output_norm.weight".into(), format: "I8" }.into(),
        ),
        (
            tensor("output_norm.weight", |tensor| tensor.kind = 999),
            GgufError::TensorType { tensor: "output_norm.weight".into(), number: "999".into() }
                .into(),
        ),
        (
            tensor("blk.0.attn_q.weight", |tensor| tensor.kind = 8),
            GgufError::TensorBlocks {
                tensor: "blk.0.attn_q.weight".into(),
                columns: 48,
                format: "q8_0",
                block: 32,
            }
            .into(),
        ),
        (
            tensor("blk.0.attn_k.weight", |tensor| tensor.dimensions = vec![16, 48]),
            shape("blk.0.attn_k.weight", (48, 16), (16, 48)),
        ),
        (
            tensor("blk.0.attn_q.weight", |tensor| tensor.dimensions = vec![24, 2, 48]),
            shape("blk.0.attn_q.weight", (96, 24), (48, 48)),
        ),
        (
            tensor("blk.0.attn_q.weight", |tensor| tensor.dimensions = vec![1; 5]),
            GgufError::TensorShape {
                tensor: "blk.0.attn_q.weight".into(),
                found: "5 dimensions".into(),
            }
            .into(),
        ),
        (
            tensor("blk.0.attn_q.weight", |tensor| tensor.dimensions = vec![48, 0]),
            GgufError::TensorShape {
                tensor: "blk.0.attn_q.weight".into(),
                found: "48 x 0 x 1 x 1".into(),
            }
            .into(),
        ),
        (
            good().with("tokenizer.ggml.scores", value::array(6, 5, &[0; 20])),
            GgufError::VocabularySize { key: "tokenizer.ggml.scores", found: 5, expected: 325 }
                .into(),
        ),
        (
            number("tokenizer.ggml.token_type", 5),
            wrong_type("tokenizer.ggml.token_type", "a list of whole numbers"),
        ),
        (
            number("tokenizer.ggml.bos_token_id", 325),
            GgufError::NoSuchToken { key: "tokenizer.ggml.bos_token_id" }.into(),
        ),
        (
            good()
                .with("tokenizer.ggml.tokens", value::array(8, 2, &[0; 16]))
                .without("tokenizer.ggml.scores")
                .without("tokenizer.ggml.token_type")
                .with("tokenizer.ggml.bos_token_id", value::u32(0))
                .with("tokenizer.ggml.eos_token_id", value::u32(0)),
            PlanError::VocabularySize { found: 2, expected: 325 }.into(),
        ),
        (
            good().without("tokenizer.ggml.tokens"),
            GgufError::Missing { key: "tokenizer.ggml.tokens" }.into(),
        ),
    ]
}

#[test]
fn what_cannot_be_run_is_refused_with_the_reason() {
    let folder = Folder::new();
    for (file, expected) in bad_files() {
        let found = problem(&file);
        // NaN is not equal to itself, but reads the same.
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        let message = found.to_string();
        assert!(!message.contains(char::is_control), "{message:?}");
        let model = folder.file("model.gguf", &file.bytes());
        let outcome = bootllm("run {} -t 0 -n 5", &[&model]);
        outcome.assert_refused(&message);
        assert!(outcome.err.contains("model.gguf: "), "{outcome:?}");
    }
}

/// A description that would fill a PC's memory is refused before it does.
#[test]
fn a_description_may_not_cost_more_than_its_limit() {
    let mut keys = good();
    let key = |n: usize| (format!("{n:0200}"), value::text(&"x".repeat(250)));
    keys.values.extend((0..40_000).map(key));
    let found = described(&keys).unwrap_err();
    assert!(matches!(found, ReadError::DescriptionTooLarge { .. }), "{found:?}");
}

#[test]
fn tensors_that_lie_wrongly_are_refused() {
    let bytes = good().bytes();
    // The offset of the tensor `name` follows its name, two or three numbers and the format.
    let with = |name: &str, dimensions: usize, offset: u64| {
        let mut bytes = bytes.clone();
        let name = string(name);
        let start = bytes.windows(name.len()).position(|window| window == name).unwrap();
        let place = start + name.len() + 4 + 8 * dimensions + 4;
        bytes[place..place + 8].copy_from_slice(&offset.to_le_bytes());
        read(&mut bytes.as_slice()).unwrap_err()
    };
    let embedding = 48 * 325 * 4;
    let name = "blk.0.attn_norm.weight";
    for (offset, problem) in [
        (1, OffsetProblem::Misaligned),
        (embedding - 32, OffsetProblem::Overlap),
        (u64::MAX - 31, OffsetProblem::BeyondEnd),
    ] {
        let expected = GgufError::TensorOffset { tensor: name.into(), offset, problem };
        assert_eq!(with(name, 1, offset), expected.into());
    }
    assert!(matches!(with(name, 1, 1 << 40), ReadError::Size { .. }));
    // Of two tensors at one offset, either may be named as overlapping the other.
    let same = with(name, 1, 0);
    assert!(matches!(
        same,
        ReadError::Gguf(GgufError::TensorOffset { problem: OffsetProblem::Overlap, .. })
    ));
    for length in [0, 3, 4, 8, 24, 100, 5000, 9000, bytes.len() / 2, bytes.len() - 1] {
        let error = read(&mut &bytes[..length]).unwrap_err().to_string();
        assert!(length < 24 || error.contains("cut short"), "{length}: {error}");
    }
    // Counts that no file has.
    for (place, count) in [(8, u64::MAX), (16, u64::MAX), (16, 1 << 40)] {
        let mut bytes = bytes.clone();
        bytes[place..place + 8].copy_from_slice(&u64::to_le_bytes(count));
        assert!(read(&mut bytes.as_slice()).is_err());
    }
}

#[test]
fn a_tokenizer_inside_that_cannot_be_used_is_refused() {
    let folder = Folder::new();
    let pieces = |change: fn(&mut Vec<Vec<u8>>)| {
        let mut pieces: Vec<_> = (0..325).map(|n| string(&format!("{n}"))).collect();
        change(&mut pieces);
        good().with("tokenizer.ggml.tokens", value::array(8, 325, &pieces.concat()))
    };
    let mut scores = vec![0; 4 * 325];
    scores[4 * 300..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    for (file, expected) in [
        (
            good().with("tokenizer.ggml.model", value::text("gpt2")),
            "its tokenizer is of the kind \"gpt2\"; only \"llama\" (SentencePiece) is known so far",
        ),
        (
            pieces(|pieces| pieces[7] = string(&"x".repeat(70_000))),
            "token 7 of the tokenizer is too long",
        ),
        (
            good().with("tokenizer.ggml.scores", value::array(6, 325, &scores)),
            "the score of token 300 is not a number",
        ),
    ] {
        // What needs no words can be had all the same.
        let model = folder.file("model.gguf", &file.bytes());
        bootllm("run {} -t 0 -n 5", &[&model]).assert_refused(expected);
        bootllm("logits {} -i Once", &[&model]).assert_refused(expected);
        assert_eq!(bootllm("logits {}", &[&model]).status, Some(0));
        let inspected = bootllm("inspect {}", &[&model]);
        assert!(inspected.out.contains(expected), "{inspected:?}");
        // Another tokenizer may be named.
        let named = folder.file("named.bin", &vocabulary().write());
        let outcome = bootllm("run {} -t 0 -n 5 -z {}", &[&model, &named]);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
    }
    let long = string(&"x".repeat(60_000));
    let large = good().with("tokenizer.ggml.tokens", value::array(8, 325, &long.repeat(325)));
    let vocabulary = described(&large).unwrap().vocabulary.unwrap();
    let error = Tokenizer::from_gguf(&vocabulary, &mut large.bytes().as_slice()).err().unwrap();
    assert!(error.to_string().contains("bytes are too many for a tokenizer"), "{error}");
}

#[test]
fn the_program_tells_the_same_text_from_every_file_of_a_model() {
    let folder = Folder::new();
    let model = SmallModel::tied_embeddings();
    let v1 = folder.file("v1.bin", &model.file(Version::V1));
    let tokenizer = folder.file("tokens", &vocabulary().write());
    let text = |path: &Path| bootllm("run {} -t 0 -n 60 -i Once", &[path]).out;
    let expected = bootllm("run {} -t 0 -n 60 -i Once -z {}", &[&v1, &tokenizer]).out;
    assert!(expected.len() > 20);

    let f32 = folder.path().join("f32.gguf");
    bootllm("convert {} {} --to f32", &[&v1, &f32]).assert_refused("name one with --tokenizer");
    let outcome = bootllm("convert {} {} --to f32 -z {}", &[&v1, &f32, &tokenizer]);
    assert!(outcome.err.starts_with(&format!("{}: GGUF (f32), ", f32.display())), "{outcome:?}");
    assert_eq!(text(&f32), expected);
    for (to, name) in [("f16", "f16"), ("bf16", "bf16"), ("q8_0", "q8_0"), ("q4_0", "q4_0")] {
        let path = folder.path().join(format!("{to}.gguf"));
        let outcome = bootllm(&format!("convert {{}} {{}} --to {to}"), &[&f32, &path]);
        assert!(outcome.err.contains(&format!("GGUF ({name})")), "{outcome:?}");
        assert_eq!(bootllm("run {} -t 0 -n 9", &[&path]).status, Some(0));
    }
    // Back out again, with the tokenizer beside it.
    let v0 = folder.path().join("back.bin");
    let outcome = bootllm("convert {} {} --to v0", &[&f32, &v0]);
    assert!(outcome.err.contains("back.tokenizer.bin: its tokenizer, "), "{outcome:?}");
    assert_eq!(std::fs::read(&v0).unwrap(), model.file(Version::V0));
    let written = std::fs::read(folder.path().join("back.tokenizer.bin")).unwrap();
    assert_eq!(written, vocabulary().write());
    assert_eq!(text(&v0), expected);
    // A GGUF file can be named for its tokenizer.
    assert_eq!(bootllm("run {} -t 0 -n 60 -i Once -z {}", &[&v1, &f32]).out, expected);
    assert_eq!(bootllm("perplexity {} {}", &[&f32, &tokenizer]).status, Some(1));

    bootllm("convert {} {} -f --to q8_0 -z {}", &[&f32, &v0, &tokenizer])
        .assert_refused("the model has its tokenizer inside, which stays there");
    bootllm("convert {} {} -f --to q8_0 --group 32", &[&f32, &v0]).assert_refused("only v2 has");
}

#[test]
fn a_tokenizer_that_llama2_c_cannot_have_stays_where_it_is() {
    let folder = Folder::new();
    let output = folder.path().join("out.bin");
    for (key, value) in [
        ("tokenizer.ggml.bos_token_id", value::u32(5)),
        ("tokenizer.ggml.add_bos_token", value::bool(false)),
        ("tokenizer.ggml.add_space_prefix", value::bool(false)),
    ] {
        let model = folder.file("model.gguf", &good().with(key, value).bytes());
        bootllm("convert {} {} --to v0", &[&model, &output])
            .assert_refused("llama2.c's tokenizer.bin has no place for this vocabulary");
    }
    assert_eq!(folder.names(), ["model.gguf"]);
}

#[test]
fn weights_that_a_format_cannot_say_are_not_converted() {
    let folder = Folder::new();
    let file = good().tensors(|all| all[0].bytes[..4].copy_from_slice(&1e30f32.to_le_bytes()));
    let model = folder.file("model.gguf", &file.bytes());
    let output = folder.path().join("out.gguf");
    bootllm("convert {} {} --to f16", &[&model, &output])
        .assert_refused("a weight in token_embd.weight is too large for f16");
    assert_eq!(folder.names(), ["model.gguf"]);
    assert_eq!(bootllm("convert {} {} --to bf16", &[&model, &output]).status, Some(0));
}

/// The tokenizer inside a file.
fn tokenizer(file: &Gguf) -> Tokenizer {
    let bytes = file.bytes();
    let vocabulary = described(file).unwrap().vocabulary.unwrap();
    Tokenizer::from_gguf(&vocabulary, &mut bytes.as_slice()).unwrap()
}

#[test]
fn a_vocabulary_inside_encodes_as_the_same_one_outside() {
    let (inside, outside) = (tokenizer(&good()), vocabulary());
    for text in ["", "Once upon a time", " über 日本語 \n\t😀\u{7f}", "<s></s><unk><0x0A>"] {
        assert_eq!(inside.encode(text, true, true), outside.encode(text, true, true), "{text:?}");
    }
    assert_eq!(inside.write(), outside.write());
    // Only here EOS ends a text, and control tokens are not shown.
    assert_eq!([1, 2, 3].map(|token| inside.is_end_of_generation(token)), [true, true, false]);
    assert_eq!([1, 2, 3].map(|token| outside.is_end_of_generation(token)), [true, false, false]);
    assert_eq!(Decoder::new(&inside).push(&inside, 2), "");
    assert_eq!(Decoder::new(&outside).push(&outside, 2), "\n</s>\n");
}

#[test]
fn the_rules_of_a_vocabulary_are_kept() {
    let file = good()
        .with("tokenizer.ggml.bos_token_id", value::u32(7))
        .with("tokenizer.ggml.eos_token_id", value::u32(9))
        .with("tokenizer.ggml.add_bos_token", value::bool(false))
        .with("tokenizer.ggml.add_space_prefix", value::bool(false));
    let (other, usual) = (tokenizer(&file), tokenizer(&good()));
    assert_eq!(usual.encode("a", true, true), [1, usual.find(b" a").unwrap(), 2]);
    assert_eq!(other.encode("a", true, true), [other.find(b"a").unwrap(), 9]);
    assert_eq!(other.encode("", true, false), [7], "a model needs something to begin from");
    // The first token is text here, so it is shown.
    let folder = Folder::new();
    let model = folder.file("model.gguf", &file.bytes());
    let outcome = bootllm("run {} -t 0 -n 20 -i Once", &[&model]);
    assert!(outcome.out.starts_with("Once"), "{outcome:?}");
}

#[test]
fn the_ends_of_a_generation_are_converted() {
    let tokens = tokenizer(&good().with("tokenizer.ggml.eot_token_id", value::u32(270)));
    let v0 = SmallModel::tied_embeddings().file(Version::V0);
    let written = converted_with(&v0, Encoding::F32, Some(&tokens));
    let written = Gguf::parse(&written);
    assert_eq!(written.value("tokenizer.ggml.eot_token_id"), Some(value::u32(270).as_slice()));
    assert_eq!(written.value("tokenizer.ggml.eom_token_id"), None);
    assert!(tokenizer(&written).is_end_of_generation(270));
}

/// llama.cpp's own test cases for its SentencePiece vocabularies.
#[test]
#[cfg_attr(not(has_shared), ignore = "needs the folder `shared` beside the repository")]
fn texts_become_llama_cpp_s_tokens() {
    let folder = shared();
    for (name, tokens) in [("llama-spm", 32_000), ("phi-3", 32_064)] {
        let path = folder.join(format!("vocab/ggml-vocab-{name}.gguf"));
        let beside = |ending| {
            std::fs::read_to_string(path.with_extension(format!("gguf.{ending}"))).unwrap()
        };
        let bytes = std::fs::read(&path).unwrap();
        let tokenizer = Tokenizer::from_file(&mut bytes.as_slice(), tokens).unwrap();
        let (texts, expected) = (beside("inp"), beside("out"));
        let texts = texts.strip_suffix("\n__ggml_vocab_test__\n").unwrap();
        let texts = texts.split("\n__ggml_vocab_test__\n");
        assert_eq!(texts.clone().count(), expected.lines().count());
        for (text, expected) in texts.zip(expected.lines()) {
            let expected: Vec<u32> =
                expected.split_whitespace().map(|token| token.parse().unwrap()).collect();
            assert_eq!(tokenizer.encode(text, false, false), expected, "{name}: {text:?}");
        }
    }
}

#[test]
#[cfg_attr(not(has_shared), ignore = "needs the folder `shared` beside the repository")]
fn a_real_model_is_the_same_in_both_worlds() {
    let folder = shared();
    let file = |name: &str| std::fs::read(folder.join("models").join(name)).unwrap();
    let (v0, gguf) = (file("stories260K.bin"), file("stories260K-f32.gguf"));
    // There the output projection is written out.
    let expected = weights(&v0);
    let mut found = weights(&gguf);
    assert!(found.remove("output.weight") == expected.get("token_embd.weight").cloned());
    assert!(found == expected);
    // And what it becomes here is what llama.cpp's converter made of it.
    let tokens = Tokenizer::from_bytes(&file("tok512.bin")).unwrap();
    let own = converted_with(&v0, Encoding::F32, Some(&tokens));
    let (own, theirs) = (Gguf::parse(&own), Gguf::parse(&gguf));
    assert!(own.tensors.iter().all(|tensor| theirs.tensor(&tensor.name) == Some(tensor)));
    for key in ["tokens", "scores", "token_type", "model", "bos_token_id", "eos_token_id"] {
        let key = format!("tokenizer.ggml.{key}");
        assert!(own.value(&key) == theirs.value(&key), "{key}");
    }
    let inside = tokenizer(&theirs);
    assert_eq!(inside.write(), file("tok512.bin"));
    // Its context is half as long as llama2.c's text.
    let path = folder.join("models/stories260K-f32.gguf");
    let text = |name: &str| {
        std::fs::read_to_string(folder.join("reference/stories260K").join(name)).unwrap()
    };
    for (words, name) in [
        ("-t 0", "greedy_empty_n200.txt"),
        ("-t 0.8 -p 1.0 -s 1234", "t0.8_p1.0_s1234_empty_n256.txt"),
    ] {
        let outcome = bootllm(&format!("run {{}} -n 0 {words}"), &[&path]);
        let found = outcome.out.strip_suffix('\n').unwrap();
        assert!(found.len() > 250 && text(name).starts_with(found), "{outcome:?}");
    }
}
