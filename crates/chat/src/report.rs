//! Figures about a generated text, as lines of text.

use crate::{Report, checksum};
use alloc::format;
use alloc::string::String;
use bootllm_sampling::argmax;
use bootllm_units::{duration, rate};
use core::fmt::Write;

/// The figures of a text in one line: prompt processing, then decoding.
pub fn summary(report: &Report) -> String {
    let mut line = format!(
        "prompt {} tokens, {:.1} tok/s · generated {} tokens",
        report.prompt_tokens,
        rate(report.prompt_tokens as f64, report.prompt_time),
        report.generated,
    );
    if report.decoded > 0 {
        let _ = write!(line, ", {:.1} tok/s", rate(report.decoded as f64, report.decode_time));
    }
    if report.generated > 0 {
        let _ = write!(line, " · first after {}", duration(report.prompt_time));
    }
    if report.end.is_none() {
        line.push_str(" · stopped");
    }
    line
}

/// A position's logits in one line: the token fed, the argmax, the first ten values, and a checksum
/// of all of them. Values are printed with enough digits to identify each f32, so two lines are equal only
/// if the logits are equal to the bit.
pub fn logits(position: usize, token: u32, logits: &[f32]) -> String {
    let mut line = format!("pos={position} token={token} argmax={}", argmax(logits));
    let _ = write!(line, " checksum={:016x} logits[0..10]:", checksum(logits));
    for logit in logits.iter().take(10) {
        let _ = write!(line, " {logit}");
    }
    line
}
