//! Architectures: one file each, and one line in the table.
//!
//! An architecture's file says which metadata it needs and how each value is checked, which tensors
//! of which shapes, what state it keeps per sequence and which activations, and what its forward
//! pass is. Tensor names and metadata keys of an architecture are in its file and nowhere else.

mod llama;
mod qwen2;

use crate::pass::{Pass, Stopped};
use crate::planner::{ModelShape, PlanError, Planner};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A model's computation, in handles that its plan gave out.
pub(crate) trait Architecture: Send + Sync {
    /// Takes the rows of a pass through all layers, storing their keys and values.
    ///
    /// # Errors
    /// The pass was stopped between two layers.
    fn forward(&self, pass: &mut Pass<'_>) -> Result<(), Stopped>;

    /// After that: writes the logits of the wanted rows of the pass, (wanted, vocabulary).
    fn output_logits(&self, pass: &mut Pass<'_>, wanted: &[usize], logits: &mut [f32]);
}

/// Makes an architecture's computation out of a file, and says what the model is.
type PlanFn = fn(&mut Planner<'_>) -> Result<(Box<dyn Architecture>, ModelShape), PlanError>;

/// The table of architectures: their names in GGUF, and how each plans.
const ARCHITECTURES: &[(&str, PlanFn)] = &[("llama", llama::plan), ("qwen2", qwen2::plan)];

/// Plans the computation of a file.
pub(crate) fn plan(
    planner: &mut Planner<'_>,
) -> Result<(Box<dyn Architecture>, ModelShape), PlanError> {
    let name = planner.architecture();
    match ARCHITECTURES.iter().find(|(known, _)| *known == name) {
        Some((_, plan)) => plan(planner),
        None => {
            Err(PlanError::Architecture { found: name.chars().take(48).collect(), known: names() })
        }
    }
}

/// The names of all architectures, for a message.
fn names() -> String {
    let names: Vec<&str> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}
