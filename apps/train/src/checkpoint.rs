//! What a run is resumed from: settings, weights and moments, to the last bit.
//!
//! The file: a line that says what it is, the length of the header as a u64 (little-endian), the
//! header as JSON, then weights, first and second moments as little-endian f32, and the SHA-256 of
//! all that.

use crate::fit::{Progress, Settings};
use crate::optimizer::Moments;
use crate::parameters::{Parameters, count};
use anyhow::{Context, Result, bail, ensure};
use bootllm_host::{FileSink, write_whole};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;

/// The checkpoint's name in the folder of its run.
pub const NAME: &str = "checkpoint";

const TITLE: &[u8] = b"bootllm checkpoint 1\n";
/// Values that are turned into bytes at once.
const CHUNK: usize = 1 << 16;

/// Everything that a run goes on from.
pub struct Checkpoint {
    /// What the run was told.
    pub settings: Settings,
    /// How far it has come.
    pub progress: Progress,
    /// The weights.
    pub weights: Parameters,
    /// The optimizer's means.
    pub moments: Moments,
}

#[derive(Serialize, Deserialize)]
struct Header {
    settings: Settings,
    progress: Progress,
}

/// A file whose bytes are hashed on the way.
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

/// Writes a checkpoint. If that fails, the one that was there is still there.
pub fn write(
    path: &Path,
    settings: &Settings,
    progress: &Progress,
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
        for part in [weights, &moments.first, &moments.second] {
            file.write_values(part.values())?;
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

/// Takes the bytes of a checkpoint apart.
pub fn parse(bytes: &[u8]) -> Result<Checkpoint> {
    let Some(rest) = bytes.strip_prefix(TITLE) else {
        bail!("it is not a checkpoint of this version of bootllm-train");
    };
    let cut_short = "it is cut short";
    let (body, hash) = bytes.split_last_chunk::<32>().context(cut_short)?;
    ensure!(Sha256::digest(body)[..] == hash[..], "it is damaged: its checksum is another");
    let (length, rest) = rest.split_first_chunk::<8>().context(cut_short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (header, values) = rest.split_at_checked(length).context(cut_short)?;
    let Header { settings, progress } =
        serde_json::from_slice(header).context("its header makes no sense")?;
    let config = settings.shape.config();
    config.validate()?;
    let values = values.strip_suffix(hash).context(cut_short)?;
    let expected = count(&config).saturating_mul(3 * 4);
    ensure!(
        values.len() == expected,
        "it has {} bytes of weights, its shape asks for {expected}",
        values.len()
    );
    let mut parts = values.chunks_exact(expected / 3).map(|bytes| {
        let mut part = Parameters::zeros(&config);
        for (value, bytes) in part.values_mut().iter_mut().zip(bytes.as_chunks().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        part
    });
    let mut next = || parts.next().context(cut_short);
    let (weights, first, second) = (next()?, next()?, next()?);
    Ok(Checkpoint { settings, progress, weights, moments: Moments { first, second } })
}
