//! What a user should know about the size of the data before a run begins.

use bootllm_host::eprint_line;
use bootllm_train::budget::{Budget, DataFit, TOKENS_PER_PARAMETER, USEFUL_EPOCHS};
use bootllm_train::data_loader::Documents;
use bootllm_train::fit::RunSettings;
use bootllm_train::parameters::count;
use bootllm_units as units;

/// A new run as the advice sees it.
pub struct DataAdvice {
    budget: Budget,
    /// The model's parameters, and its vocabulary.
    parameters: u64,
    vocab_size: usize,
    warm_up: u64,
    bytes_per_token: f64,
}

impl DataAdvice {
    /// The data, the model and the length of a run that starts from random weights.
    pub fn new(settings: &RunSettings, train: &Documents) -> Self {
        let tokens = train.tokens() as u64;
        DataAdvice {
            budget: Budget { tokens, steps: settings.steps },
            parameters: count(&settings.shape.config()) as u64,
            vocab_size: settings.shape.vocab_size,
            warm_up: settings.optimizer.warm_up,
            bytes_per_token: train.bytes() as f64 / tokens.max(1) as f64,
        }
    }

    /// Prints what size of model the data supports, and what to do if this one is larger.
    pub fn show(&self) {
        let DataAdvice { budget, parameters, .. } = self;
        let supported = units::count(budget.parameters());
        eprint_line(&format!(
            "Rule of thumb: {TOKENS_PER_PARAMETER} tokens per parameter, each read up to \
             {USEFUL_EPOCHS} times. So the corpus is enough for {supported} parameters; this model \
             has {}.",
            units::count(*parameters)
        ));
        let needed = Budget::tokens_for(*parameters);
        let bytes = units::bytes((needed as f64 * self.bytes_per_token) as u64);
        let smaller = match budget.largest_preset(self.vocab_size) {
            Some(preset) => format!("take --preset {}", preset.name),
            None => String::from("make the model smaller (--dim, --layers, --hidden)"),
        };
        match budget.fit(*parameters) {
            DataFit::Enough => {}
            DataFit::Little => eprint_line(&format!(
                "It will overfit. For better text, train on about {bytes}, or {smaller}."
            )),
            DataFit::FarTooLittle => eprint_line(&format!(
                "Expect letters and short words, no sentences. Train on about {bytes} of text, or \
                 teach your text to a model that already writes: --from models/bedtime-stories.bin"
            )),
        }
        if budget.has_few_steps() {
            eprint_line(&format!(
                "{} steps are few ({} of them warm-up): a smaller --batch-tokens gives more steps \
                 per epoch, --epochs more epochs.",
                budget.steps, self.warm_up
            ));
        }
    }
}
