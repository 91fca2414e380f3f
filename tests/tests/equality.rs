//! One arithmetic: the logits of a whole model have the same bits whichever instructions compute
//! them, on however many cores, and however the tokens are fed.

use bootllm_cores::OneCore;
use bootllm_engine::{KvFormat, Model, Session, cpu_after_self_test};
use bootllm_host::Threads;
use bootllm_model_file::{Config, OutputFormat, Version, convert, largest_group};
use bootllm_quant::Encoding;
use bootllm_simd::{Cpu, Isa, is_available};
use bootllm_tests::{Reference, SmallModel, plan, shared};
use core::iter::repeat_n;
use core::ops::ControlFlow;
use std::sync::Arc;

/// The most rows of a pass.
const PASS: usize = 96;

/// How many threads compute, one count after the other.
const THREADS: [usize; 4] = [1, 2, 3, 4];

/// Whether this runs in an emulator, which `cargo xtask test neon` sets: then fewer paths are checked.
fn emulated() -> bool {
    std::env::var_os("BOOTLLM_EMULATED").is_some()
}

/// A way to feed a text: repeatedly, some tokens as a prompt and some one by one.
type Plan = &'static [(usize, usize)];

/// The first is the reference for the others.
const PLANS: [Plan; 7] = [
    &[(0, TOKENS)],
    &[(1, 3)],
    &[(2, 3)],
    &[(5, 3)],
    &[(48, 2)],
    // More than are taken at once.
    &[(PASS + 1, 3)],
    &[(3, 1), (33, 2), (7, 1), (17, 2)],
];

/// The context that the longest plan needs.
const TOKENS: usize = PASS + 4;

/// A model file, and tokens to feed it with.
struct Case {
    name: String,
    file: Vec<u8>,
    tokens: Vec<u32>,
}

impl Case {
    /// The model in this format.
    fn new(name: &str, file: &[u8], format: OutputFormat) -> Self {
        let mut source = file;
        let model = bootllm_model_file::read(&mut source).unwrap();
        let mut converted = Vec::new();
        convert(&model, &mut source, format, None, &mut converted, &mut |_| {}).unwrap();
        let token = |i: usize| (i * 37 + i * i * 11) % model.vocab_size().unwrap();
        let tokens = (0..TOKENS).map(|i| token(i) as u32).collect();
        Case { name: format!("{name} as {format}"), file: converted, tokens }
    }

    fn load(&self, cpu: Cpu) -> Arc<Model> {
        let (source, progress) = (&mut self.file.as_slice(), &mut |_| ControlFlow::Continue(()));
        Model::load_for(cpu, &plan(&self.file), source, &OneCore, TOKENS, progress).unwrap()
    }

    /// Compares every path with plain Rust on one core, token by token.
    fn check(&self, teams: &[Threads]) {
        let plain = self.load(Cpu::detect().only(Isa::Scalar));
        let expected = KvFormat::ALL.map(|format| {
            let mut session = Session::with_kv_format(&plain, &OneCore, format).unwrap();
            self.logits(&mut session, PLANS[0])
        });
        // In which form keys and values are kept does change the logits.
        assert!(expected[0] != expected[1] && expected[1] != expected[2]);
        let plans = if emulated() { &PLANS[3..] } else { &PLANS[..] };
        for cpu in instruction_sets() {
            let model = self.load(cpu);
            let isa = cpu.widest();
            for (format, expected) in KvFormat::ALL.into_iter().zip(&expected) {
                for team in teams {
                    let mut session =
                        Session::with_kv_format(&model, team.cores(), format).unwrap();
                    for &plan in plans {
                        session.rewind(0);
                        let logits = self.logits(&mut session, plan);
                        let same = logits.iter().zip(expected).all(|(found, expected)| {
                            // What was fed as a prompt has no logits.
                            found.is_empty() || found == expected
                        });
                        let (name, kv, count) = (&self.name, format.name(), team.cores().count());
                        assert!(same, "{name}: {isa}, {count} threads, KV in {kv}, fed {plan:?}");
                    }
                    let (all, name) = (self.prompt_logits(&mut session), &self.name);
                    assert!(all == *expected, "{name}: {isa}, as one prompt");
                }
            }
        }
    }

    /// The bits of the logits at each position, fed as one prompt.
    fn prompt_logits(&self, session: &mut Session<'_>) -> Vec<Vec<u32>> {
        session.rewind(0);
        let mut all = Vec::new();
        let take = &mut |logits: &mut [f32]| all.push(bits(logits));
        session.prefill_with_logits(&self.tokens, take).unwrap();
        all
    }

    /// The bits of the logits at each position, none where a prompt was fed.
    fn logits(&self, session: &mut Session<'_>, plan: Plan) -> Vec<Vec<u32>> {
        let mut all = Vec::new();
        for &(prompt, ones) in plan {
            let (prompt, rest) = self.tokens[session.position()..].split_at(prompt);
            session.prefill(prompt).unwrap();
            all.extend(repeat_n(Vec::new(), prompt.len()));
            for &token in &rest[..ones] {
                all.push(bits(session.decode(token).unwrap()));
            }
        }
        assert_eq!(all.len(), session.position());
        all
    }
}

fn bits(logits: &[f32]) -> Vec<u32> {
    assert!(logits.iter().all(|logit| logit.is_finite()));
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// Every instruction set of this CPU, alone, so that no code falls back on another.
fn instruction_sets() -> impl Iterator<Item = Cpu> {
    let cpu = Cpu::detect();
    let runs = move |isa: &Isa| is_available(cpu, *isa);
    Isa::ALL.into_iter().filter(runs).map(move |isa| cpu.only(isa))
}

/// Small models whose rows fill no panel of 32, and one whose rows are blocks of 32 in all formats.
fn small_models() -> [SmallModel; 3] {
    let small = SmallModel::tied_embeddings().config;
    let odd = Config { dim: 66, hidden_dim: 33, heads: 3, kv_heads: 1, layers: 2, ..small };
    // Rows of 31, which stay in f16 where weights are blocks, beside rows of blocks.
    let mixed = Config { dim: 96, hidden_dim: 31, heads: 3, kv_heads: 3, layers: 2, ..small };
    let blocks = Config {
        dim: 64,
        hidden_dim: 96,
        heads: 2,
        kv_heads: 1,
        layers: 2,
        tied_embeddings: false,
        ..small
    };
    [odd, mixed, blocks].map(|config| SmallModel { config, seed: config.dim as u64 })
}

fn teams() -> Vec<Threads> {
    let counts = if emulated() { &THREADS[1..2] } else { &THREADS };
    counts.iter().map(|&count| Threads::start(count).unwrap()).collect()
}

/// Checks all models in the format that a model's shape gives.
fn check(format: fn(&Config) -> OutputFormat) {
    let teams = teams();
    for model in small_models() {
        let (name, format) = (format!("dim {}", model.config.dim), format(&model.config));
        let case = Case::new(&name, &model.file(Version::V1), format);
        case.check(&teams);
        if !emulated() {
            case.check_reference(&model.config, format);
        }
    }
}

impl Case {
    /// Plain loops over the file give the reference for the other paths.
    fn check_reference(&self, config: &Config, format: OutputFormat) {
        let mut reference = Reference::new(&self.file, *config, format);
        let model = self.load(Cpu::detect().only(Isa::Scalar));
        let logits = self.logits(&mut Session::new(&model, &OneCore).unwrap(), PLANS[0]);
        for (position, (&token, logits)) in self.tokens.iter().zip(logits).enumerate() {
            assert!(bits(&reference.forward(token)) == logits, "{}, {position}", self.name);
        }
    }
}

/// By the check that removes an instruction set that differs.
#[test]
fn every_instruction_set_of_this_cpu_has_the_bits_of_plain_rust() {
    assert_eq!(cpu_after_self_test(Cpu::detect()), Cpu::detect());
}

#[test]
fn f32_has_the_same_bits_on_every_path() {
    check(|_| Encoding::F32.into());
}

#[test]
fn f16_has_the_same_bits_on_every_path() {
    check(|_| Encoding::F16.into());
}

#[test]
fn bf16_has_the_same_bits_on_every_path() {
    check(|_| Encoding::Bf16.into());
}

#[test]
fn q8_0_has_the_same_bits_on_every_path() {
    check(|_| Encoding::Q8_0.into());
}

#[test]
fn q4_0_has_the_same_bits_on_every_path() {
    check(|_| Encoding::Q4_0.into());
}

#[test]
fn int8_has_the_same_bits_on_every_path() {
    check(|config| Version::V2 { group: largest_group(config) }.into());
}

#[test]
#[cfg_attr(not(has_shared), ignore = "needs the folder `shared` beside the repository")]
fn a_real_model_has_the_same_bits_on_every_path() {
    let file = std::fs::read(shared().join("models/stories260K.bin")).unwrap();
    let config = Config::of(&bootllm_model_file::read(&mut file.as_slice()).unwrap()).unwrap();
    let teams = teams();
    let int8 = Version::V2 { group: largest_group(&config) };
    for format in Encoding::writable().map(OutputFormat::Gguf).chain([int8.into()]) {
        Case::new("stories260K", &file, format).check(&teams);
    }
}
