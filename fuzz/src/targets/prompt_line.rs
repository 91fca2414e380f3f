//! Lines typed at the prompt: commands, settings, and sampling with those settings.

use bootllm_chat::{Command, Line, SETTINGS, Settings};
use bootllm_sampling::Sampler;

/// Feeds lines to the prompt. The input is the lines; its bytes are also the logits that are
/// sampled with the settings that the lines made.
pub fn prompt_line(bytes: &[u8]) {
    let mut settings = Settings::default();
    for line in String::from_utf8_lossy(bytes).split('\n') {
        match Line::parse(line) {
            Line::Empty => assert!(line.trim().is_empty()),
            Line::Text(text) => assert_eq!(text, line),
            Line::Unknown(name) => assert!(name.starts_with('/') && !name.contains(' ')),
            Line::Command(Command::Set, arguments) => set(&mut settings, arguments),
            Line::Command(_, arguments) => assert_eq!(arguments.trim(), arguments),
        }
        check(&settings);
    }
    sample(&settings, bytes);
}

fn set(settings: &mut Settings, arguments: &str) {
    let (name, value) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
    let before = *settings;
    if let Err(message) = settings.set(name, value.trim()) {
        assert!(!message.is_empty());
        assert_eq!(*settings, before, "an error changes nothing");
    }
}

fn check(settings: &Settings) {
    let sampling = settings.sampling;
    assert!(sampling.temperature >= 0.0 && sampling.temperature.is_finite());
    assert!((0.0..=1.0).contains(&sampling.top_p));
    // What is shown can be typed.
    let mut again = Settings::default();
    for setting in SETTINGS {
        again.set(setting.name, &(setting.get)(settings)).unwrap();
    }
    assert_eq!(again, *settings);
}

fn sample(settings: &Settings, bytes: &[u8]) {
    let numbers = bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number));
    let logits: Vec<f32> = numbers.take(300).collect();
    if logits.is_empty() {
        return;
    }
    let mut sampler =
        Sampler::new(settings.sampling.chain(settings.seed.unwrap_or(1)), logits.len()).unwrap();
    for _ in 0..3 {
        if let Ok(token) = sampler.sample(&logits, &[]) {
            assert!((token as usize) < logits.len());
        }
        sampler.discard_draw();
    }
}
