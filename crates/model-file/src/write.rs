//! Writing model files.

use crate::gguf::{Tokens, Writer};
use crate::llama2c::header;
use crate::{
    Chunk, Config, ConfigError, FileFormat, ModelFile, Part, ReadError, RowError, Version,
    for_each_row,
};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_platform::ReadAt;
use bootllm_quant::Encoding;

/// Where a file is written to, from its first byte to its last.
pub trait Sink {
    /// Takes the next bytes of the file, or says why it cannot.
    fn write(&mut self, bytes: &[u8]) -> Result<(), String>;
}

/// A file in memory.
impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Why a file could not be written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// The model cannot be described in this format.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The rows of the model that is converted could not be read.
    #[error(transparent)]
    Read(#[from] RowError),
    /// The description of the model that is converted could not be read again.
    #[error(transparent)]
    Description(#[from] ReadError),
    /// A weight is too large for the format.
    #[error("a weight in {tensor} is larger than {format} can say; take another format")]
    TooLarge {
        /// Its tensor.
        tensor: String,
        /// The name of the format.
        format: &'static str,
    },
    /// The format can be read but not written.
    #[error("{0} files can be read but not written; choose another format")]
    ReadOnly(&'static str),
    /// The sink could not take the bytes.
    #[error("writing: {0}")]
    Sink(String),
    /// The model has no such tensor.
    #[error("the model lacks a tensor that the format needs: {0:?}, layer {1}")]
    Missing(Part, usize),
}

/// Gives rows to be written: calls the function with each row, in order, of one tensor.
pub type Rows<'a> = dyn FnMut(Part, usize, &mut dyn FnMut(&[f32]) -> Result<(), WriteError>) -> Result<(), WriteError>
    + 'a;

/// Writes a model file in one of llama2.c's formats. `rows` is asked for each tensor in the order of the file and calls back
/// with every row of it, in `f32`.
pub fn write(
    version: Version,
    config: &Config,
    rows: &mut Rows<'_>,
    sink: &mut dyn Sink,
) -> Result<(), WriteError> {
    config.validate()?;
    version.check(config)?;
    sink.write(&header(version, config)).map_err(WriteError::Sink)?;
    for part in version.order() {
        if part == Part::Output && config.shared_classifier {
            continue;
        }
        for layer in 0..if part.in_layers() { config.layers } else { 1 } {
            write_tensor(version, config, (part, layer), rows, sink)?;
        }
        if version.gap_after(config, part) > 0 {
            write_rope_tables(config, sink)?;
        }
    }
    Ok(())
}

/// Writes one tensor: its first plane row by row, then the second, which is kept until then.
fn write_tensor(
    version: Version,
    config: &Config,
    (part, layer): (Part, usize),
    rows: &mut Rows<'_>,
    sink: &mut dyn Sink,
) -> Result<(), WriteError> {
    let shape = version.shape(config, part);
    let encoder = shape.encoder().ok_or(WriteError::ReadOnly(shape.encoding.name()))?;
    let [first, second] = shape.plane_bytes().unwrap_or_default().map(|n| n as usize);
    let mut values = vec![0; first];
    let mut scales = Vec::new();
    rows(part, layer, &mut |row| {
        let start = scales.len();
        scales.resize(start + second, 0);
        encoder.encode_row(row, [&mut values, &mut scales[start..]]);
        sink.write(&values).map_err(WriteError::Sink)
    })?;
    sink.write(&scales).map_err(WriteError::Sink)
}

/// v0's two tables of cosines and sines, (seq_len, head_size / 2) each, which its readers skip.
fn write_rope_tables(config: &Config, sink: &mut dyn Sink) -> Result<(), WriteError> {
    let (head_size, context) = (config.head_size(), config.context);
    let table = bootllm_simd::RopeTable::new(head_size, context, Config::ROPE_BASE)
        .map_err(|_| WriteError::Sink(String::from("no memory for v0's RoPE tables")))?;
    for pick in [|&(cos, _): &(f32, f32)| cos, |&(_, sin): &(f32, f32)| sin] {
        for position in 0..context {
            let turns = table.turns(position).iter().map(pick);
            let bytes: Vec<u8> = turns.flat_map(f32::to_le_bytes).collect();
            sink.write(&bytes).map_err(WriteError::Sink)?;
        }
    }
    Ok(())
}

/// What a model is converted into.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// One of llama2.c's formats.
    Llama2c(Version),
    /// GGUF.
    Gguf {
        /// The format of the matrices.
        weights: Encoding,
        /// The vocabulary that is put into the file if the model's own file has none inside.
        tokens: Option<&'a dyn Tokens>,
    },
}

impl From<Version> for Target<'_> {
    fn from(version: Version) -> Self {
        Target::Llama2c(version)
    }
}

/// Writes the model of a file in another format. `progress` is called with the bytes read so far.
///
/// Floating point keeps every bit if the new format has them; otherwise each weight becomes the
/// nearest that the new format can say. From GGUF to GGUF all other values of the file are kept.
pub fn convert<'a>(
    model: &ModelFile,
    file: &mut dyn ReadAt,
    target: impl Into<Target<'a>>,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(u64),
) -> Result<(), WriteError> {
    let config = &model.config;
    match target.into() {
        Target::Llama2c(version) => {
            with_rows(model, file, progress, &mut |rows| write(version, config, rows, sink))
        }
        Target::Gguf { weights, tokens } => {
            config.validate()?;
            let tokens = tokens.filter(|_| model.vocabulary.is_none());
            let mut writer = Writer { weights, config, sink, written: 0 };
            match model.format {
                FileFormat::Gguf { .. } => writer.values_of(file, tokens)?,
                FileFormat::Llama2c(_) => writer.new_values(tokens)?,
            }
            with_rows(model, file, progress, &mut |rows| writer.tensors(rows))
        }
    }
}

/// Lets `take` ask for the rows of a model.
fn with_rows(
    model: &ModelFile,
    file: &mut dyn ReadAt,
    progress: &mut dyn FnMut(u64),
    take: &mut dyn FnMut(&mut Rows<'_>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut chunk = Chunk::default();
    let mut values = Vec::new();
    let mut done = 0;
    take(&mut |part, layer, each| {
        let tensor = model.tensor(part, layer).ok_or(WriteError::Missing(part, layer))?;
        values.resize(tensor.shape.columns, 0.0);
        for_each_row(file, tensor, &mut chunk, |_, planes| {
            tensor.shape.decode_row(planes, &mut values);
            each(&values)
        })?;
        done += tensor.bytes();
        progress(done);
        Ok(())
    })
}
