//! Plots the losses of runs as SVG.

use crate::error::TrainError;
use crate::log::LogEntry;
use anyhow::{Result, ensure};
use bootllm_units::count;
use plotters::prelude::*;

/// Width and height of the chart.
const SIZE: (u32, u32) = (960, 560);
/// Colours that can be distinguished with any colour vision (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x44, 0x44, 0x44),
];
const TEXT: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
const FONT: &str = "sans-serif";
/// The most points of a line; more would not be visible.
const POINTS: usize = 1000;
/// The most markers of a line.
const MARKERS: usize = 40;
/// The share of a chart's width whose values may exceed its top: in the first steps the loss falls
/// further than in all others together.
const START: f64 = 0.02;

/// A run and its log.
pub struct RunLog {
    /// Its name in the legend.
    pub name: String,
    /// Its log.
    pub entries: Vec<LogEntry>,
}

/// The horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Optimizer steps.
    Step,
    /// Tokens trained on.
    Tokens,
    /// Passes over the corpus.
    Epoch,
}

/// The vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Training and held-out loss, in nats per token.
    Loss,
    /// Held-out loss in bits per byte, which can be compared between tokenizers.
    Bits,
}

type Point = (f64, f64);

/// The lines of a run.
struct Curves {
    /// The loss of every step.
    raw: Vec<Point>,
    /// The smoothed loss of every step.
    training: Vec<Point>,
    held_out: Vec<Point>,
}

/// Draws the runs in one chart, as SVG.
pub fn draw(runs: &[RunLog], axis: Axis, measure: Measure) -> Result<String> {
    let curves: Vec<Curves> =
        runs.iter().map(|run| Curves::of(run, axis, measure)).collect::<Result<_>>()?;
    // One band of noise is readable, several on top of each other are not.
    let with_noise = runs.len() == 1;
    let right = curves.iter().flat_map(Curves::lines).fold(0.0f64, |most, p| most.max(p.0));
    let right = if right > 0.0 { right } else { 1.0 };
    let (mut bottom, top) = vertical_range(&curves, right);
    if with_noise {
        bottom = curves.iter().flat_map(|c| &c.raw).fold(bottom, |least, p| least.min(p.1));
    }

    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let what = match measure {
        Measure::Loss => "loss while training",
        Measure::Bits => "held-out loss while training",
    };
    let title = match runs {
        [run] => format!("{}: {what}", short(&run.name)),
        _ => what[..1].to_uppercase() + &what[1..],
    };
    let mut chart = ChartBuilder::on(&area)
        .caption(title, (FONT, 20).into_font().color(&TEXT))
        .margin(16)
        .margin_right(28)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, bottom..top)?;
    chart
        .configure_mesh()
        .x_desc(match axis {
            Axis::Step => "steps",
            Axis::Tokens => "tokens trained on",
            Axis::Epoch => "epochs",
        })
        .y_desc(match measure {
            Measure::Loss => "loss (nats per token)",
            Measure::Bits => "loss (bits per byte)",
        })
        .x_label_formatter(&|&value| match axis {
            Axis::Tokens => count(value as u64),
            Axis::Step | Axis::Epoch => number(value),
        })
        .y_label_formatter(&|&value| number(value))
        .axis_desc_style((FONT, 15).into_font().color(&TEXT))
        .label_style((FONT, 13).into_font().color(&TEXT))
        .axis_style(TEXT.mix(0.6))
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;

    // The legend: the two kinds of lines, then the colours of the runs.
    if measure == Measure::Loss {
        let grey = COLOURS[COLOURS.len() - 1];
        chart
            .draw_series(LineSeries::new([], grey.mix(0.5).stroke_width(2)))?
            .label("training, smoothed")
            .legend(move |(x, y)| segment(x, y, grey.mix(0.5).stroke_width(2)));
        chart.draw_series(LineSeries::new([], grey.stroke_width(2)))?.label("held out").legend(
            move |at| {
                let line = PathElement::new([(0, 0), (26, 0)], grey.stroke_width(2));
                let inside = Circle::new((13, 0), 3, WHITE.filled());
                EmptyElement::at(at) + line + inside + Circle::new((13, 0), 3, grey.stroke_width(2))
            },
        );
    }
    for (index, (run, curves)) in runs.iter().zip(&curves).enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let below = |points: &[Point]| below(points, top);
        if with_noise {
            for part in below(&thinned(&curves.raw)) {
                chart.draw_series(LineSeries::new(part, colour.mix(0.15)))?;
            }
        }
        for part in below(&every(&curves.training, POINTS)) {
            chart.draw_series(LineSeries::new(part, colour.mix(0.5).stroke_width(2)))?;
        }
        for part in below(&every(&curves.held_out, POINTS)) {
            chart.draw_series(LineSeries::new(part, colour.stroke_width(2)))?;
        }
        let mut markers = every(&curves.held_out, MARKERS);
        markers.retain(|point| point.1 <= top);
        for style in [WHITE.filled(), colour.stroke_width(2)] {
            chart.draw_series(markers.iter().map(|&point| Circle::new(point, 3, style)))?;
        }
        let best = curves.best();
        let label = match best {
            Some((_, best)) => format!("{}, best held-out loss {best:.4}", short(&run.name)),
            None => short(&run.name),
        };
        chart
            .draw_series(best.map(|point| Circle::new(point, 5, colour.filled())))?
            .label(label)
            .legend(move |(x, y)| segment(x, y, colour.stroke_width(4)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(12)
        .legend_area_size(34)
        .background_style(WHITE.mix(0.9))
        .border_style(GRID)
        .label_font((FONT, 14).into_font().color(&TEXT))
        .draw()?;
    drop(chart);
    drop(area);
    Ok(svg)
}

fn segment(x: i32, y: i32, style: ShapeStyle) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 26, y)], style)
}

impl Curves {
    fn of(run: &RunLog, axis: Axis, measure: Measure) -> Result<Self> {
        let x = |entry: &LogEntry| match axis {
            Axis::Step => entry.step as f64,
            Axis::Tokens => entry.tokens as f64,
            Axis::Epoch => entry.epoch,
        };
        let finite = |point: &Point| point.0.is_finite() && point.1.is_finite();
        let held_out = run.entries.iter().filter_map(|entry| {
            let held_out = entry.held_out?;
            Some((x(entry), if measure == Measure::Loss { held_out.loss } else { held_out.bits }))
        });
        let held_out: Vec<Point> = held_out.filter(finite).collect();
        let raw: Vec<Point> = match measure {
            Measure::Loss => run.entries.iter().map(|e| (x(e), e.loss)).filter(finite).collect(),
            Measure::Bits => Vec::new(),
        };
        let name = || run.name.clone();
        ensure!(!run.entries.is_empty(), TrainError::NoSteps(name()));
        ensure!(measure == Measure::Loss || !held_out.is_empty(), TrainError::NotEvaluated(name()));
        ensure!(!(raw.is_empty() && held_out.is_empty()), TrainError::NoFiniteLoss(name()));
        Ok(Curves { training: smoothed(&raw), raw, held_out })
    }

    /// The points that must be visible.
    fn lines(&self) -> impl Iterator<Item = &Point> {
        self.training.iter().chain(&self.held_out)
    }

    fn best(&self) -> Option<Point> {
        self.held_out.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Smooths a loss with weights that decay exponentially to both sides, by a factor of e in a
/// hundredth of the run. (A mean over the past alone lags where the loss falls fast.)
fn smoothed(points: &[Point]) -> Vec<Point> {
    let keep = (-1.0 / (points.len() as f64 / 100.0).max(1.0)).exp();
    let sums = |points: &mut dyn Iterator<Item = &Point>| {
        let step = |state: &mut Point, &(_, y): &Point| {
            *state = (keep * state.0 + y, keep * state.1 + 1.0);
            Some(*state)
        };
        points.scan((0.0, 0.0), step).collect::<Vec<Point>>()
    };
    let past = sums(&mut points.iter());
    let mut future = sums(&mut points.iter().rev());
    future.reverse();
    // Both sums include the step itself.
    let mean = |((&(x, y), past), future): ((&Point, &Point), &Point)| {
        (x, (past.0 + future.0 - y) / (past.1 + future.1 - 1.0))
    };
    points.iter().zip(&past).zip(&future).map(mean).collect()
}

/// The vertical range of the chart: all values but those of the first steps, and a margin.
fn vertical_range(curves: &[Curves], right: f64) -> (f64, f64) {
    let all = || curves.iter().flat_map(Curves::lines);
    let least = all().fold(f64::INFINITY, |least, point| least.min(point.1));
    let most = |from: f64| {
        let values = all().filter(|point| point.0 >= from).map(|point| point.1);
        values.fold(f64::NEG_INFINITY, f64::max)
    };
    // There may be only first steps.
    let most = if most(START * right) > least { most(START * right) } else { most(0.0) };
    let room = 0.05 * (most - least).max(0.01 * least.abs()).max(1e-6);
    (least - room, most + room)
}

/// The segments of a line below the top, cut where it crosses.
fn below(points: &[Point], top: f64) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut before: Option<Point> = None;
    for &point in points {
        let crossing =
            before.filter(|before| (before.1 <= top) != (point.1 <= top)).map(|before| {
                let share = (top - before.1) / (point.1 - before.1);
                (before.0 + share * (point.0 - before.0), top)
            });
        if point.1 <= top {
            if before.is_none_or(|before| before.1 > top) {
                parts.push(crossing.into_iter().collect());
            }
            parts.last_mut().expect("a segment has been started").push(point);
        } else if let (Some(crossing), Some(part)) = (crossing, parts.last_mut()) {
            part.push(crossing);
        }
        before = Some(point);
    }
    parts
}

/// At most `most` of the points, including the last.
fn every(points: &[Point], most: usize) -> Vec<Point> {
    let stride = points.len().div_ceil(most).max(1);
    let skipped = points.len().saturating_sub(1) % stride;
    points.iter().skip(skipped).step_by(stride).copied().collect()
}

/// A noisy line with fewer points that fills the same band: the minimum and maximum of each stretch.
fn thinned(points: &[Point]) -> Vec<Point> {
    if points.len() <= 2 * POINTS {
        return points.to_vec();
    }
    let ends = |stretch: &[Point]| {
        let by_value = |a: &&Point, b: &&Point| a.1.total_cmp(&b.1);
        let least = stretch.iter().min_by(by_value).copied();
        let most = stretch.iter().max_by(by_value).copied();
        [least, most].into_iter().flatten().collect::<Vec<Point>>()
    };
    points.chunks(points.len().div_ceil(POINTS)).flat_map(ends).collect()
}

/// Formats a number of an axis without digits that come from rounding errors.
fn number(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    // Not -0.
    format!("{}", rounded + 0.0)
}

/// Shortens a long name to its end, where names differ.
fn short(name: &str) -> String {
    let length = name.chars().count();
    match length.checked_sub(40) {
        None | Some(0) => name.into(),
        Some(more) => format!("…{}", name.chars().skip(more + 1).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::HeldOutLoss;

    /// A run whose loss falls from 8 to 1, evaluated every tenth step.
    fn run(name: &str, steps: u64) -> RunLog {
        let entry = |step: u64| {
            let loss = 1.0 + 7.0 / (step as f64).sqrt();
            let held_out = step
                .is_multiple_of(10)
                .then_some(HeldOutLoss { loss: loss + 0.1, bits: loss / 2.0 });
            LogEntry {
                step,
                epoch: step as f64 / 100.0,
                tokens: 4096 * step,
                loss,
                held_out,
                learning_rate: 1e-3,
                gradient_norm: 1.0,
                tokens_per_second: 1000.0,
            }
        };
        RunLog { name: name.into(), entries: (1..=steps).map(entry).collect() }
    }

    #[test]
    fn charts_name_runs_and_their_best_losses() {
        let svg = draw(&[run("a<b>&c", 100)], Axis::Step, Measure::Loss).unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        // In the title and in the legend.
        assert_eq!(svg.matches("a&lt;b&gt;&amp;c").count(), 2);
        assert_eq!(svg.matches("1.8000").count(), 1);
        let svg = draw(&[run("a", 100), run("b", 70)], Axis::Tokens, Measure::Bits).unwrap();
        for text in ["0.8500", "0.9183", "300.0 k", "#0072B2", "#D55E00"] {
            assert!(svg.contains(text), "{text:?} is not in {svg}");
        }
    }

    #[test]
    fn long_runs_give_small_files_within_the_frame() {
        let svg = draw(&[run("long", 100_000)], Axis::Epoch, Measure::Loss).unwrap();
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
        let points = svg.split("points=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let numbers = points.flat_map(|points| points.split([' ', ','])).filter(|n| !n.is_empty());
        let largest = numbers.map(|number| number.parse::<i64>().unwrap()).inspect(|&number| {
            assert!(number >= 0, "{number}");
        });
        assert!(largest.max().unwrap() <= SIZE.0.into());
    }

    #[test]
    fn unusual_logs_are_drawn() {
        let nan = |mut run: RunLog, steps: std::ops::Range<usize>| {
            run.entries[steps].iter_mut().for_each(|entry| entry.loss = f64::NAN);
            run
        };
        let mut infinite = run("infinite", 9);
        infinite.entries[4].loss = f64::INFINITY;
        for run in [run("one step", 1), nan(run("diverged", 30), 20..30), infinite] {
            let svg = draw(&[run], Axis::Step, Measure::Loss).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf\"") && svg.contains("polyline"));
        }
        let refused = |run: RunLog, measure| {
            draw(&[run], Axis::Step, measure).unwrap_err().downcast::<TrainError>().unwrap()
        };
        let empty = RunLog { name: "new".into(), entries: Vec::new() };
        assert_eq!(refused(empty, Measure::Loss), TrainError::NoSteps("new".into()));
        let young = refused(run("young", 9), Measure::Bits);
        assert_eq!(young, TrainError::NotEvaluated("young".into()));
        let lost = refused(nan(run("lost", 5), 0..5), Measure::Loss);
        assert_eq!(lost, TrainError::NoFiniteLoss("lost".into()));
    }

    #[test]
    fn smoothing_does_not_lag() {
        // A straight line stays straight except near its ends; a jump keeps its middle.
        let line: Vec<Point> = (0..1000).map(|x| (x.into(), 2.0 * f64::from(x))).collect();
        let mean = smoothed(&line);
        assert!((300..700).all(|x| (mean[x].1 - line[x].1).abs() < 1e-6));
        let jump: Vec<Point> =
            (0..1001).map(|x| (x.into(), f64::from(x.cmp(&500) as i8))).collect();
        let mean = smoothed(&jump);
        assert!(mean[500].1.abs() < 1e-9 && mean[480].1 < -0.5 && mean[520].1 > 0.5);
        assert_eq!(smoothed(&[(1.0, 5.0)]), [(1.0, 5.0)]);
        assert!(smoothed(&[]).is_empty());
    }

    #[test]
    fn lines_are_cut_at_the_top() {
        let points = [(0.0, 4.0), (1.0, 0.0), (2.0, 1.0), (3.0, 3.0), (4.0, 5.0), (5.0, 2.0)];
        let parts = below(&points, 2.0);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0], [(0.5, 2.0), (1.0, 0.0), (2.0, 1.0), (2.5, 2.0)]);
        assert_eq!(parts[1], [(5.0, 2.0), (5.0, 2.0)]);
        assert!(below(&points[3..5], 2.0).is_empty());
    }

    #[test]
    fn thinning_keeps_the_last_point_and_the_extremes() {
        let points: Vec<Point> = (0..9999).map(|x| (x.into(), f64::from(x % 7))).collect();
        for most in [1, 2, 3, 40, 1000, 20_000] {
            let kept = every(&points, most);
            assert!(kept.len() <= most && kept.last() == points.last(), "{most}");
        }
        assert!(every(&[], 5).is_empty());
        let band = thinned(&points);
        assert!(band.len() <= 2 * POINTS);
        assert!(band.chunks(2).all(|ends| ends[0].1 == 0.0 && ends[1].1 == 6.0));
    }
}
