//! The descriptions of the tensors.

use super::GgufError;
use super::cursor::Cursor;
use super::metadata::shown;
use crate::{Config, Part, Plane, ReadError, Tensor};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bootllm_quant::{Encoding, Shape};

/// Bytes of the longest name that a tensor may have (ggml's `GGML_MAX_NAME`).
const LONGEST_NAME: usize = 64;
/// Dimensions that a tensor may have (ggml's `GGML_MAX_DIMS`).
const DIMENSIONS: usize = 4;

/// ggml's names of formats, by their numbers (`ggml_type` in ggml.h).
const TYPE_NAMES: [(u32, &str); 29] = [
    (3, "Q4_1"),
    (6, "Q5_0"),
    (7, "Q5_1"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// A tensor as the file describes it. Its name and its format are known ones.
pub(super) struct Info {
    part: Part,
    layer: usize,
    /// Columns first; 1 where it has no such dimension.
    dimensions: [u64; DIMENSIONS],
    encoding: Encoding,
    /// Where it begins, from the first byte of the weights on.
    offset: u64,
}

impl Info {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let (name, whole) = cursor.string(LONGEST_NAME)?;
        let name = String::from_utf8_lossy(name).into_owned();
        let place = if whole { parse_name(&name) } else { None };
        let shown = || shown(name.as_bytes());
        let (part, layer) = place.ok_or_else(|| {
            let what = what_is(&name);
            GgufError::UnknownTensor { tensor: shown(), what }
        })?;
        let mut dimensions = [1; DIMENSIONS];
        let count = cursor.u32()?;
        let used = dimensions.get_mut(..count as usize).ok_or_else(|| GgufError::TensorShape {
            tensor: shown(),
            found: format!("of {count} dimensions"),
            expected: "2 at most".into(),
        })?;
        for dimension in used {
            *dimension = cursor.u64()?;
        }
        let number = cursor.u32()?;
        let encoding = Encoding::with_ggml_type(number)
            .ok_or_else(|| GgufError::TensorType { tensor: shown(), found: type_name(number) })?;
        Ok(Info { part, layer, dimensions, encoding, offset: cursor.u64()? })
    }

    fn name(&self) -> String {
        self.part.name_in(self.layer).to_string()
    }
}

/// Reads `count` descriptions.
pub(super) fn read(cursor: &mut Cursor<'_>, count: u64) -> Result<Vec<Info>, ReadError> {
    let mut infos = Vec::new();
    for _ in 0..count {
        let info = Info::read(cursor)?;
        infos.try_reserve(1).map_err(|_| GgufError::OutOfMemory)?;
        infos.push(info);
    }
    Ok(infos)
}

/// Tokens for which there is an embedding, and whether the classifier is that embedding.
pub(super) fn vocabulary(infos: &[Info]) -> Result<(u64, bool), GgufError> {
    let find = |part| infos.iter().find(|info| info.part == part);
    let embedding = find(Part::TokenEmbedding).ok_or_else(|| missing(Part::TokenEmbedding, 0))?;
    Ok((embedding.dimensions[1], find(Part::Output).is_none()))
}

/// Says where each tensor lies, after checking that all are there, none twice, each with the shape
/// that `config` asks for, within the file and apart from the others. The weights begin at byte
/// `start` of the file's `size`.
pub(super) fn place(
    mut infos: Vec<Info>,
    config: &Config,
    (start, alignment, size): (u64, u64, u64),
) -> Result<Vec<Tensor>, ReadError> {
    infos.sort_unstable_by_key(|info| (info.layer, info.part));
    check_complete(&infos, config)?;
    let mut tensors = Vec::new();
    tensors.try_reserve_exact(infos.len()).map_err(|_| GgufError::OutOfMemory)?;
    let mut end_of_all = 0;
    for info in &infos {
        let tensor = place_one(info, config, start, alignment)?;
        let bytes = u128::from(tensor.row_bytes()[0]) * tensor.shape.rows as u128;
        end_of_all = end_of_all.max(u128::from(tensor.planes[0].offset) + bytes);
        tensors.push(tensor);
    }
    if end_of_all > u128::from(size) {
        return Err(ReadError::Size { expected: end_of_all, found: size });
    }
    check_apart(&tensors, start)?;
    Ok(tensors)
}

/// Checks that every part that `config` asks for is there once. `infos` are in order.
fn check_complete(infos: &[Info], config: &Config) -> Result<(), GgufError> {
    let place = |info: &Info| (info.part, info.layer);
    if let Some(pair) = infos.windows(2).find(|pair| place(&pair[0]) == place(&pair[1])) {
        return Err(GgufError::Tensor { tensor: pair[0].name(), twice: true });
    }
    let mut found = infos.iter();
    for layer in 0..config.layers {
        let parts = Part::ALL.into_iter().filter(|part| part.in_layers() || layer == 0);
        for part in parts.filter(|part| !(config.shared_classifier && *part == Part::Output)) {
            // Whatever comes too early lacks what should have come.
            if found.next().map(place) != Some((part, layer)) {
                return Err(missing(part, layer));
            }
        }
    }
    match found.next() {
        None => Ok(()),
        Some(info) => Err(GgufError::UnknownTensor {
            tensor: info.name(),
            what: "more layers than its description says",
        }),
    }
}

fn missing(part: Part, layer: usize) -> GgufError {
    GgufError::Tensor { tensor: part.name_in(layer).to_string(), twice: false }
}

fn place_one(
    info: &Info,
    config: &Config,
    start: u64,
    alignment: u64,
) -> Result<Tensor, ReadError> {
    let Info { part, layer, dimensions, encoding, offset } = *info;
    let (rows, columns) = part.shape(config);
    if dimensions != [columns as u64, rows as u64, 1, 1] {
        let dimensions = dimensions.map(|dimension| dimension.to_string());
        return Err(GgufError::TensorShape {
            tensor: info.name(),
            found: dimensions.join(" x "),
            expected: format!("{columns} x {rows}"),
        }
        .into());
    }
    let shape = Shape { rows, columns, encoding };
    if columns % encoding.block_len() != 0 {
        let (name, group) = (encoding.name(), encoding.block_len());
        return Err(GgufError::TensorShape {
            tensor: info.name(),
            found: format!("{columns} x {rows}"),
            expected: format!("multiples of {group} columns, for it is {name}"),
        }
        .into());
    }
    let wrong = |problem| GgufError::TensorOffset { tensor: info.name(), offset, problem };
    if offset % alignment != 0 {
        return Err(wrong("which is no multiple of the alignment").into());
    }
    let offset = start.checked_add(offset).ok_or(wrong("far beyond the end of the file"))?;
    // A row has less than 2^31 values, so this fits.
    let [row_bytes, none] = shape.plane_bytes().unwrap_or([u64::MAX, 0]);
    let planes = [Plane { offset, row_bytes }, Plane { offset, row_bytes: none }];
    Ok(Tensor { part, layer, shape, planes })
}

/// Checks that no tensor lies in another. All lie within the file.
fn check_apart(tensors: &[Tensor], start: u64) -> Result<(), GgufError> {
    let mut by_offset: Vec<&Tensor> = Vec::new();
    by_offset.try_reserve_exact(tensors.len()).map_err(|_| GgufError::OutOfMemory)?;
    by_offset.extend(tensors);
    by_offset.sort_unstable_by_key(|tensor| tensor.planes[0].offset);
    let pair = by_offset.windows(2).find(|pair| {
        let [first, second] = [pair[0], pair[1]].map(|tensor| tensor.planes[0].offset);
        first + pair[0].bytes() > second
    });
    match pair {
        None => Ok(()),
        Some(pair) => Err(GgufError::TensorOffset {
            tensor: pair[1].to_string(),
            offset: pair[1].planes[0].offset - start,
            problem: "within another tensor",
        }),
    }
}

/// What the tensor of this name is for, and its layer.
fn parse_name(name: &str) -> Option<(Part, usize)> {
    let name = name.strip_suffix(".weight")?;
    let (name, layer) = match name.strip_prefix("blk.") {
        None => (name, None),
        Some(rest) => {
            let (layer, name) = rest.split_once('.')?;
            (name, Some(layer.parse().ok()?))
        }
    };
    let part = Part::ALL.into_iter().find(|part| part.name() == name)?;
    (part.in_layers() == layer.is_some()).then_some((part, layer.unwrap_or(0)))
}

/// What kind of thing a tensor is that no Llama model of ours has.
fn what_is(name: &str) -> &'static str {
    let has = |part: &str| name.contains(part);
    match () {
        _ if name.ends_with(".bias") => "biases",
        _ if has("_exps") || has("ffn_gate_inp") || has("_shexp") => "experts",
        _ if name.starts_with("rope_freqs") => "scaled rotary frequencies, as Llama 3.1 has",
        _ if has("_q_norm") || has("_k_norm") => "norms of queries and keys",
        _ => "a tensor that is none of a Llama model",
    }
}

fn type_name(number: u32) -> String {
    match TYPE_NAMES.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).into(),
        None => format!("number {number}"),
    }
}
