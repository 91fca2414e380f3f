//! Checkpoints: settings, weights and moments from which a run resumes, to the last bit.
//!
//! The file: a title line, the length of the header as a u64 (little-endian), the header as JSON,
//! then weights, first and second moments as little-endian f32, and the SHA-256 of everything before
//! it.

use crate::error::TrainError;
use crate::fit::{RunProgress, RunSettings};
use crate::optimizer::Moments;
use crate::parameters::{Parameters, count};
use anyhow::{Context, Result, bail, ensure};
use bootllm_host::{FileSink, write_whole};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;

/// The checkpoint's file name in the folder of its run.
pub const NAME: &str = "checkpoint";

const TITLE: &[u8] = b"bootllm checkpoint 1\n";
/// Values that are converted to bytes at once.
const CHUNK: usize = 1 << 16;

/// Everything that a run resumes from.
pub struct Checkpoint {
    /// The run's settings.
    pub settings: RunSettings,
    /// How far the run has come.
    pub progress: RunProgress,
    /// The weights.
    pub weights: Parameters,
    /// The optimizer's moments.
    pub moments: Moments,
}

#[derive(Serialize, Deserialize)]
struct Header {
    settings: RunSettings,
    progress: RunProgress,
}

/// A file whose bytes are hashed as they are written.
struct Hashed<'a> {
    sink: &'a mut FileSink,
    hash: Sha256,
}

impl Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        Ok(self.sink.write_all(bytes)?)
    }

    fn write_values(&mut self, values: &[f32]) -> Result<()> {
        let mut bytes = Vec::with_capacity(4 * CHUNK);
        for chunk in values.chunks(CHUNK) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
            self.write(&bytes)?;
        }
        Ok(())
    }
}

/// Writes a checkpoint. If that fails, the previous one is kept.
pub fn write(
    path: &Path,
    settings: &RunSettings,
    progress: &RunProgress,
    weights: &Parameters,
    moments: &Moments,
) -> Result<()> {
    let header = Header { settings: settings.clone(), progress: *progress };
    let header = serde_json::to_vec(&header)?;
    write_whole(path, |sink| {
        let mut file = Hashed { sink, hash: Sha256::new() };
        file.write(TITLE)?;
        file.write(&(header.len() as u64).to_le_bytes())?;
        file.write(&header)?;
        for parameters in [weights, &moments.first, &moments.second] {
            file.write_values(parameters.values())?;
        }
        let hash = file.hash.finalize();
        Ok(sink.write_all(&hash)?)
    })?;
    Ok(())
}

/// Reads a checkpoint.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(name)?;
    parse(&bytes).with_context(name)
}

/// Parses the bytes of a checkpoint.
pub fn parse(bytes: &[u8]) -> Result<Checkpoint> {
    let Some(rest) = bytes.strip_prefix(TITLE) else {
        bail!(TrainError::NotACheckpoint);
    };
    let cut_short = || TrainError::CheckpointCutShort;
    let (body, hash) = bytes.split_last_chunk::<32>().with_context(cut_short)?;
    ensure!(Sha256::digest(body)[..] == hash[..], TrainError::CheckpointDamaged);
    let (length, rest) = rest.split_first_chunk::<8>().with_context(cut_short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (header, values) = rest.split_at_checked(length).with_context(cut_short)?;
    let Header { settings, progress } =
        serde_json::from_slice(header).context(TrainError::CheckpointHeader)?;
    let config = settings.shape.config();
    config.validate()?;
    let values = values.strip_suffix(hash).with_context(cut_short)?;
    let expected = count(&config).saturating_mul(3 * 4);
    let found = values.len();
    ensure!(found == expected, TrainError::CheckpointSize { found, expected });
    let mut thirds = values.chunks_exact(expected / 3).map(|bytes| {
        let mut parameters = Parameters::zeros(&config);
        for (value, bytes) in parameters.values_mut().iter_mut().zip(bytes.as_chunks().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        parameters
    });
    let mut next = || thirds.next().with_context(cut_short);
    let (weights, first, second) = (next()?, next()?, next()?);
    Ok(Checkpoint { settings, progress, weights, moments: Moments { first, second } })
}
