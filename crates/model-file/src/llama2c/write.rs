//! Writing llama2.c's formats.

use super::{Config, HEADER, MAGIC, TensorRole, Version, layers_of};
use crate::{Rows, Sink, WriteError};
use alloc::vec;
use alloc::vec::Vec;

/// Writes a model file in one of llama2.c's formats. `rows` is asked for each tensor in the order of
/// the file and gives its rows in `f32`.
///
/// # Errors
/// A shape that the format cannot hold, and errors of `rows` and `sink`.
pub fn write(
    version: Version,
    config: &Config,
    rows: &mut Rows<'_>,
    sink: &mut dyn Sink,
) -> Result<(), WriteError> {
    config.validate()?;
    version.check(config)?;
    sink.write(&header(version, config)).map_err(WriteError::Sink)?;
    for role in version.roles(config) {
        for layer in 0..layers_of(role, config) {
            write_tensor(version, config, (role, layer), rows, sink)?;
        }
        if version.gap_after(config, role) > 0 {
            write_rope_tables(config, sink)?;
        }
    }
    Ok(())
}

/// Writes one tensor: its first plane row by row, then the second, which is kept until then.
fn write_tensor(
    version: Version,
    config: &Config,
    (role, layer): (TensorRole, usize),
    rows: &mut Rows<'_>,
    sink: &mut dyn Sink,
) -> Result<(), WriteError> {
    let shape = version.shape(config, role);
    let encoder = shape.encoder().ok_or(WriteError::ReadOnly(shape.encoding.name()))?;
    let [first, second] = shape.plane_bytes().unwrap_or_default().map(|n| n as usize);
    let mut values = vec![0; first];
    let mut scales = Vec::new();
    rows(&role.name(layer), &mut |row| {
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
        .map_err(|_| WriteError::OutOfMemory)?;
    for pick in [|&(cos, _): &(f32, f32)| cos, |&(_, sin): &(f32, f32)| sin] {
        for position in 0..context {
            let turns = table.turns(position).iter().map(pick);
            let bytes: Vec<u8> = turns.flat_map(f32::to_le_bytes).collect();
            sink.write(&bytes).map_err(WriteError::Sink)?;
        }
    }
    Ok(())
}

/// The header of a file.
fn header(version: Version, config: &Config) -> Vec<u8> {
    // `Config::validate` has checked that all of them fit.
    let mut numbers = config.numbers().map(|number| number as i32);
    if version == Version::V0 && !config.tied_embeddings {
        numbers[5] = -numbers[5];
    }
    let numbers = numbers.into_iter().flat_map(i32::to_le_bytes);
    let (number, group) = match version {
        Version::V0 => return numbers.collect(),
        Version::V1 => (1, None),
        Version::V2 { group } => (2, Some(group as i32)),
    };
    let mut header: Vec<u8> = MAGIC.to_le_bytes().into();
    header.extend(i32::to_le_bytes(number));
    header.extend(numbers);
    header.push(config.tied_embeddings.into());
    header.extend(group.into_iter().flat_map(i32::to_le_bytes));
    header.resize(HEADER as usize, 0);
    header
}
