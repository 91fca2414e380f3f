//! How a run goes, on standard error: a line that is overwritten, where that is a terminal, and a
//! permanent one now and then.

use bootllm_host::eprint_line;
use bootllm_train::fit::{BEST, RunEvent, RunProgress, RunSettings};
use bootllm_train::log::LogEntry;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two versions of the line that is overwritten.
const REDRAW_EVERY: Duration = Duration::from_millis(200);
/// Time between permanent lines where there is no terminal.
const PRINT_EVERY: Duration = Duration::from_secs(30);
/// Characters of a sample that are shown.
const SAMPLE_CHARACTERS: usize = 400;

/// Shows the events of a run.
pub struct ProgressDisplay {
    steps: u64,
    patience: Option<u64>,
    /// The file of the best weights.
    best: PathBuf,
    is_terminal: bool,
    drawn: Option<Instant>,
    printed: Instant,
    /// The loss, averaged over the last steps.
    loss: Option<f64>,
}

impl ProgressDisplay {
    /// Nothing is shown yet.
    pub fn new(settings: &RunSettings, folder: &Path) -> Self {
        ProgressDisplay {
            steps: settings.steps,
            patience: settings.patience,
            best: folder.join(BEST),
            is_terminal: std::io::stderr().is_terminal(),
            drawn: None,
            printed: Instant::now(),
            loss: None,
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Step(entry, left) => {
                // The loss of a single step is noisy.
                let loss = self.loss.map_or(entry.loss, |loss| 0.95 * loss + 0.05 * entry.loss);
                self.loss = Some(loss);
                let left = left.map_or(String::new(), |left| format!(", {} left", rough(left)));
                self.draw(&format!(
                    "step {}/{}, epoch {:.2}, loss {loss:.3}, {:.0} tokens/s{left}",
                    entry.step, self.steps, entry.epoch, entry.tokens_per_second
                ));
            }
            RunEvent::Evaluation { entry, progress, sample } => {
                self.clear();
                self.evaluation(entry, progress);
                let sample: String = sample.chars().take(SAMPLE_CHARACTERS).collect();
                eprint_line(&format!("  {}", sample.trim().replace('\n', "\n  ")));
            }
        }
    }

    /// The held-out loss, and how it compares with the best.
    fn evaluation(&self, entry: &LogEntry, progress: &RunProgress) {
        let Some(held_out) = entry.held_out else { return };
        let standing = match (progress.best, progress.best_step) {
            (_, Some(step)) if step == entry.step => {
                format!("best so far, kept in {}", self.best.display())
            }
            (Some(best), step) => {
                let at = step.map_or(String::new(), |step| format!(" at step {step}"));
                let waited = progress.evaluations_since_best;
                let limit = self.patience.map_or(String::new(), |limit| format!(" of {limit}"));
                format!("best {best:.4}{at}; evaluations without a better one: {waited}{limit}")
            }
            (None, _) => String::from("not a number"),
        };
        eprint_line(&format!(
            "step {}: held-out loss {:.4}, {:.4} bits per byte ({standing})",
            entry.step, held_out.loss, held_out.bits
        ));
    }

    fn draw(&mut self, line: &str) {
        if !self.is_terminal {
            if self.printed.elapsed() > PRINT_EVERY {
                eprint_line(line);
                self.printed = Instant::now();
            }
        } else if self.drawn.is_none_or(|at| at.elapsed() > REDRAW_EVERY) {
            let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
            self.drawn = Some(Instant::now());
        }
    }

    /// Removes the line that is overwritten.
    pub fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// A duration in the largest units that matter.
fn rough(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{} s", time.as_secs()),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
