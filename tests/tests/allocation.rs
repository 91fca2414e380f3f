//! Allocations: all before the first token, and no more than was announced; and what happens where
//! memory is short.

use bootllm_bench::{BenchProgress, Limits, Workload, measure_speed, memory_needed};
use bootllm_cores::OneCore;
use bootllm_engine::{KvFormat, Model, Session};
use bootllm_host::Threads;
use bootllm_model_file::{Config, Version};
use bootllm_sampling::{Sampler, SamplerSettings};
use bootllm_simd::Cpu;
use bootllm_tests::{NoClock, SmallModel, formats, plan, vocabulary, write_text};
use bootllm_tokenizer::Decoder;
use core::cell::Cell;
use core::ops::ControlFlow;
use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;

/// The system's allocator with a count, and a limit, of each thread's allocations.
struct Counting;

#[derive(Clone, Copy, Default)]
struct Count {
    /// The number of allocations.
    calls: u64,
    /// Bytes in use.
    bytes: i64,
    /// The most bytes that were in use.
    peak: i64,
}

thread_local! {
    /// Bytes that a thread may have in use.
    static LIMIT: Cell<i64> = const { Cell::new(i64::MAX) };
    static COUNT: Cell<Count> = const { Cell::new(Count { calls: 0, bytes: 0, peak: 0 }) };
}

fn count(calls: u64, bytes: i64) {
    let mut count = COUNT.get();
    count.calls += calls;
    count.bytes += bytes;
    count.peak = count.peak.max(count.bytes);
    COUNT.set(count);
}

// SAFETY: every call goes to the system's allocator as it came, or gets no memory, as the contract
// allows; counting touches only cells of the thread, which need no memory of their own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNT.get().bytes + layout.size() as i64 > LIMIT.get() {
            return core::ptr::null_mut();
        }
        count(1, layout.size() as i64);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: as in `alloc`; the pointer came from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SETTINGS: [SamplerSettings; 3] = [
    SamplerSettings { temperature: 0.0, top_p: 0.9 },
    SamplerSettings { temperature: 1.0, top_p: 0.9 },
    SamplerSettings { temperature: 0.7, top_p: 1.0 },
];

/// The number of `work`'s allocations, and its peak beyond what was in use before.
fn counted<T>(work: impl FnOnce() -> T) -> (T, u64, i64) {
    let before = COUNT.get();
    COUNT.set(Count { peak: before.bytes, ..before });
    let result = work();
    let after = COUNT.get();
    (result, after.calls - before.calls, after.peak - before.bytes)
}

#[test]
fn the_counter_counts() {
    let (vector, calls, peak) = counted(|| {
        drop(vec![0u8; 1000]);
        vec![0u8; 10]
    });
    assert_eq!((vector.len(), calls, peak), (10, 2, 1000));
}

#[test]
fn no_token_allocates() {
    let tokenizer = vocabulary();
    let threads = Threads::start(2).unwrap();
    for model in [SmallModel::tied_embeddings(), SmallModel::untied_embeddings()] {
        for format in formats(&model.config) {
            let loaded = model.load(format);
            for settings in SETTINGS {
                let mut session = Session::new(&loaded, threads.cores()).unwrap();
                let mut sampler = Sampler::new(settings.chain(5), tokenizer.len()).unwrap();
                let mut decoder = Decoder::new(&tokenizer);
                let (text, calls, _) = counted(|| {
                    session.prefill(&[1, 20, 30, 40]).unwrap();
                    let (mut token, mut text) = (50, 0);
                    for _ in 0..50 {
                        token = sampler.sample(session.decode(token).unwrap(), &[]).unwrap();
                        text += decoder.push(&tokenizer, token).len();
                    }
                    text
                });
                assert!(text > 0);
                assert_eq!(calls, 0, "{format}, {settings:?}");
            }
        }
    }
}

#[test]
fn a_long_text_allocates_no_more_than_a_short_one() {
    let model = SmallModel::tied_embeddings().load(Version::V1);
    let tokenizer = Arc::new(vocabulary());
    let mut session = Session::new(&model, &OneCore).unwrap();
    for settings in SETTINGS {
        let mut calls = |length| {
            let sampler = Sampler::new(settings.chain(3), tokenizer.len()).unwrap();
            let ((), calls, _) = counted(|| {
                write_text(&mut session, &tokenizer, sampler, &[1], length).map(drop).unwrap();
            });
            calls
        };
        assert_eq!(calls(80), calls(2));
    }
}

/// Measures the cost of a text.
#[test]
fn measuring_allocates_nothing_between_tokens_and_no_more_than_announced() {
    let threads = Threads::start(2).unwrap();
    let small = SmallModel::tied_embeddings();
    let model = small.load(Version::V1);
    let (mut begun, mut tokens) = (0, 0);
    let watch = &mut |progress| {
        match progress {
            BenchProgress::Begun { .. } => begun = COUNT.get().calls,
            BenchProgress::Fed { .. } => {
                tokens += 1;
                assert_eq!(COUNT.get().calls, begun);
            }
        }
        ControlFlow::Continue(())
    };
    let kv_format = KvFormat::default();
    let enough = Duration::MAX;
    let workload = Workload { prefill: 20, decode: 20, repetitions: 3, enough, kv_format };
    let ((), _, peak) = counted(|| {
        Limits::measure(threads.cores(), Cpu::detect(), &NoClock, watch).unwrap();
        measure_speed(&model, threads.cores(), &NoClock, workload, watch).unwrap();
    });
    // A prompt is fed at once.
    assert_eq!(tokens, 4 * (1 + 20));
    let announced = memory_needed(model.plan(), model.context(), kv_format);
    // Beside it there are a few numbers.
    assert!(peak as u64 <= announced + (64 << 10), "{peak} of {announced}");
}

/// Loading's peak is compared with what was announced, for models of very different shapes.
#[test]
fn memory_is_what_was_announced() {
    let small = SmallModel::tied_embeddings().config;
    let shapes = [
        small,
        SmallModel::untied_embeddings().config,
        SmallModel::smallest().config,
        Config { context: 5000, ..small },
        Config { hidden_dim: 6000, ..small },
        Config { vocab_size: 20_000, ..small },
        Config { layers: 60, ..small },
        Config { dim: 2, heads: 1, kv_heads: 1, layers: 500, ..small },
    ];
    for config in shapes {
        let model = SmallModel { config, seed: 1 };
        for format in formats(&config) {
            let bytes = model.file(format);
            let plan = plan(&bytes);
            for context in [config.context, config.context / 2] {
                let announced = plan.memory(context, KvFormat::F32);
                let progress = &mut |_| ControlFlow::Continue(());
                let ((), _, peak) = counted(|| {
                    let source = &mut bytes.as_slice();
                    let model = Model::load(&plan, source, &OneCore, context, progress).unwrap();
                    drop(Session::new(&model, &OneCore).unwrap());
                });
                // The chunk is free again before the session is made, and what is kept of a tensor
                // beside its weights is announced generously.
                let least = announced.total()
                    - announced.loading
                    - 256 * plan.file().tensors().len() as u64;
                let most = announced.total();
                let context = format!("{format}, {config:?}, {context} of the context");
                assert!((least..=most).contains(&(peak as u64)), "{context}: {peak} {announced:?}");
            }
        }
    }
}

/// Runs `work` with this many bytes left besides those in use.
fn with_only<T>(more: u64, work: impl FnOnce() -> T) -> T {
    LIMIT.set(COUNT.get().bytes + more as i64);
    let result = work();
    LIMIT.set(i64::MAX);
    result
}

#[test]
fn another_form_of_keys_and_values_needs_no_room_for_both() {
    let config = Config { context: 3000, ..SmallModel::tied_embeddings().config };
    let small = SmallModel { config, seed: 1 };
    let model = small.load(Version::V1);
    let [full, half, _] = KvFormat::ALL.map(|kv| model.plan().memory(config.context, kv).kv_cache);
    let feed = |session: &mut Session<'_>| session.decode(7).map(|logits| logits.to_vec());
    let logits = KvFormat::ALL
        .map(|kv| feed(&mut Session::with_kv_format(&model, &OneCore, kv).unwrap()).unwrap());
    let mut session = Session::with_kv_format(&model, &OneCore, KvFormat::F16).unwrap();

    // One byte too few: it stays as it was. An error has a few words.
    assert!(full - half > 4096);
    for less in [1, full - half - 1024] {
        feed(&mut session).unwrap();
        let kept = with_only(full - half - less, || session.sequence.set_kv_format(KvFormat::F32));
        assert!(kept.unwrap_err().to_string().contains("the KV cache"));
        assert_eq!((session.sequence.kv_format(), session.position()), (KvFormat::F16, 0));
        assert!(feed(&mut session).unwrap() == logits[1]);
    }
    with_only(full - half, || session.sequence.set_kv_format(KvFormat::F32)).unwrap();
    assert!(feed(&mut session).unwrap() == logits[0]);

    // Somebody else has taken the memory meanwhile.
    LIMIT.set(COUNT.get().bytes - full as i64 / 2 - 1);
    let kept = session.sequence.set_kv_format(KvFormat::F16);
    LIMIT.set(i64::MAX);
    assert!(kept.is_err());
    assert!(feed(&mut session).unwrap_err().to_string().contains("0 tokens is full"));
    for (kv, logits) in KvFormat::ALL.into_iter().zip(&logits) {
        session.sequence.set_kv_format(kv).unwrap();
        assert!(feed(&mut session).unwrap() == *logits);
    }
}
