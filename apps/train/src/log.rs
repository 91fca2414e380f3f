//! The log of a run: comma-separated values, one line per step.

use crate::error::TrainError;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// The log's file name in the folder of its run.
pub const NAME: &str = "log.csv";

/// The first line of a log.
pub const HEADER: &str = "step,epoch,tokens,loss,held_out_loss,held_out_bits,\
                          learning_rate,gradient_norm,tokens_per_second";

/// A line of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogEntry {
    /// Optimizer steps so far.
    pub step: u64,
    /// Passes over the corpus so far.
    pub epoch: f64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Mean loss per token of this step, in nats.
    pub loss: f64,
    /// The held-out losses after this step, if they were evaluated.
    pub held_out: Option<HeldOutLoss>,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Speed of this step.
    pub tokens_per_second: f64,
}

/// Losses on the held-out text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOutLoss {
    /// Mean loss per token, in nats.
    pub loss: f64,
    /// Bits per byte of text, which can be compared between tokenizers.
    pub bits: f64,
}

impl LogEntry {
    /// The line, without its line end.
    pub fn to_line(&self) -> String {
        let held_out = self.held_out.map_or(",".into(), |h| format!("{:.6},{:.6}", h.loss, h.bits));
        format!(
            "{},{:.4},{},{:.6},{held_out},{:.4e},{:.6},{:.0}",
            self.step,
            self.epoch,
            self.tokens,
            self.loss,
            self.learning_rate,
            self.gradient_norm,
            self.tokens_per_second
        )
    }

    fn parse(line: &str) -> Result<LogEntry> {
        let fields: Vec<&str> = line.split(',').collect();
        let names: Vec<&'static str> = HEADER.split(',').collect();
        let (found, expected) = (fields.len(), names.len());
        ensure!(found == expected, TrainError::LogFields { found, expected });
        let not_a_number = |index: usize, integer| TrainError::LogNumber {
            column: names[index],
            text: fields[index].into(),
            integer,
        };
        let integer =
            |index: usize| fields[index].parse::<u64>().map_err(|_| not_a_number(index, true));
        let number =
            |index: usize| fields[index].parse::<f64>().map_err(|_| not_a_number(index, false));
        let held_out = match (fields[4], fields[5]) {
            ("", "") => None,
            _ => Some(HeldOutLoss { loss: number(4)?, bits: number(5)? }),
        };
        Ok(LogEntry {
            step: integer(0)?,
            epoch: number(1)?,
            tokens: integer(2)?,
            loss: number(3)?,
            held_out,
            learning_rate: number(6)?,
            gradient_norm: number(7)?,
            tokens_per_second: number(8)?,
        })
    }
}

/// Reads a log. A last line that is incomplete is skipped: it is being written, or was when the
/// program was killed.
pub fn read(path: &Path) -> Result<Vec<LogEntry>> {
    let text = bootllm_host::read_text(path)?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<LogEntry>> {
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut lines = text.split_inclusive('\n').zip(1..).peekable();
    let first = lines.next().map_or("", |(line, _)| line.trim_end());
    if first != HEADER {
        let found: String = first.chars().take(40).collect();
        bail!(TrainError::NotALog { found, header: HEADER });
    }
    while let Some((line, number)) = lines.next() {
        match LogEntry::parse(line.trim_end()) {
            Ok(entry) => {
                if let Some(last) = entries.last().filter(|last| last.step >= entry.step) {
                    let order = TrainError::LogOrder { step: entry.step, last: last.step };
                    bail!(anyhow::Error::new(order).context(TrainError::LogLine(number)));
                }
                entries.push(entry);
            }
            Err(_) if lines.peek().is_none() && !line.ends_with('\n') => {}
            Err(error) => return Err(error.context(TrainError::LogLine(number))),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "1,0.0010,4096,7.624619,,,2.0000e-5,1.250000,4130\n\
                         2,0.0020,8192,7.500000,7.400000,3.512000,4.0000e-5,1.125000,4200\n";

    fn log(lines: &str) -> String {
        format!("{HEADER}\n{lines}")
    }

    /// The line that is refused, and why.
    fn refused(lines: &str) -> (TrainError, TrainError) {
        let error = parse(&log(lines)).unwrap_err();
        let cause = error.root_cause().downcast_ref::<TrainError>().unwrap().clone();
        (error.downcast().unwrap(), cause)
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let entries = parse(&log(LINES)).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].step, entries[0].loss, entries[0].held_out), (1, 7.624619, None));
        assert_eq!(entries[1].held_out, Some(HeldOutLoss { loss: 7.4, bits: 3.512 }));
        assert_eq!((entries[1].learning_rate, entries[1].tokens_per_second), (4e-5, 4200.0));
        let lines: String = entries.iter().map(|entry| entry.to_line() + "\n").collect();
        assert_eq!(lines, LINES);
        assert_eq!(parse(&log(LINES).replace('\n', "\r\n")).unwrap(), entries);
    }

    #[test]
    fn a_loss_of_nan_is_kept() {
        let entry = LogEntry { loss: f64::NAN, ..parse(&log(LINES)).unwrap()[0] };
        let entries = parse(&log(&(entry.to_line() + "\n"))).unwrap();
        assert!(entries[0].loss.is_nan());
    }

    #[test]
    fn an_incomplete_last_line_is_skipped() {
        for cut in 1..LINES.len() {
            let entries = parse(&log(&LINES[..cut])).unwrap();
            let ended = LINES[..cut].matches('\n').count();
            assert!((ended..=ended + 1).contains(&entries.len()), "cut at {cut}: {entries:?}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for text in ["", "\n", "a,b\n1,2\n"] {
            let error = parse(text).unwrap_err().downcast().unwrap();
            assert!(matches!(error, TrainError::NotALog { .. }), "{error:?}");
        }
        let fields = |found| TrainError::LogFields { found, expected: 9 };
        let number = |column, text: &str, integer| TrainError::LogNumber {
            column,
            text: text.into(),
            integer,
        };
        for (lines, line, cause) in [
            ("1,2,3\n", 2, fields(3)),
            ("\n1,2,3\n", 2, fields(1)),
            (&LINES.replace("7.500000", "low"), 3, number("loss", "low", false)),
            (&LINES.replace("8192", "-1"), 3, number("tokens", "-1", true)),
            (&LINES.replace("7.400000,", ","), 3, number("held_out_loss", "", false)),
            (&LINES.repeat(2), 4, TrainError::LogOrder { step: 1, last: 2 }),
        ] {
            assert_eq!(refused(lines), (TrainError::LogLine(line), cause));
        }
    }
}
