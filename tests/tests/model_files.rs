//! Headers of every kind: models must be read, and everything else refused.

use bootllm_engine::KvFormat;
use bootllm_model_file::{Config, ConfigError, FileFormat, ReadError, Version, read};
use bootllm_platform::{ReadAt, StorageError};
use bootllm_tests::{SmallModel, VERSIONS, plan};

/// A file that claims to be larger than it is: a header, and zeros after it.
struct Claim {
    header: Vec<u8>,
    size: u64,
}

impl ReadAt for Claim {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        assert!(offset + buffer.len() as u64 <= self.size, "nothing is read beyond the end");
        let header = self.header.iter().copied().chain(std::iter::repeat(0));
        for (byte, value) in buffer.iter_mut().zip(header.skip(offset as usize)) {
            *byte = value;
        }
        Ok(())
    }
}

/// The seven numbers of a header, as llama2.c has them.
type Numbers = [i32; 7];

/// dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
const GOOD: Numbers = [64, 172, 5, 8, 4, 512, 512];

fn bytes(numbers: Numbers) -> Vec<u8> {
    numbers.into_iter().flat_map(i32::to_le_bytes).collect()
}

/// A header of v1 or v2 with tied embeddings.
fn header(version: i32, numbers: Numbers, group: i32) -> Vec<u8> {
    let mut header = b"24ka".to_vec();
    header.extend(version.to_le_bytes());
    header.extend(bytes(numbers));
    header.push(1);
    header.extend(group.to_le_bytes());
    header.resize(256, 0);
    header
}

/// Bytes of the file that a v0 header describes, with tied embeddings.
fn v0_size(numbers: Numbers) -> u64 {
    let [dim, hidden, layers, heads, kv_heads, vocabulary, context] =
        numbers.map(|number| u64::from(number.unsigned_abs()));
    let kv_dim = dim / heads * kv_heads;
    let layer = 2 * dim + 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden;
    28 + 4 * (vocabulary * dim + layers * layer + dim + context * (dim / heads))
}

fn read_claim(header: Vec<u8>, size: u64) -> Result<(FileFormat, Config), ReadError> {
    read(&mut Claim { header, size }).map(|file| (file.format, Config::of(&file).unwrap()))
}

#[test]
fn a_model_of_any_dimension_is_recognised_in_either_order_of_bytes() {
    for dim in (2..=4096).step_by(2).chain((4096..=65_536).step_by(254)) {
        for (hidden, layers, vocabulary) in [(1, 1, 1), (11_008, 32, 32_000)] {
            let numbers = [dim, hidden, layers, 1, 1, vocabulary, 2048];
            let size = v0_size(numbers);
            let (format, config) = read_claim(bytes(numbers), size).unwrap();
            assert_eq!(format, FileFormat::Llama2c(Version::V0));
            assert_eq!((config.dim, config.context), (dim as usize, 2048));
            let swapped = bytes(numbers.map(i32::swap_bytes));
            assert_eq!(read_claim(swapped, size), Err(ReadError::BigEndian), "{numbers:?}");
        }
    }
}

#[test]
fn numbers_that_make_no_model_are_named() {
    use ConfigError::*;
    let with = |index: usize, number: i32| {
        let mut numbers = GOOD;
        numbers[index] = number;
        numbers
    };
    let fields =
        ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];
    let mut cases: Vec<(Numbers, ConfigError)> = Vec::new();
    for (index, field) in fields.into_iter().enumerate() {
        for number in [0, -1, i32::MIN] {
            cases.push((with(index, number), NotPositive { field, found: number.into() }));
        }
    }
    cases.extend([
        (with(0, 65), HeadsDoNotDivide { dim: 65, heads: 8 }),
        (with(0, 72), OddHead { head_size: 9 }),
        (with(3, 3), HeadsDoNotDivide { dim: 64, heads: 3 }),
        (with(3, 64), OddHead { head_size: 1 }),
        (with(3, i32::MAX), HeadsDoNotDivide { dim: 64, heads: i32::MAX as usize }),
        (with(4, 3), KvHeadsDoNotDivide { heads: 8, kv_heads: 3 }),
        (with(4, 16), KvHeadsDoNotDivide { heads: 8, kv_heads: 16 }),
    ]);
    for (numbers, expected) in cases {
        for version in [1, 2] {
            let found = read_claim(header(version, numbers, 4), 1_000_000);
            let expected = Err(ReadError::Config(expected.clone()));
            assert_eq!(found, expected, "v{version} {numbers:?}");
        }
        // In v0, a negative vocabulary means an output projection of its own.
        if numbers[5] != -1 {
            let found = read_claim(bytes(numbers), 1_000_000);
            assert_eq!(found, Err(ReadError::NotAModel), "v0 {numbers:?}");
        }
    }
}

#[test]
fn groups_that_cannot_be_computed_with_are_refused() {
    let largest = 1 << 15;
    for found in [0, -1, i32::MIN, i32::MAX, largest + 1] {
        let error = ConfigError::GroupSize { found: found.into(), largest: largest as usize };
        let result = read_claim(header(2, GOOD, found), 1_000_000);
        assert_eq!(result, Err(ReadError::Config(error)));
    }
    for (group, columns) in [(3, 64), (64, 172), (128, 64), (largest, 64)] {
        let error = ConfigError::GroupDoesNotDivide { group: group as usize, columns };
        let result = read_claim(header(2, GOOD, group), 1_000_000);
        assert_eq!(result, Err(ReadError::Config(error)));
    }
}

#[test]
fn versions_and_flags_that_nobody_defined_are_refused() {
    for found in [0, 3, -1, i32::MAX] {
        let result = read_claim(header(found, GOOD, 4), 1_000_000);
        assert_eq!(result, Err(ReadError::Version { found }));
    }
    let mut strange = header(1, GOOD, 4);
    strange[36] = 7;
    let error = ConfigError::TiedFlag { found: 7 };
    assert_eq!(read_claim(strange, 1_000_000), Err(ReadError::Config(error)));
}

#[test]
fn the_largest_numbers_there_are_overflow_nothing() {
    let max = i32::MAX;
    let even = max - 1;
    let numbers: [Numbers; 4] = [
        [even, max, max, 1, 1, max, max],
        [even, max, max, even / 2, even / 2, max, max],
        [2, 1, max, 1, 1, 1, max],
        [2, max, 1, 1, 1, 1, max],
    ];
    for numbers in numbers {
        for size in [1024, 1 << 40, u64::MAX] {
            for file in [bytes(numbers), header(1, numbers, 0), header(2, numbers, 1)] {
                let result = read_claim(file, size);
                let Err(ReadError::Size { expected, found }) = result else {
                    panic!("{numbers:?}: {result:?}");
                };
                assert!(found == size && expected != u128::from(size));
            }
        }
    }
}

/// A small file can claim a million layers: its description would fill a PC's memory.
#[test]
fn a_description_may_not_cost_more_than_its_limit() {
    let claim = |layers: i32| {
        let numbers = [2, 1, layers, 1, 1, 3, 4];
        let Err(ReadError::Size { expected, .. }) = read_claim(header(1, numbers, 0), 256) else {
            panic!("{layers} layers in 256 bytes");
        };
        read_claim(header(1, numbers, 0), expected as u64)
    };
    assert!(claim(1000).is_ok());
    for layers in [100_000, 1_000_000] {
        assert!(matches!(claim(layers), Err(ReadError::DescriptionTooLarge { .. })), "{layers}");
    }
}

#[test]
fn a_size_that_is_off_by_one_is_noticed() {
    for model in [SmallModel::tied_embeddings(), SmallModel::untied_embeddings()] {
        for version in VERSIONS.map(|version| version(&model.config)) {
            let file = model.file(version);
            let size = file.len() as u64;
            assert_eq!(
                read_claim(file.clone(), size),
                Ok((FileFormat::Llama2c(version), model.config))
            );
            for found in [256, size / 2, size - 1, size + 1, u64::MAX] {
                let expected = ReadError::Size { expected: size.into(), found };
                assert_eq!(read_claim(file.clone(), found), Err(expected), "{version}");
            }
        }
    }
}

#[test]
fn every_beginning_of_a_model_is_an_error() {
    let model = SmallModel::smallest();
    for version in VERSIONS.map(|version| version(&model.config)) {
        let file = model.file(version);
        assert!(read(&mut file.as_slice()).is_ok());
        for length in 0..file.len() {
            assert!(read(&mut &file[..length]).is_err(), "{version}: {length} bytes");
        }
    }
}

#[test]
fn other_kinds_of_files_are_called_by_their_names() {
    let cases: [(&[u8], &str); 5] = [
        (b"PK\x03\x04\0\0\x08\x08", "zip archive or a PyTorch checkpoint"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "pickle"),
        (b"\x80\x04\x95\x10\0\0\0\0\0\0\0", "pickle"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x40\x10\0\0\0\0\0\0{\"__metadata__\":{}", "safetensors"),
    ];
    for (start, name) in cases {
        for size in [start.len(), 28, 300, 100_000] {
            let mut file = start.to_vec();
            file.resize(size.max(start.len()), 0x55);
            let error = read(&mut file.as_slice()).unwrap_err();
            assert!(matches!(error, ReadError::Foreign { .. }), "{name}: {error:?}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    let big_endian = [b"ak42".as_slice(), &[0; 300]].concat();
    assert_eq!(read(&mut big_endian.as_slice()).err(), Some(ReadError::BigEndian));
}

/// A v1 file does not grow with its context, so a tiny one can ask for any memory.
#[test]
fn a_tiny_file_with_a_huge_context_tells_what_it_would_need() {
    let config = Config { context: i32::MAX as usize, ..SmallModel::smallest().config };
    let bytes = SmallModel { config, seed: 0 }.file(Version::V1);
    assert!(bytes.len() < 1024);
    let plan = plan(&bytes);
    let whole = plan.memory(config.context, KvFormat::F32);
    let positions = 1u64 << 31;
    assert_eq!(whole.kv_cache, 2 * 2 * 4 * positions);
    assert!(whole.activations >= (4 + 8) * (positions - 1), "scores and RoPE");
    assert!(whole.total() > whole.kv_cache + whole.activations);
    let part = plan.memory(100, KvFormat::F32);
    assert!(part.total() - part.loading < 20_000);
}
