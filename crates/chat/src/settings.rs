//! What a person can set.

use alloc::format;
use alloc::string::{String, ToString};
use bootllm_engine::KvFormat;

/// How texts are generated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How tokens are chosen.
    pub sampling: bootllm_sampling::SamplerSettings,
    /// Where the random numbers begin; `None`: somewhere else for every text.
    pub seed: Option<u64>,
    /// The most tokens of a text, its prompt included; 0: as many as the context holds.
    pub length: usize,
    /// In which form keys and values are kept.
    pub kv: KvFormat,
}

/// llama2.c's defaults.
impl Default for Settings {
    fn default() -> Self {
        let (sampling, kv) = (bootllm_sampling::SamplerSettings::default(), KvFormat::default());
        Settings { sampling, seed: None, length: 256, kv }
    }
}

/// A seed out of any random number: never 0, and as short as a person can read and type again.
pub fn short_seed(random: u64) -> u64 {
    random % 1_000_000_000 + 1
}

/// One setting: its name and how it is read and changed.
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it does and which values it takes.
    pub help: &'static str,
    /// Its value in words.
    pub get: fn(&Settings) -> String,
    /// Changes it, or says which values it takes.
    set: fn(&mut Settings, &str) -> Option<()>,
}

/// All settings. A new one is a new entry.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "temperature",
        help: "0 (always the likeliest word) or more (bolder); 1 is the model's own",
        get: |settings| settings.sampling.temperature.to_string(),
        set: |settings, value| {
            settings.sampling.temperature = number(value, f32::MAX)?;
            Some(())
        },
    },
    Setting {
        name: "top_p",
        help: "above 0, to 1: choose among the likeliest words with this share of all chances",
        get: |settings| settings.sampling.top_p.to_string(),
        set: |settings, value| {
            settings.sampling.top_p = number(value, 1.0).filter(|&share| share > 0.0)?;
            Some(())
        },
    },
    Setting {
        name: "seed",
        help: "a number: the same seed tells the same story; 0 or random: another one every time",
        get: |settings| settings.seed.map_or("random".into(), |seed| seed.to_string()),
        set: |settings, value| {
            settings.seed = match value {
                "random" => None,
                number => Some(number.parse().ok()?).filter(|&seed| seed != 0),
            };
            Some(())
        },
    },
    Setting {
        name: "length",
        help: "the most tokens of a text, its beginning included; 0: all that the model can",
        get: |settings| settings.length.to_string(),
        set: |settings, value| {
            settings.length = value.parse().ok()?;
            Some(())
        },
    },
    Setting {
        name: "kv",
        help: "f32, f16 or q8: how keys and values are kept; less memory, a slightly other text",
        get: |settings| settings.kv.name().to_string(),
        set: |settings, value| {
            settings.kv = KvFormat::named(value)?;
            Some(())
        },
    },
];

/// A number from 0 to `largest`.
fn number(value: &str, largest: f32) -> Option<f32> {
    let number: f32 = value.parse().ok()?;
    // Adding 0 turns -0 into 0.
    (0.0..=largest).contains(&number).then_some(number + 0.0)
}

impl Settings {
    /// Sets a setting by its name.
    ///
    /// # Errors
    /// What is wrong with the name or the value, in a sentence.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            let names: alloc::vec::Vec<&str> = SETTINGS.iter().map(|s| s.name).collect();
            return Err(format!("there is no setting {name:?}; there are: {}", names.join(", ")));
        };
        (setting.set)(self, value)
            .ok_or_else(|| format!("{name} cannot be {value:?}. It is {}", setting.help))
    }
}
