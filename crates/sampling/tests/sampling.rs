//! Samplers against a plain transcription of what llama2.c does.

use bootllm_sampling::{Random, SampleError, Sampler, Settings, likeliest, log_probability};
use bootllm_simd::softmax;
use proptest::prelude::*;

/// llama2.c's `sample`, its buffers aside.
fn sample_plainly(logits: &[f32], settings: &Settings, random: &mut Random) -> u32 {
    let mut p: Vec<f32> = logits.iter().map(|logit| logit / settings.temperature).collect();
    softmax(&mut p);
    let coin = random.next_f32();
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
    if settings.top_p <= 0.0 || settings.top_p >= 1.0 {
        return pick(&all, coin);
    }
    let cutoff = (1.0 - settings.top_p) / (p.len() - 1) as f32;
    let mut kept: Vec<_> = all.into_iter().filter(|&(_, p)| p >= cutoff).collect();
    if kept.is_empty() {
        // Here llama2.c reads before its array.
        return likeliest(&p);
    }
    kept.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap());
    let (mut mass, mut last) = (0.0f32, kept.len() - 1);
    for (index, &(_, p)) in kept.iter().enumerate() {
        mass += p;
        if mass > settings.top_p {
            last = index;
            break;
        }
    }
    pick(&kept[..=last], coin * mass)
}

proptest! {
    #[test]
    fn draws_are_llama2c_s(
        logits in proptest::collection::vec(prop_oneof![-9.0f32..9.0, Just(1.0)], 2..300),
        temperature in prop_oneof![0.05f32..3.0, Just(1.0)],
        top_p in prop_oneof![0.0f32..=1.0, Just(1.0), Just(0.0)],
        seed in 1u64..,
    ) {
        let settings = Settings { temperature, top_p };
        let mut random = Random::new(seed);
        let mut sampler = Sampler::new(&settings, seed, logits.len()).unwrap();
        for _ in 0..10 {
            let drawn = sampler.sample(&mut logits.clone()).unwrap();
            prop_assert_eq!(drawn, sample_plainly(&logits, &settings, &mut random));
        }
    }

    #[test]
    fn without_temperature_the_likeliest_is_taken(logits in proptest::collection::vec(-9.0f32..9.0, 1..50)) {
        let settings = Settings { temperature: 0.0, ..Settings::default() };
        let mut sampler = Sampler::new(&settings, 7, logits.len()).unwrap();
        let token = sampler.sample(&mut logits.clone()).unwrap() as usize;
        prop_assert!(logits.iter().all(|&logit| logit <= logits[token]));
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
fn skipping_is_drawing_without_looking() {
    let logits = [0.1, 0.2, 0.3, 0.4, 0.5];
    let (mut a, mut b) = (
        Sampler::new(&Settings::default(), 3, 5).unwrap(),
        Sampler::new(&Settings::default(), 3, 5).unwrap(),
    );
    for _ in 0..20 {
        a.skip();
        b.sample(&mut logits.clone()).unwrap();
        assert_eq!(a.sample(&mut logits.clone()), b.sample(&mut logits.clone()));
    }
}

#[test]
fn equal_logits_give_the_first_and_nan_is_an_error() {
    assert_eq!(likeliest(&[1.0, 3.0, 3.0]), 1);
    assert_eq!(likeliest(&[f32::NEG_INFINITY; 3]), 0);
    for temperature in [0.0, 1.0] {
        let settings = Settings { temperature, ..Settings::default() };
        let mut sampler = Sampler::new(&settings, 1, 2).unwrap();
        assert_eq!(sampler.sample(&mut [0.0, f32::NAN]), Err(SampleError::NotANumber));
    }
}

#[test]
fn one_token_and_impossible_ones_are_no_problem_and_infinity_is_an_error() {
    for top_p in [0.0, 0.5, 1.0] {
        let settings = Settings { temperature: 1.0, top_p };
        let mut sampler = Sampler::new(&settings, 5, 1).unwrap();
        assert_eq!(sampler.sample(&mut [3.0]), Ok(0));
        let mut sampler = Sampler::new(&settings, 5, 3).unwrap();
        assert!(sampler.sample(&mut [f32::NEG_INFINITY; 3]).is_ok_and(|token| token < 3));
        let overflowed = sampler.sample(&mut [f32::INFINITY, 0.0, 1.0]);
        assert_eq!(overflowed, Err(SampleError::NotANumber));
    }
}

#[test]
fn a_temperature_too_small_to_divide_by_takes_the_likeliest() {
    for temperature in [1e-45, 1e-38, 1e-31] {
        let settings = Settings { temperature, ..Settings::default() };
        let mut sampler = Sampler::new(&settings, 5, 3).unwrap();
        assert_eq!(sampler.sample(&mut [-50.0, 49.9, 50.0]), Ok(2));
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
