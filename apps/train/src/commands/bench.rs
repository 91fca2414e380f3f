//! `bootllm-train bench`: how fast this machine trains.

mod peer;

use crate::commands::fit::ShapeArguments;
use anyhow::{Result, ensure};
use bootllm_host::print_line;
use bootllm_model_file::Config;
use bootllm_train::backend::{Backend, Cpu};
use bootllm_train::error::TrainError;
use bootllm_train::network::Batch;
use bootllm_train::ops::dropout::Dropout;
use bootllm_train::ops::product::{Matrix, Store, multiply_parallel};
use bootllm_train::optimizer::{self, Moments, OptimizerSettings};
use bootllm_train::parameters::{Parameters, Random, count};
use clap::Args;
use peer::Peer;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// What to measure.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    shape: ShapeArguments,
    /// Tokens per batch
    #[arg(long, default_value_t = 4096)]
    batch_tokens: usize,
    /// Tokens per sequence
    #[arg(long, default_value_t = 256)]
    sequence: usize,
    /// Steps to measure, after one for warm-up
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// The dropout rate
    #[arg(long, default_value_t = 0.0)]
    dropout: f32,
    /// Another trainer to take turns with, such as "python3 apps/train/peers/jax_peer.py". It gets
    /// the shape as arguments and makes a step for every line it reads
    #[arg(long, value_name = "COMMAND")]
    against: Option<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let &Arguments { batch_tokens, sequence, steps, .. } = arguments;
    let preset = arguments.shape.preset()?;
    let shape = arguments.shape.shape(preset.shape.vocab_size)?;
    shape.config().validate()?;
    for (option, value) in [("steps", steps), ("sequence", sequence)] {
        ensure!(value > 0, TrainError::option(option, "at least 1"));
    }
    let context = shape.context;
    ensure!(sequence <= context, TrainError::SequenceTooLong { context });
    let sequences = (batch_tokens / sequence).max(1);
    let tokens = sequences * sequence;

    let mut trainer = Trainer::new(&shape.config(), sequences, sequence, arguments.dropout)?;
    let start = |command: &String| Peer::start(command, &shape, sequences, sequence);
    let mut peer = arguments.against.as_ref().map(start).transpose()?;
    trainer.step()?;
    // The speed of the machine changes from second to second, so measurements are interleaved.
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..steps {
        times[0].push(trainer.step()?);
        times[1].push(peak());
        times[2].push(product_speed());
        times[3].extend(peer.as_mut().map(Peer::step).transpose()?);
    }
    let [time, peak, product, other] = times.map(median);

    let operations = operations(&shape.config(), sequence) * tokens as f64;
    let (speed, threads) = (operations / time / 1e9, rayon::current_num_threads());
    print_line(&format!(
        "{} parameters, {sequences} sequences of {sequence} tokens, {threads} threads, medians of \
         {steps}\n\
         a step:        {time:.3} s, {:.0} tokens/s, {:.1} MFLOP per token\n\
         arithmetic:    {speed:.1} GFLOP/s\n\
         of the peak:   {:.0} % of {peak:.1} GFLOP/s, measured with fused multiply-adds in registers\n\
         of a product:  {:.0} % of {product:.1} GFLOP/s, measured with 1024 x 1024 x 1024",
        bootllm_units::count(count(&shape.config()) as u64),
        tokens as f64 / time,
        operations / tokens as f64 / 1e6,
        100.0 * speed / peak,
        100.0 * speed / product
    ))?;
    if peer.is_some() {
        print_line(&format!(
            "the peer:      {other:.3} s, {:.0} tokens/s; this trainer is {:.2} times as fast",
            tokens as f64 / other,
            other / time
        ))?;
    }
    Ok(())
}

/// Floating-point operations per token, forward and backward. A weight takes a multiplication and an
/// addition in the forward pass and as many for each of the two gradients. Attention multiplies
/// queries with keys and weights with values, for half of all pairs.
fn operations(config: &Config, sequence: usize) -> f64 {
    let looked_up = if config.tied_embeddings { 0 } else { config.vocab_size * config.dim };
    let dense = 6.0 * (count(config) - looked_up) as f64;
    dense + 6.0 * (config.layers * config.dim * sequence) as f64
}

/// Trains a model on random tokens.
struct Trainer {
    backend: Cpu,
    batch: Batch,
    dropout: f32,
    steps: u64,
}

impl Trainer {
    fn new(config: &Config, sequences: usize, sequence: usize, dropout: f32) -> Result<Self> {
        let mut random = Random::new(1);
        let tokens = sequences * sequence;
        let mut some = || (0..tokens).map(|_| random.below(config.vocab_size) as u32).collect();
        let batch = Batch { tokens: some(), targets: some(), lengths: vec![sequence; sequences] };
        let backend = Cpu::new(Parameters::random(config, 1), Moments::zeros(config))?;
        Ok(Trainer { backend, batch, dropout, steps: 0 })
    }

    /// Makes a step and returns its seconds.
    fn step(&mut self) -> Result<f64> {
        const SETTINGS: OptimizerSettings = OptimizerSettings {
            method: optimizer::Method::AdamW,
            rate: 1e-3,
            warm_up: 1,
            final_rate: 1.0,
            decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            clip: 1.0,
        };
        let dropout = Dropout::new(self.dropout, 1, self.steps, 0);
        let batches = [(self.batch.clone(), dropout)];
        let start = Instant::now();
        let (_, norm) = self.backend.gradients(&batches)?;
        self.backend.update(norm, &SETTINGS, (self.steps, SETTINGS.rate))?;
        self.steps += 1;
        Ok(start.elapsed().as_secs_f64())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// GFLOP/s of all cores: fused multiply-adds on registers.
fn peak() -> f64 {
    const CHAINS: usize = 12;
    const ROUNDS: usize = 2_000_000;
    struct MultiplyAdds;
    impl WithSimd for MultiplyAdds {
        /// Floating-point operations.
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> usize {
            let factor = simd.splat_f32s(black_box(0.999));
            let mut sums = [factor; CHAINS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = simd.mul_add_f32s(*sum, factor, factor);
                }
            }
            let sum = sums.into_iter().reduce(|a, b| simd.add_f32s(a, b));
            black_box(sum.map(|sum| simd.reduce_sum_f32s(sum)));
            2 * CHAINS * ROUNDS * S::F32_LANES
        }
    }
    let start = Instant::now();
    let threads = (0..rayon::current_num_threads()).into_par_iter().with_max_len(1);
    let operations: usize = threads.map(|_| Arch::new().dispatch(MultiplyAdds)).sum();
    operations as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// GFLOP/s of a large matrix product.
fn product_speed() -> f64 {
    const SIZE: usize = 1024;
    let values = vec![1.0; SIZE * SIZE];
    let mut out = vec![0.0; SIZE * SIZE];
    let matrix = Matrix::new(&values, SIZE);
    let start = Instant::now();
    for _ in 0..4 {
        multiply_parallel(&mut out, SIZE, matrix, matrix.transposed(), Store::Set);
    }
    black_box(&out);
    4.0 * 2.0 * (SIZE * SIZE * SIZE) as f64 / start.elapsed().as_secs_f64() / 1e9
}
