//! What a description of a model file may cost.

use crate::ReadError;

/// Bytes that the description of a file may take in memory: metadata, and names and shapes of
/// tensors. The largest models that are published take less than 1 MB; without a limit, a small file
/// that claims a million layers would fill a PC's memory before anything is loaded.
const MOST_BYTES: usize = 16 << 20;

/// How much of that is left.
pub(crate) struct Budget(usize);

impl Budget {
    /// All of it.
    pub(crate) fn new() -> Self {
        Budget(MOST_BYTES)
    }

    /// Takes `bytes` from what is left.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), ReadError> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or(ReadError::DescriptionTooLarge { limit: MOST_BYTES as u64 })?;
        Ok(())
    }
}
