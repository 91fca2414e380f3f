//! What was measured, for a person, in lines of less than 80 characters.

use crate::{Limits, Measured, Work, median};
use bootllm_engine::{Plan, Stage, Times};
use bootllm_simd::Isa;
use core::fmt;
use core::time::Duration;

/// What was measured with so many cores.
#[derive(Clone, Debug)]
pub struct Run {
    /// How many.
    pub cores: usize,
    /// How long they took to load the model, if they did.
    pub load: Option<Duration>,
    /// What the machine can do with them.
    pub limits: Limits,
    /// What the model did.
    pub measured: Measured,
}

/// A model, and how it was measured. It is shown in three lines.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it needs.
    pub plan: &'a Plan,
    /// The instructions that it is computed with.
    pub isa: Isa,
    /// What it is measured with.
    pub work: Work,
}

impl Report<'_> {
    /// What a run gave, to be shown.
    pub fn of(&self, run: &Run) -> impl fmt::Display {
        fmt::from_fn(move |f| show(f, run, self.plan))
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.plan.weight_bytes_per_token() as f64 / 1e6;
        let parameters = self.plan.file().parameters();
        writeln!(f, "{}", self.name)?;
        writeln!(f, "{parameters} parameters, {megabytes:.1} MB of weights per token")?;
        let Work { prefill, decode, kv_format, .. } = self.work;
        write!(f, "{}, KV cache in {}", self.isa, kv_format.name())?;
        writeln!(f, "; prefill of {prefill} tokens, decode of {decode}")
    }
}

fn show(f: &mut fmt::Formatter<'_>, run: &Run, plan: &Plan) -> fmt::Result {
    let Run { cores, load, limits, measured } = run;
    let (prefill, decode) = (median(&measured.prefill), median(&measured.decode));
    let bytes = decode * plan.weight_bytes_per_token() as f64;
    let products = prefill * plan.products_per_prompt_token() as f64;
    writeln!(f, "\n{cores} {}", if *cores == 1 { "core" } else { "cores" })?;
    writeln!(
        f,
        "  memory gives {:.1} GB/s, arithmetic at its peak {:.1} G int8 products/s",
        limits.bytes / 1e9,
        limits.products / 1e9
    )?;
    if let Some(seconds) = load.map(|time| time.as_secs_f64()) {
        let gigabytes = plan.file().tensor_bytes() as f64 / 1e9;
        writeln!(f, "  load    {seconds:10.3} s     {:8.2} GB/s of the file", gigabytes / seconds)?;
    }
    writeln!(
        f,
        "  prefill {prefill:10.1} tok/s {:8.1} G products/s {:4.0} % of the peak",
        products / 1e9,
        100.0 * products / limits.products
    )?;
    writeln!(
        f,
        "  decode  {decode:10.1} tok/s {:8.1} GB/s         {:4.0} % of what memory gives",
        bytes / 1e9,
        100.0 * bytes / limits.bytes
    )?;
    if !measured.decode_ticks.is_empty() {
        let ticks = median(&measured.decode_ticks);
        writeln!(f, "          {ticks:10.0} ticks of the CPU's counter for a token")?;
    }
    writeln!(f, "  {:28} {:>8} {:>8}", "share of time", "prefill", "decode")?;
    for stage in Stage::ALL {
        let [prefill, decode] = [measured.prefill_times, measured.decode_times]
            .map(|times| 100.0 * share(&times, stage));
        writeln!(f, "  {:28} {prefill:6.1} % {decode:6.1} %", stage.name())?;
    }
    Ok(())
}

/// The share of the time that a stage took.
fn share(times: &Times, stage: Stage) -> f64 {
    times.of(stage).as_secs_f64() / times.total().as_secs_f64().max(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Synthetic, shape};
    use alloc::string::{String, ToString};
    use alloc::vec;
    use bootllm_engine::KvFormat;
    use bootllm_quant::Encoding;

    /// The report of a machine on which everything goes at `speed`.
    fn report(speed: f64) -> (Plan, String) {
        let file = Synthetic::new(&shape("1.1B").unwrap(), Encoding::Q8_0).file;
        let plan = Plan::new(file).unwrap();
        let measured = Measured {
            prefill: vec![speed],
            decode: vec![speed / 4.0, speed / 2.0, speed],
            decode_ticks: vec![speed],
            prefill_times: Times::default(),
            decode_times: Times::default(),
        };
        let limits = Limits { bytes: 1e11, products: 1e13 };
        let load = Some(Duration::from_secs(100_000));
        let run = Run { cores: 128, load, limits, measured };
        let (isa, kv_format) = (Isa::NeonDot, KvFormat::default());
        let (times, enough) = (3, Duration::MAX);
        let work = Work { prefill: 131_072, decode: 1024, times, enough, kv_format };
        let report = Report { name: "1.1B", plan: &plan, isa, work };
        let text = report.to_string() + &report.of(&run).to_string();
        (plan, text)
    }

    #[test]
    fn a_report_fits_a_screen_of_80_columns() {
        for speed in [0.0, 0.1, 123.4, 9999.9] {
            let (_, text) = report(speed);
            assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
            // The rows of the smallest screen; the line below is the prompt's.
            assert!(text.lines().count() < 25, "{text}");
        }
    }

    #[test]
    fn speeds_are_held_against_the_limits() {
        let (plan, text) = report(200.0);
        let file = plan.file();
        let bytes = plan.weight_bytes_per_token();
        // Q8_0 has 34 bytes for 32 weights, and the embedding is not the classifier's.
        let embedding = 32_000 * 2048;
        let share = bytes as f64 / (file.parameters() - embedding) as f64;
        assert!((share - 34.0 / 32.0).abs() < 0.01, "{share}");
        let percent = 100.0 * 200.0 * bytes as f64 / 2.0 / 1e11;
        assert!(text.contains(&alloc::format!("{percent:.0} % of what memory gives")), "{text}");
        // Of the embedding and the classifier, a prompt needs nothing but rows.
        let norms = 45 * 2048;
        assert_eq!(plan.products_per_prompt_token(), file.parameters() - 2 * embedding - norms);
        let percent = 100.0 * 200.0 * plan.products_per_prompt_token() as f64 / 1e13;
        assert!(text.contains(&alloc::format!("{percent:.0} % of the peak")), "{text}");
        assert!(text.contains(" 100.0 tok/s"), "the one in the middle: {text}");
    }
}
