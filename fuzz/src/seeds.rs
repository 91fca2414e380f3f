//! Seed inputs. The files in `corpus` were written from them.

use bootllm_model_file::{Config, ReadError, Version};
use bootllm_quant::Encoding;
use bootllm_tests::{
    Gguf, GgufTensor, SmallModel, VERSIONS, qwen2, string, value, vocabulary, vocabulary_of,
};

/// Numbers of files, and the beginnings of files of other kinds.
pub const NUMBERS: &[&[u8]] = &[
    b"24ka",
    b"ak42",
    b"24ka\x01\0\0\0",
    b"24ka\x02\0\0\0",
    b"GGUF",
    b"PK\x03\x04",
    b"\0\0\x80\x7f",
    b"\0\0\xc0\x7f",
    b"\xff\xff\x7f\x7f",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\0\0\0\0",
    b"\x01\0\0\0",
    b"\xf9\x02\x15\xd0",
];

/// Names of values and tensors, types, counts.
pub const GGUF_WORDS: &[&[u8]] = &[
    b"GGUF\x02\0\0\0",
    b"GGUF\x03\0\0\0",
    b"general.alignment",
    b"llama.block_count",
    b"llama.context_length",
    b"llama.rope.freq_base",
    b"tokenizer.ggml.tokens",
    b"token_embd.weight",
    b"output.weight",
    b"blk.0.attn_q.weight",
    b"blk.1.ffn_down.weight",
    b"\x04\0\0\0",
    b"\x06\0\0\0",
    b"\x08\0\0\0\x04\0\0\0\0\0\0\0none",
    b"\x09\0\0\0\x08\0\0\0",
    b"\x09\0\0\0\x09\0\0\0",
    b"\x1e\0\0\0",
    b"\0\0\0\0\0\0\0\0",
    b"\x20\0\0\0\0\0\0\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\0\0\0\0\x01\0\0\0",
    b"\xe2\x96\x81",
    b"<0x0A>",
    b"\0\0\xc0\x7f",
    b"\0\x7c",
];

/// Fragments of lines at the prompt.
pub const LINE_WORDS: &[&[u8]] = &[
    b"\n",
    b"/set ",
    b"temperature ",
    b"top_p ",
    b"seed ",
    b"length ",
    b"0",
    b"1e-38",
    b"1e39",
    b"-0",
    b"nan",
    b"inf",
    b"18446744073709551616",
    b"random",
    b" ",
    "\u{3000}".as_bytes(),
    b"/exit",
    b"/help",
    b"/",
    b"quit",
    "é".as_bytes(),
    b"\xff",
    b"\0\0\x80\x7f",
    b"\0\0\xc0\x7f",
];

/// What comes over a terminal's line.
pub const CONSOLE_WORDS: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\x1b",
    b"\x1b[A",
    b"\x1b[B",
    b"\x1b[C",
    b"\x1b[D",
    b"\x1b[1;5C",
    b"\x1b[3~",
    b"\x1bOH",
    b"\x1b[F",
    b"\x1b[",
    b"\x1b[2J",
    b"\x1b[H",
    b"\x1b[K",
    b"\x1b[J",
    b"\x1b[7m",
    b"\x1b[65535A",
    b"\x1b[99999999B",
    b"\x1b[;;;;;;;;;;m",
    b"\x7f",
    b"\x08",
    b"\t",
    b"\x01",
    b"\x03",
    b"\x04",
    b"\x05",
    b"\x0b",
    b"\x0c",
    b"\x15",
    b"\x17",
    b"\xff",
    "日".as_bytes(),
    "é".as_bytes(),
    "e\u{301}".as_bytes(),
    "\u{301}".as_bytes(),
    "👩\u{200d}🚀".as_bytes(),
    "\u{feff}".as_bytes(),
    "\u{9b}".as_bytes(),
    b"/s",
    b"word and word ",
    b"          ",
];

/// Small models of every version, whole, cut short and with every number of their headers changed.
pub fn model_files() -> Vec<(String, Vec<u8>)> {
    let small = Config {
        dim: 8,
        hidden_dim: 12,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        vocab_size: 11,
        context: 37,
        tied_embeddings: false,
        ..SmallModel::smallest().config
    };
    let shared = Config { heads: 2, tied_embeddings: true, ..small };
    let smallest = SmallModel::smallest().config;
    let mut seeds = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| seeds.push((name.into(), bytes));
    for (number, version) in VERSIONS.iter().enumerate() {
        for (name, config) in [("own", small), ("shared", shared), ("smallest", smallest)] {
            let file = SmallModel { config, seed: 9 }.file(version(&config));
            add(&format!("v{number}-{name}"), file);
        }
    }
    let v1 = SmallModel::smallest().file(Version::V1);
    let v2 = SmallModel::smallest().file(Version::V2 { group: 1 });
    let bent = |file: &[u8], offset: usize, number: i32| {
        let mut file = file.to_vec();
        file[offset..offset + 4].copy_from_slice(&number.to_le_bytes());
        file
    };
    let fields = ["dim", "hidden_dim", "layers", "heads", "kv_heads", "vocab_size", "context"];
    for (index, field) in fields.into_iter().enumerate() {
        for number in [0, -1, 3, i32::MAX] {
            add(&format!("v1-{field}-{number}"), bent(&v1, 8 + 4 * index, number));
        }
    }
    for group in [0, -1, 2, i32::MAX] {
        add(&format!("v2-group-{group}"), bent(&v2, 37, group));
    }
    add("v1-version-3", bent(&v1, 4, 3));
    add("v1-nan", bent(&v1, 256, 0x7fc0_0000));
    add("v1-infinite", bent(&v1, v1.len() - 4, 0x7f80_0000));
    add("v1-huge-weights", bent(&v1, 300, f32::MAX.to_bits().cast_signed()));
    add("v2-infinite-scale", bent(&v2, v2.len() - 4, 0x7f80_0000));
    add("v1-header-only", v1[..256].into());
    add("v1-half-a-header", v1[..100].into());
    add("v1-one-byte-short", v1[..v1.len() - 1].into());
    add("empty", Vec::new());
    add("zeros", vec![0; 300]);
    add("gguf", b"GGUF\x03\0\0\0".repeat(9));
    add("zip", b"PK\x03\x04\x14\0\0\0".repeat(9));
    let v0 = SmallModel::smallest().file(Version::V0);
    add(
        "big-endian",
        v0.as_chunks::<4>().0.iter().flat_map(|&[a, b, c, d]| [d, c, b, a]).collect(),
    );
    seeds
}

/// Gives a file the size that its header describes, if that is small.
pub fn mend_model_file(bytes: &mut Vec<u8>) {
    if let Err(ReadError::Size { expected, .. }) = bootllm_model_file::read(&mut bytes.as_slice())
        && let Ok(size @ ..=40_000) = usize::try_from(expected)
    {
        // Numbers of a likely size, so that loading gets far.
        let filling = [0.5f32, -0.25, 1.0, -1.5].into_iter().flat_map(f32::to_le_bytes);
        let old = bytes.len();
        bytes.resize(size, 0);
        for (byte, new) in bytes.iter_mut().skip(old).zip(filling.cycle()) {
            *byte = new;
        }
    }
}

/// Small GGUF files in every format, with and without a tokenizer, and with changed numbers.
pub fn gguf_files() -> Vec<(String, Vec<u8>)> {
    let config = Config {
        dim: 32,
        hidden_dim: 40,
        heads: 4,
        kv_heads: 2,
        vocab_size: 11,
        context: 37,
        tied_embeddings: false,
        ..SmallModel::smallest().config
    };
    let mut seeds = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| seeds.push((name.into(), bytes));
    for weights in Encoding::writable() {
        let name = weights.name();
        add(name, SmallModel { config, seed: 9 }.gguf(weights));
    }
    let words = Config { vocab_size: vocabulary().len(), ..SmallModel::smallest().config };
    add("words", SmallModel { config: words, seed: 9 }.gguf(Encoding::F16));
    let smallest = SmallModel::smallest().gguf(Encoding::F32);
    let parts = || Gguf::parse(&smallest);
    add("smallest", smallest.clone());
    add("version-2", Gguf { version: 2, ..parts() }.bytes());
    add("alignment-8", {
        Gguf { alignment: 8, ..parts() }.with("general.alignment", value::u32(8)).bytes()
    });
    let mut bare = parts();
    bare.values.retain(|(key, _)| !key.starts_with("tokenizer."));
    add("bare", bare.bytes());
    for (key, _) in parts().values {
        let name = key.replace('.', "-");
        add(&format!("huge-{name}"), parts().with(&key, value::u32(u32::MAX)).bytes());
        add(&format!("no-{name}"), parts().without(&key).bytes());
    }
    add("qwen2", qwen2(&SmallModel { config, seed: 9 }, Encoding::Q8_0));
    for (name, factors) in [("rope-factors", [1.0, 2.0, 3.0, 4.0]), ("tiny-factors", [1e-38; 4])] {
        let bytes = factors.iter().flat_map(|factor: &f32| factor.to_le_bytes()).collect();
        let factors =
            GgufTensor { name: "rope_freqs.weight".into(), dimensions: vec![4], kind: 0, bytes };
        let file = Gguf::parse(&SmallModel { config, seed: 9 }.gguf(Encoding::F32));
        add(name, file.tensors(|all| all.push(factors)).bytes());
    }
    add("unknown-format", parts().tensors(|all| all[1].kind = 24).bytes());
    let nested = value::array(9, 1, &[])[4..].repeat(3);
    let nested = [9u32.to_le_bytes().as_slice(), &nested, &value::u32(7)[..4], &[0; 8]].concat();
    add("nested", parts().with("some.arrays", nested).bytes());
    let pieces = ["\u{2581}a", "a", "\u{2581}"].map(string).concat();
    add("pieces", parts().with("tokenizer.ggml.tokens", value::array(8, 3, &pieces)).bytes());
    add("bias", parts().tensors(|all| all[1].name = "blk.0.attn_norm.bias".into()).bytes());
    add("other-norms", {
        let file = parts().with("llama.rope.freq_base", value::f32(5e5));
        file.with("llama.attention.layer_norm_rms_epsilon", value::f32(1e-6)).bytes()
    });
    seeds
}

/// Tokenizers, good and bad.
pub fn tokenizers() -> Vec<(String, Vec<u8>)> {
    let seed = |name: &str, bytes: Vec<u8>| (name.to_string(), bytes);
    let file = |longest: i32, pieces: &[(f32, i32, &[u8])]| {
        let mut bytes = longest.to_le_bytes().to_vec();
        for (score, length, piece) in pieces {
            bytes.extend(score.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(*piece);
        }
        bytes
    };
    let whole = vocabulary().write();
    vec![
        seed("whole", whole.clone()),
        seed("without-bytes", vocabulary_of(5).write()),
        seed("bytes-only", vocabulary_of(259).write()),
        seed("cut-short", whole[..1000].into()),
        seed("empty", vec![]),
        seed("length-only", file(5, &[])),
        seed("longest-0", file(0, &[(0.0, 1, b"a")])),
        seed("longest-negative", file(-1, &[(0.0, 1, b"a")])),
        seed("length-0", file(9, &[(0.0, 0, b"")])),
        seed("length-negative", file(9, &[(0.0, -1, b"a")])),
        seed("length-huge", file(9, &[(0.0, i32::MAX, b"a")])),
        seed("nan", file(9, &[(f32::NAN, 1, b"a")])),
        seed("infinite", file(9, &[(f32::INFINITY, 1, b"a"), (f32::NEG_INFINITY, 2, b"aa")])),
        seed("no-utf-8", file(9, &[(0.0, 2, b"\xff\xc3"), (1.0, 1, b"\x80"), (0.0, 1, b" ")])),
        seed("zero-and-minus-zero", file(9, &[(0.0, 1, b"e"), (-0.0, 2, b"e "), (0.0, 2, b" e")])),
        seed(
            "duplicates",
            file(9, &[(0.0, 1, b"e"), (1.0, 1, b"e"), (2.0, 2, b"ee"), (3.0, 2, b"ee")]),
        ),
        seed(
            "grows",
            file(
                9,
                &[
                    (0.0, 1, b" "),
                    (0.0, 1, b"a"),
                    (0.0, 2, b"aa"),
                    (0.0, 4, b"aaaa"),
                    (0.0, 8, b"aaaaaaaa"),
                ],
            ),
        ),
    ]
}

/// Lines at the prompt.
pub fn prompt_lines() -> Vec<(String, Vec<u8>)> {
    [
        ("text", "Once upon a time"),
        ("commands", "/help\n/show\n/stats\n/logits\n/models\n/diag\n/licenses\n/exit firmware\n"),
        ("set", "/set temperature 0.5\n/set top_p 1\n/set seed 42\n/set length 7"),
        ("set-wrong", "/set temperature -1\n/set top_p 1.1\n/set seed -1\n/set length x\n/set x 1"),
        ("set-nothing", "/set\n/set \n/set seed\n/set  seed  "),
        ("cold", "/set temperature 1e-38\n    \u{1}\u{2}\u{3}\u{4}"),
        ("hot", "/set temperature 3.4e38\n/set top_p 1e-30"),
        ("random", "/set seed random\n/set seed 0\n/set seed 18446744073709551615"),
        ("unknown", "/\n//\n/fly\n/set/\n /help\nexit\nquit\n exit \nExit"),
        ("wide", "/set\u{3000}seed\u{3000}5\n\u{a0}/help\u{2028}x"),
    ]
    .map(|(name, text)| (name.to_string(), text.as_bytes().to_vec()))
    .into()
}

/// What comes over a terminal's line.
pub fn consoles() -> Vec<(String, Vec<u8>)> {
    let keys = |columns: u8, rows: u8, text: &str| {
        let mut bytes = vec![columns, rows];
        bytes.extend(text.as_bytes());
        bytes
    };
    [
        ("line", keys(80, 24, "Once upon a time\r")),
        (
            "editing",
            keys(40, 10, "abc def\x01x\x05y\x17\x1b[D\x1b[D\x7f\x1b[3~\x15z\r\x1b[A\x1b[B\r"),
        ),
        ("wrapping", keys(7, 3, &"word and word ".repeat(6))),
        ("wide", keys(5, 4, "日本語日本語\x1b[D\x1b[D\x7f漢\r")),
        ("marks", keys(6, 4, "e\u{301}\u{323}a\u{308}👩\u{200d}🚀\x1b[D\x1b[D\x7f\x7f\r")),
        ("one-cell", keys(1, 1, "ab日\x7f\r")),
        ("no-size", keys(0, 0, "ab\r")),
        ("completion", keys(30, 5, "/s\t\tt\t\r/ü\t\t\r")),
        (
            "sequences",
            keys(20, 5, "\x1b[2J\x1b[Habc\x1b[1;31mred\x1b[0m\x1b[2A\x1b[K\x1b[Jx\x1b[7mr"),
        ),
        (
            "broken-sequences",
            keys(20, 5, "\x1b[\x1b[1;\x1b[99999999999A\x1bO\x1b\x1b\x1b[?25h\x1b[38;5;1m"),
        ),
        ("line-ends", keys(20, 5, "a\rb\nc\r\nd\n\re\t\x08\x08f")),
        ("control", keys(20, 5, "\x0c\x03\x04\x00\x1f\u{80}\u{9b}")),
        ("no-utf-8", vec![20, 5, b'a', 0xc3, b'b', 0xe6, 0x97, 0xff, 0xf0, 0x9f, 0x98, b'\r']),
        ("three-em-dash", keys(2, 2, "a\u{2e3b}b\r")),
        ("tall-line", keys(4, 3, &"0123456789".repeat(4))),
    ]
    .map(|(name, bytes)| (name.to_string(), bytes))
    .into()
}
