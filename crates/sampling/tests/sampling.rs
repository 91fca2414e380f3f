//! Samplers against a plain transcription of what llama2.c does.

use bootllm_sampling::{
    Candidates, Chain, Random, SampleError, Sampler, Select, Step, Temperature, TopP, argmax,
    chain, log_probability,
};
use bootllm_simd::softmax;
use proptest::prelude::*;

/// llama2.c's `sample`, its buffers aside.
fn sample_naively(logits: &[f32], temperature: f32, top_p: f32, random: &mut Random) -> u32 {
    let mut p: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
    softmax(&mut p);
    let uniform = random.next_f32();
    let pick = |order: &[(usize, f32)], target: f32| {
        let mut cdf = 0.0f32;
        for &(index, p) in order {
            cdf += p;
            if target < cdf {
                return index as u32;
            }
        }
        order[order.len() - 1].0 as u32
    };
    let all: Vec<(usize, f32)> = p.iter().copied().enumerate().collect();
    if top_p <= 0.0 || top_p >= 1.0 {
        return pick(&all, uniform);
    }
    let cutoff = (1.0 - top_p) / (p.len() - 1) as f32;
    let mut kept: Vec<_> = all.into_iter().filter(|&(_, p)| p >= cutoff).collect();
    if kept.is_empty() {
        // Here llama2.c reads before its array.
        return argmax(&p);
    }
    kept.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap());
    let (mut mass, mut last) = (0.0f32, kept.len() - 1);
    for (index, &(_, p)) in kept.iter().enumerate() {
        mass += p;
        if mass > top_p {
            last = index;
            break;
        }
    }
    pick(&kept[..=last], uniform * mass)
}

/// Logits of some vocabulary; most of a trained model's are far below the largest.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    let one = prop_oneof![
        4 => -9.0f32..9.0,
        4 => -60.0f32..12.0,
        1 => Just(1.0),
        1 => Just(f32::NEG_INFINITY),
    ];
    let flat = -1e-3f32..1e-3;
    prop_oneof![
        4 => proptest::collection::vec(one, 2..3000),
        1 => proptest::collection::vec(flat, 2..3000),
    ]
    .prop_filter("something must be possible", |logits| {
        logits.iter().any(|&logit| logit > f32::NEG_INFINITY)
    })
}

proptest! {
    #[test]
    fn draws_are_llama2c_s(
        logits in logits(),
        temperature in prop_oneof![0.05f32..3.0, Just(1.0)],
        top_p in prop_oneof![0.0f32..=1.0, Just(1.0), Just(0.0), Just(0.9), 0.0f32..1e-3],
        seed in 1u64..,
    ) {
        let mut random = Random::new(seed);
        let mut sampler =
            Sampler::new(chain::llama2c(temperature, top_p, seed), logits.len()).unwrap();
        for _ in 0..10 {
            let naive = sample_naively(&logits, temperature, top_p, &mut random);
            prop_assert_eq!(sampler.sample(&logits, &[]), Ok(naive));
        }
    }

    #[test]
    fn a_sampler_is_not_changed_by_what_it_sampled_before(
        all in proptest::collection::vec(proptest::collection::vec(-9.0f32..9.0, 40), 2..10),
    ) {
        let make = |seed| {
            let chain = Chain::new(Select::Draw(Random::new(seed))).then(Reverse).then(TopP(0.7));
            Sampler::new(chain, 40).unwrap()
        };
        let mut used = make(1);
        for (seed, logits) in (2..).zip(&all) {
            used.discard_draw();
            let token = used.sample(logits, &[]).unwrap();
            // The same place in the same random sequence.
            let mut fresh = make(1);
            (0..2 * seed - 3).for_each(|_| fresh.discard_draw());
            prop_assert_eq!(fresh.sample(logits, &[]), Ok(token));
        }
    }

    #[test]
    fn without_temperature_the_largest_logit_is_taken(logits in logits()) {
        let mut sampler = Sampler::new(chain::llama2c(0.0, 0.9, 7), logits.len()).unwrap();
        prop_assert_eq!(sampler.sample(&logits, &[]), Ok(argmax(&logits)));
        prop_assert!(logits.iter().all(|&logit| logit <= logits[argmax(&logits) as usize]));
    }
}

/// A test's step that uses the tokens so far: the penalty of Keskar et al. (2019).
struct RepetitionPenalty(f32);

impl Step for RepetitionPenalty {
    fn apply(&mut self, candidates: &mut Candidates, tokens: &[u32]) {
        for (index, &token) in tokens.iter().enumerate() {
            // Each token once.
            if !tokens[..index].contains(&token)
                && let Some(place) = candidates.position(token)
            {
                let logit = &mut candidates.logits_mut()[place];
                *logit = if *logit > 0.0 { *logit / self.0 } else { *logit * self.0 };
            }
        }
    }
}

/// A test's step that reorders.
struct Reverse;

impl Step for Reverse {
    fn apply(&mut self, candidates: &mut Candidates, _: &[u32]) {
        let count = candidates.len();
        (0..count / 2).for_each(|index| candidates.swap(index, count - 1 - index));
    }
}

/// A test's step that removes, and remembers what was accepted: every token at most once.
#[derive(Default)]
struct Once(Vec<u32>);

impl Step for Once {
    fn apply(&mut self, candidates: &mut Candidates, _: &[u32]) {
        candidates.retain(|token, _| !self.0.contains(&token));
    }

    fn accept(&mut self, token: u32) {
        self.0.push(token);
    }
}

#[test]
fn a_step_sees_the_tokens_so_far() {
    let logits = [3.0, 2.0, -1.0, -1.5];
    let chain = || Chain::new(Select::Greedy).then(RepetitionPenalty(2.0));
    let mut sampler = Sampler::new(chain(), 4).unwrap();
    assert_eq!(sampler.sample(&logits, &[]), Ok(0));
    assert_eq!(sampler.sample(&logits, &[0]), Ok(1));
    assert_eq!(sampler.sample(&logits, &[0, 0]), Ok(1), "once per token, not per occurrence");
    assert_eq!(sampler.sample(&logits, &[0, 1, 3]), Ok(0));
    // It finds tokens where another step has moved them.
    let chain = Chain::new(Select::Greedy).then(Reverse).then(RepetitionPenalty(2.0));
    assert_eq!(Sampler::new(chain, 4).unwrap().sample(&logits, &[0]), Ok(1));
}

#[test]
fn a_step_reorders() {
    let logits = [1.0, 2.0, 2.0, 0.0];
    assert_eq!(Sampler::new(chain::greedy(), 4).unwrap().sample(&logits, &[]), Ok(1));
    let mut sampler = Sampler::new(chain::greedy().then(Reverse), 4).unwrap();
    for _ in 0..2 {
        assert_eq!(sampler.sample(&logits, &[]), Ok(2), "the first of equals is another");
    }
    // A draw goes through the candidates in their new order.
    let mut random = Random::new(9);
    let reversed: Vec<f32> = logits.into_iter().rev().collect();
    let draw = Chain::new(Select::Draw(Random::new(9))).then(Reverse);
    let mut sampler = Sampler::new(draw, 4).unwrap();
    for _ in 0..50 {
        let place = sample_naively(&reversed, 1.0, 1.0, &mut random);
        assert_eq!(sampler.sample(&logits, &[]), Ok(3 - place));
    }
}

#[test]
fn a_step_removes_and_is_told_what_was_accepted() {
    let logits = [1.0, 4.0, 3.0, 2.0];
    let chain = Chain::new(Select::Draw(Random::new(5))).then(Once::default());
    let mut sampler = Sampler::new(chain, 4).unwrap();
    sampler.accept(1);
    let mut drawn: Vec<u32> = (0..3).map(|_| sampler.sample(&logits, &[]).unwrap()).collect();
    drawn.sort_unstable();
    assert_eq!(drawn, [0, 2, 3]);
    assert_eq!(sampler.sample(&logits, &[]), Err(SampleError::NoCandidate));
    let mut greedy = Sampler::new(chain::greedy().then(Once::default()), 4).unwrap();
    let taken: Vec<u32> = (0..4).map(|_| greedy.sample(&logits, &[]).unwrap()).collect();
    assert_eq!(taken, [1, 2, 3, 0]);
}

/// Writes down what a step sees.
struct Look(std::sync::mpsc::Sender<(Vec<u32>, Vec<f32>, Vec<f32>)>);

impl Step for Look {
    fn apply(&mut self, candidates: &mut Candidates, _: &[u32]) {
        let probabilities = (0..candidates.len()).map(|i| candidates.probability(i)).collect();
        let seen = (candidates.tokens().to_vec(), candidates.logits().to_vec(), probabilities);
        self.0.send(seen).unwrap();
    }
}

#[test]
fn a_step_sees_ids_logits_and_probabilities() {
    let logits = [0.0, 2.0, -1.0, 4.0, 1.0];
    let mut expected = logits.map(|logit| logit / 2.0);
    let halved = expected;
    softmax(&mut expected);
    let (sender, seen) = std::sync::mpsc::channel();
    let chain = Chain::new(Select::Greedy)
        .then(Temperature(2.0))
        .then(Look(sender.clone()))
        .then(TopP(0.7))
        .then(Look(sender));
    let mut sampler = Sampler::new(chain, 5).unwrap();
    for _ in 0..2 {
        sampler.sample(&logits, &[]).unwrap();
        let all = (vec![0, 1, 2, 3, 4], halved.to_vec(), expected.to_vec());
        assert_eq!(seen.recv(), Ok(all));
        // The most probable ones, with the probabilities that they had among all.
        let kept = (vec![3, 1], vec![halved[3], halved[1]], vec![expected[3], expected[1]]);
        assert!(expected[3] < 0.7 && expected[3] + expected[1] > 0.7);
        assert_eq!(seen.recv(), Ok(kept));
    }
}

#[test]
fn logits_of_another_vocabulary_are_an_error() {
    let mut sampler = Sampler::new(chain::greedy(), 3).unwrap();
    for found in [2, 4] {
        let expected = Err(SampleError::VocabularySize { found, expected: 3 });
        assert_eq!(sampler.sample(&vec![0.0; found], &[]), expected);
    }
}

#[test]
fn the_random_sequence_is_that_of_llama2c() {
    // Computed by llama2.c's `random_u32` from the seed 42.
    let mut random = Random::new(42);
    let numbers: Vec<u32> = (0..4).map(|_| random.next_u32()).collect();
    assert_eq!(numbers, [1456360119, 3359763283, 3393612768, 4054632243]);
    let mut random = Random::new(u64::MAX);
    assert!((0..1000).map(|_| random.next_f32()).all(|x| (0.0..1.0).contains(&x)));
}

#[test]
fn discarding_a_draw_is_drawing_without_looking() {
    let logits = [0.1, 0.2, 0.3, 0.4, 0.5];
    let sampler = || Sampler::new(chain::llama2c(1.0, 0.9, 3), 5).unwrap();
    let (mut a, mut b) = (sampler(), sampler());
    for _ in 0..20 {
        a.discard_draw();
        b.sample(&logits, &[]).unwrap();
        assert_eq!(a.sample(&logits, &[]), b.sample(&logits, &[]));
    }
}

#[test]
fn equal_logits_give_the_first_and_nan_is_an_error() {
    assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    assert_eq!(argmax(&[f32::NEG_INFINITY; 3]), 0);
    assert_eq!(argmax(&[]), 0);
    for temperature in [0.0, 1.0] {
        let mut sampler = Sampler::new(chain::llama2c(temperature, 0.9, 1), 2).unwrap();
        assert_eq!(sampler.sample(&[0.0, f32::NAN], &[]), Err(SampleError::NotANumber));
    }
}

#[test]
fn one_token_and_impossible_ones_are_no_problem_and_infinity_is_an_error() {
    // What is drawn where all are impossible: the last, or the first where some would be dropped.
    for (top_p, impossible) in [(0.0, 2), (0.5, 0), (1.0, 2)] {
        let chain = || chain::llama2c(1.0, top_p, 5);
        assert_eq!(Sampler::new(chain(), 1).unwrap().sample(&[3.0], &[]), Ok(0));
        let mut sampler = Sampler::new(chain(), 3).unwrap();
        assert_eq!(sampler.sample(&[f32::NEG_INFINITY; 3], &[]), Ok(impossible));
        let overflowed = sampler.sample(&[f32::INFINITY, 0.0, 1.0], &[]);
        assert_eq!(overflowed, Err(SampleError::NotANumber));
    }
}

#[test]
fn a_temperature_too_small_to_divide_by_takes_the_largest() {
    for temperature in [f32::NAN, -1.0, 1e-45, 1e-38, 1e-31, 1e-29] {
        let mut sampler = Sampler::new(chain::llama2c(temperature, 0.9, 5), 3).unwrap();
        assert_eq!(sampler.sample(&[-50.0, 49.9, 50.0], &[]), Ok(2));
        assert_eq!(sampler.sample(&[-50.0, 3e38, -3e38], &[]), Ok(1));
    }
}

#[test]
fn log_probabilities_are_those_of_the_softmax() {
    let logits = [1.0, -2.5, 3.25, 0.0, f32::NEG_INFINITY];
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
    for (token, &logit) in (0..4).zip(&logits) {
        let expected = (f64::from(logit).exp() / sum).ln();
        let found = log_probability(&logits, token).unwrap();
        assert!((found - expected).abs() < 1e-12, "token {token}: {found}, not {expected}");
    }
    assert_eq!(log_probability(&logits, 4), Ok(f64::NEG_INFINITY));
    // Sums that only the largest's subtraction keeps finite.
    let even = log_probability(&[3e38, 3e38], 1).unwrap();
    assert!((even + 2f64.ln()).abs() < 1e-12, "{even}");
    assert_eq!(log_probability(&[-1e38, 0.0], 0), Ok(f64::from(-1e38f32)));
    for bad in [f32::NAN, f32::INFINITY] {
        assert_eq!(log_probability(&[0.0, bad], 0), Err(SampleError::NotANumber));
    }
    assert_eq!(log_probability(&[f32::NEG_INFINITY; 2], 0), Err(SampleError::NotANumber));
}
