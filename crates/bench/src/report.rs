//! What was measured, on one screen of 80 columns and 24 rows.

use crate::{Limits, Samples, Speeds, Workload};
use alloc::format;
use alloc::string::{String, ToString};
use bootllm_engine::{Plan, Stage, Times};
use bootllm_simd::Isa;
use bootllm_units::{bytes, cores_phrase, count, grouped};
use core::fmt;
use core::time::Duration;

/// What was measured with a number of cores.
#[derive(Clone, Debug)]
pub struct BenchRun {
    /// The number of cores.
    pub cores: usize,
    /// How long they took to load the model, if they did.
    pub load: Option<Duration>,
    /// What the machine can do with them.
    pub limits: Limits,
    /// What the model did.
    pub speeds: Speeds,
}

impl BenchRun {
    /// Bytes of weights per second that decoding read.
    fn decode_bandwidth(&self, plan: &Plan) -> Option<f64> {
        Some(self.speeds.decode.mean()? * plan.weight_bytes_per_token() as f64)
    }

    /// Multiply-accumulates per second in the prompt.
    fn prefill_throughput(&self, plan: &Plan) -> Option<f64> {
        Some(self.speeds.prefill.mean()? * plan.products_per_prompt_token() as f64)
    }

    /// The share of memory bandwidth that decoding used. Above 1, weights came from a cache.
    pub fn bandwidth_share(&self, plan: &Plan) -> Option<f64> {
        Some(self.decode_bandwidth(plan)? / self.limits.bandwidth?)
    }

    /// The share of peak integer throughput that prompt processing used.
    pub fn throughput_share(&self, plan: &Plan) -> Option<f64> {
        Some(self.prefill_throughput(plan)? / self.limits.throughput?)
    }
}

/// A model and how it was measured. Its `Display` is the head of a table, which continues with a
/// [`row`](BenchReport::row) for each run and ends with the [`details`](BenchReport::details) of the
/// last.
#[derive(Clone, Copy)]
pub struct BenchReport<'a> {
    /// The model's name.
    pub name: &'a str,
    /// What it needs.
    pub plan: &'a Plan,
    /// The instruction set that computed it.
    pub isa: Isa,
    /// What was measured.
    pub workload: Workload,
}

impl fmt::Display for BenchReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Workload { prefill, decode, kv_format, .. } = self.workload;
        let parameters = count(self.plan.file().parameters());
        let weights = bytes(self.plan.weight_bytes_per_token());
        writeln!(f, "{}", self.name)?;
        writeln!(f, "{parameters} parameters, {weights} of weights per token")?;
        write!(f, "{}, KV cache in {}", self.isa, kv_format.name())?;
        writeln!(f, "; prefill of {prefill} tokens, decode of {decode}\n")?;
        let head = ["cores", "load", "prefill tok/s", "of peak", "decode tok/s", "of bandwidth"];
        line(f, head)
    }
}

impl BenchReport<'_> {
    /// A run as a row of the table.
    pub fn row(&self, run: &BenchRun) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let load = run.load.map_or(NONE.into(), |time| format!("{:.3} s", time.as_secs_f64()));
            let percent = |share: Option<f64>| {
                share.map_or(NONE.into(), |share| format!("{:.0} %", 100.0 * share))
            };
            let of_bandwidth = match run.bandwidth_share(self.plan) {
                Some(share) if share > 1.0 => "runs from cache".into(),
                share => percent(share),
            };
            line(
                f,
                [
                    &run.cores.to_string(),
                    &load,
                    &speed(&run.speeds.prefill),
                    &percent(run.throughput_share(self.plan)),
                    &speed(&run.speeds.decode),
                    &of_bandwidth,
                ],
            )
        })
    }

    /// The machine's limits in a run, what the model reached, and where its time went.
    pub fn details(&self, run: &BenchRun) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let Speeds { decode_ticks, prefill_times, decode_times, .. } = &run.speeds;
            writeln!(f, "\n{} at most, and the model:", cores_phrase(run.cores))?;
            let (plan, limits) = (self.plan, run.limits);
            let giga =
                |rate: Option<f64>| rate.map_or(NONE.into(), |rate| format!("{:.1}", rate / 1e9));
            let [bandwidth, read] = [limits.bandwidth, run.decode_bandwidth(plan)].map(giga);
            writeln!(f, "  memory {bandwidth} GB/s, decode {read} GB/s")?;
            let [peak, done] = [limits.throughput, run.prefill_throughput(plan)].map(giga);
            writeln!(f, "  int8 arithmetic {peak} G products/s, prefill {done} G products/s")?;
            if let Some(ticks) = decode_ticks.mean() {
                writeln!(f, "  {} ticks of the CPU's counter per token", grouped(ticks as u64))?;
            }
            stages(f, prefill_times, decode_times)
        })
    }
}

/// What stands in place of a figure that was not measured.
const NONE: &str = "-";

/// A line of the table.
fn line(f: &mut fmt::Formatter<'_>, columns: [&str; 6]) -> fmt::Result {
    let [cores, load, prefill, of_peak, decode, of_bandwidth] = columns;
    writeln!(f, "{cores:>5} {load:>9} {prefill:>18} {of_peak:>7} {decode:>18} {of_bandwidth:>15}")
}

/// A mean and its standard deviation, as llama-bench shows them.
fn speed(samples: &Samples) -> String {
    match (samples.mean(), samples.deviation()) {
        (Some(mean), Some(deviation)) => format!("{mean:.1} ± {deviation:.1}"),
        (Some(mean), None) => format!("{mean:.1}"),
        (None, _) => NONE.into(),
    }
}

/// Characters of the longest bar.
const BAR: usize = 14;

/// The share of each stage in a pass, with bars.
fn stages(f: &mut fmt::Formatter<'_>, prefill: &Times, decode: &Times) -> fmt::Result {
    writeln!(f, "{:<27} {:>7} {:BAR$}   {:>7}", "share of time", "prefill", "", "decode")?;
    let largest =
        Stage::ALL.into_iter().flat_map(|stage| [share(prefill, stage), share(decode, stage)]);
    let largest = largest.fold(1e-9, f64::max);
    for stage in Stage::ALL {
        let [prefill, decode] = [share(prefill, stage), share(decode, stage)];
        let bar = |share: f64| "=".repeat((share / largest * BAR as f64 + 0.5) as usize);
        let (prefill_bar, decode_bar) = (bar(prefill), bar(decode));
        let line = format!(
            "{:<27} {:>5.1} % {prefill_bar:BAR$}   {:>5.1} % {decode_bar}",
            stage.name(),
            100.0 * prefill,
            100.0 * decode
        );
        writeln!(f, "{}", line.trim_end())?;
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
    use alloc::vec;
    use alloc::vec::Vec;
    use bootllm_engine::KvFormat;
    use bootllm_quant::Encoding;

    fn plan() -> Plan {
        Plan::new(Synthetic::new(&shape("1.1B").unwrap(), Encoding::Q8_0).file).unwrap()
    }

    /// A run in which everything goes at `speed`.
    fn run(cores: usize, speed: f64) -> BenchRun {
        let speeds = Speeds {
            prefill: Samples(vec![speed]),
            decode: Samples(vec![0.5 * speed, 1.5 * speed]),
            decode_ticks: Samples(vec![1e6 * speed]),
            ..Speeds::default()
        };
        let limits = Limits { bandwidth: Some(1e11), throughput: Some(1e13) };
        BenchRun { cores, load: Some(Duration::from_secs(9999)), limits, speeds }
    }

    fn text(plan: &Plan, runs: &[BenchRun]) -> String {
        let (repetitions, enough) = (3, Duration::MAX);
        let (prefill, decode, kv_format) = (131_072, 1024, KvFormat::default());
        let workload = Workload { prefill, decode, repetitions, enough, kv_format };
        let report = BenchReport { name: "1.1B", plan, isa: Isa::NeonDot, workload };
        let rows: String = runs.iter().map(|run| report.row(run).to_string()).collect();
        let details = runs.last().map(|run| report.details(run).to_string());
        report.to_string() + &rows + &details.unwrap_or_default()
    }

    #[test]
    fn a_report_of_one_core_and_all_fits_a_screen() {
        let plan = plan();
        for speed in [0.0, 0.1, 123.4, 9999.9] {
            let text = text(&plan, &[run(1, speed), run(128, speed)]);
            assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
            // The last of 24 rows is the prompt's.
            assert!(text.lines().count() < 24, "{text}");
        }
    }

    #[test]
    fn speeds_are_compared_with_the_limits() {
        let plan = plan();
        let (bytes, parameters) = (plan.weight_bytes_per_token(), plan.file().parameters());
        // Q8_0 has 34 bytes for 32 weights, and the embedding is not the output projection.
        let embedding = 32_000 * 2048;
        let share = bytes as f64 / (parameters - embedding) as f64;
        assert!((share - 34.0 / 32.0).abs() < 0.01, "{share}");
        // A prompt needs neither embedding nor output projection but rows of them.
        let norms = 45 * 2048;
        assert_eq!(plan.products_per_prompt_token(), parameters - 2 * embedding - norms);
        let run = run(1, 20.0);
        let near = |found: Option<f64>, expected: f64| {
            assert!((found.unwrap() / expected - 1.0).abs() < 1e-9, "{found:?} {expected}");
        };
        near(run.bandwidth_share(&plan), 20.0 * bytes as f64 / 1e11);
        near(run.throughput_share(&plan), 20.0 * plan.products_per_prompt_token() as f64 / 1e13);
    }

    #[test]
    fn no_percentage_of_bandwidth_is_above_100_and_none_is_invented() {
        let plan = plan();
        let per_token = plan.weight_bytes_per_token() as f64;
        let cells = |run: &BenchRun| -> Vec<String> {
            let text = text(&plan, core::slice::from_ref(run));
            let row = text.lines().nth(5).unwrap().split_whitespace().map(String::from);
            row.collect()
        };
        assert!(cells(&run(1, 0.99e11 / per_token)).ends_with(&["99".into(), "%".into()]));
        assert!(cells(&run(1, 1.42e11 / per_token)).ends_with(&["cache".into()]));
        let unknown = Limits { bandwidth: None, throughput: None };
        let unknown = BenchRun { limits: unknown, ..run(1, 20.0) };
        assert!(cells(&unknown).ends_with(&["-".into()]));
        let nothing = BenchRun { speeds: Speeds::default(), load: None, ..run(1, 1.0) };
        assert_eq!(cells(&nothing), ["1", "-", "-", "-", "-", "-"]);
    }

    #[test]
    fn ticks_have_separators() {
        let plan = plan();
        let shown = text(&plan, &[run(1, 20.0)]);
        assert!(shown.contains("20,000,000 ticks"), "{shown}");
    }
}
