//! The log of a run: a table as comma-separated values, a line a step, that spreadsheets read too.

use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// The log's name in the folder of its run.
pub const NAME: &str = "log.csv";

/// The first line of a log.
pub const HEADER: &str = "step,epoch,tokens,loss,held_out_loss,held_out_bits,\
                          learning_rate,gradient_norm,tokens_per_second";

/// A line of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Updates of the weights so far.
    pub step: u64,
    /// How often the corpus has been read so far.
    pub epoch: f64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Mean loss of the tokens of this step, in nats; NaN where none was computed.
    pub loss: f64,
    /// What was measured on the held-out text after this step, if it was.
    pub held_out: Option<HeldOut>,
    /// The rate of this step.
    pub learning_rate: f64,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// Speed since the line before.
    pub tokens_per_second: f64,
}

/// How well the held-out text is foreseen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOut {
    /// Mean loss a token, in nats.
    pub loss: f64,
    /// Bits a byte of text, which can be compared between tokenizers.
    pub bits: f64,
}

impl Entry {
    /// The line, without its end.
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

    fn parse(line: &str) -> Result<Entry> {
        let fields: Vec<&str> = line.split(',').collect();
        let names: Vec<&str> = HEADER.split(',').collect();
        ensure!(fields.len() == names.len(), "{} fields, not {}", fields.len(), names.len());
        let whole = |index: usize| {
            fields[index].parse::<u64>().ok().with_context(|| {
                format!("{} is \"{}\", not a whole number", names[index], fields[index])
            })
        };
        let number = |index: usize| {
            fields[index]
                .parse::<f64>()
                .ok()
                .with_context(|| format!("{} is \"{}\", not a number", names[index], fields[index]))
        };
        let held_out = match (fields[4], fields[5]) {
            ("", "") => None,
            _ => Some(HeldOut { loss: number(4)?, bits: number(5)? }),
        };
        Ok(Entry {
            step: whole(0)?,
            epoch: number(1)?,
            tokens: whole(2)?,
            loss: number(3)?,
            held_out,
            learning_rate: number(6)?,
            gradient_norm: number(7)?,
            tokens_per_second: number(8)?,
        })
    }
}

/// Reads a log. A last line that has no end and makes no sense is one that is just being written,
/// or was when the program was killed: it is passed over.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = bootllm_host::read_text(path)?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut lines = text.split_inclusive('\n').zip(1..).peekable();
    let first = lines.next().map_or("", |(line, _)| line.trim_end());
    if first != HEADER {
        let found: String = first.chars().take(40).collect();
        bail!("it is not the log of a run: it begins with \"{found}\", not with \"{HEADER}\"");
    }
    while let Some((line, number)) = lines.next() {
        match Entry::parse(line.trim_end()) {
            Ok(entry) => {
                if let Some(last) = entries.last().filter(|last| last.step >= entry.step) {
                    bail!("line {number}: step {} comes after step {}", entry.step, last.step);
                }
                entries.push(entry);
            }
            Err(_) if lines.peek().is_none() && !line.ends_with('\n') => {}
            Err(error) => return Err(error.context(format!("line {number}"))),
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

    fn refused(lines: &str) -> String {
        format!("{:#}", parse(&log(lines)).unwrap_err())
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let entries = parse(&log(LINES)).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].step, entries[0].loss, entries[0].held_out), (1, 7.624619, None));
        assert_eq!(entries[1].held_out, Some(HeldOut { loss: 7.4, bits: 3.512 }));
        assert_eq!((entries[1].learning_rate, entries[1].tokens_per_second), (4e-5, 4200.0));
        let lines: String = entries.iter().map(|entry| entry.to_line() + "\n").collect();
        assert_eq!(lines, LINES);
        assert_eq!(parse(&log(LINES).replace('\n', "\r\n")).unwrap(), entries);
    }

    #[test]
    fn a_loss_that_is_no_number_is_kept() {
        let entry = Entry { loss: f64::NAN, ..parse(&log(LINES)).unwrap()[0] };
        let entries = parse(&log(&(entry.to_line() + "\n"))).unwrap();
        assert!(entries[0].loss.is_nan());
    }

    #[test]
    fn a_line_that_is_just_being_written_is_passed_over() {
        for cut in 1..LINES.len() {
            let entries = parse(&log(&LINES[..cut])).unwrap();
            let ended = LINES[..cut].matches('\n').count();
            assert!((ended..=ended + 1).contains(&entries.len()), "cut at {cut}: {entries:?}");
        }
    }

    #[test]
    fn what_is_no_log_is_refused_with_the_line() {
        for text in ["", "\n", "a,b\n1,2\n"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("it is not the log of a run"), "{error}");
        }
        assert_eq!(refused("1,2,3\n"), "line 2: 3 fields, not 9");
        assert_eq!(refused("\n1,2,3\n"), "line 2: 1 fields, not 9");
        let wrong = LINES.replace("7.500000", "low");
        assert_eq!(refused(&wrong), "line 3: loss is \"low\", not a number");
        let wrong = LINES.replace("8192", "-1");
        assert_eq!(refused(&wrong), "line 3: tokens is \"-1\", not a whole number");
        let wrong = LINES.replace("7.400000,", ",");
        assert_eq!(refused(&wrong), "line 3: held_out_loss is \"\", not a number");
        assert_eq!(refused(&LINES.repeat(2)), "line 4: step 1 comes after step 2");
    }
}
