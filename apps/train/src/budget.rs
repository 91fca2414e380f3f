//! How large a model the data supports.
//!
//! The rule of thumb: a model of a given size is trained best on about [`TOKENS_PER_PARAMETER`]
//! tokens per parameter (Hoffmann et al., "Training compute-optimal large language models", 2022),
//! and tokens that are repeated are worth nearly as much as new ones for about [`USEFUL_EPOCHS`]
//! epochs (Muennighoff et al., "Scaling data-constrained language models", 2023). Both were measured
//! on larger models, so this is advice and never refuses anything.

use crate::parameters::count;
use crate::shape::{PRESETS, Preset, Shape};

/// Tokens to train on per parameter.
pub const TOKENS_PER_PARAMETER: u64 = 20;
/// Epochs after which repeating the same tokens helps little.
pub const USEFUL_EPOCHS: u64 = 4;
/// Steps below which a run that starts from random weights has learned little, whatever its data.
pub const FEW_STEPS: u64 = 300;
/// A model with this many times the parameters that its data supports learns letters and short
/// words, but no sentences.
const FAR_TOO_LARGE: u64 = 8;

/// The data of a run that starts from random weights, and the run's length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Tokens to train on in an epoch.
    pub tokens: u64,
    /// Optimizer steps.
    pub steps: u64,
}

/// How a model fits its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFit {
    /// There are enough tokens.
    Enough,
    /// More text or a smaller model would predict better.
    Little,
    /// The model will learn letters and short words at best.
    FarTooLittle,
}

impl Budget {
    /// Parameters that the tokens are enough for, read [`USEFUL_EPOCHS`] times.
    pub fn parameters(&self) -> u64 {
        self.tokens.saturating_mul(USEFUL_EPOCHS) / TOKENS_PER_PARAMETER
    }

    /// Tokens that a model of this many parameters needs, read [`USEFUL_EPOCHS`] times.
    pub fn tokens_for(parameters: u64) -> u64 {
        parameters.saturating_mul(TOKENS_PER_PARAMETER).div_ceil(USEFUL_EPOCHS)
    }

    /// How a model of this many parameters fits.
    pub fn fit(&self, parameters: u64) -> DataFit {
        let supported = self.parameters();
        if parameters <= supported {
            DataFit::Enough
        } else if parameters <= supported.saturating_mul(FAR_TOO_LARGE) {
            DataFit::Little
        } else {
            DataFit::FarTooLittle
        }
    }

    /// Whether the run has so few steps that it ends before the model has learned much.
    pub fn has_few_steps(&self) -> bool {
        self.steps < FEW_STEPS
    }

    /// The largest preset with a vocabulary of this size that the tokens are enough for.
    pub fn largest_preset(&self, vocab_size: usize) -> Option<&'static Preset> {
        let parameters =
            |preset: &Preset| count(&Shape { vocab_size, ..preset.shape }.config()) as u64;
        let fits = PRESETS.iter().filter(|preset| parameters(preset) <= self.parameters());
        fits.max_by_key(|preset| parameters(preset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(tokens: u64) -> Budget {
        Budget { tokens, steps: 1000 }
    }

    #[test]
    fn parameters_follow_from_tokens() {
        assert_eq!(budget(1_000_000).parameters(), 200_000);
        assert_eq!(budget(0).parameters(), 0);
        assert_eq!(Budget::tokens_for(200_000), 1_000_000);
        for parameters in [1, 171_456, 171_457] {
            assert_eq!(budget(Budget::tokens_for(parameters)).fit(parameters), DataFit::Enough);
            assert_ne!(budget(Budget::tokens_for(parameters) - 1).fit(parameters), DataFit::Enough);
        }
    }

    #[test]
    fn fifty_kilobytes_are_far_too_little_for_nano_and_two_megabytes_are_enough() {
        // `nano` has 171,456 parameters; 50 kB are about 22,000 tokens of a vocabulary of 512.
        assert_eq!(budget(22_000).fit(171_456), DataFit::FarTooLittle);
        assert_eq!(budget(300_000).fit(171_456), DataFit::Little);
        assert_eq!(budget(920_000).fit(171_456), DataFit::Enough);
    }

    #[test]
    fn the_preset_that_fits_is_the_largest_one() {
        let name = |tokens| budget(tokens).largest_preset(512).map(|preset| preset.name);
        assert_eq!(name(22_000), None);
        assert_eq!(name(920_000), Some("nano"));
        assert_eq!(name(2_270_000), Some("260K"));
        assert_eq!(name(u64::MAX), Some("110M"));
    }

    #[test]
    fn short_runs_are_known() {
        assert!(Budget { steps: FEW_STEPS - 1, tokens: 1 }.has_few_steps());
        assert!(!Budget { steps: FEW_STEPS, tokens: 1 }.has_few_steps());
    }
}
