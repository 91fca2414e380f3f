//! Writing GGUF files.

use super::cursor::{Cursor, MOST};
use super::metadata::{ranges, value_type};
use super::vocabulary::{MODEL, escape};
use super::{ALIGNMENT, MAGIC, Tokens, VERSIONS, keys, read_header};
use crate::{Metadata, ModelFile, ReadError, Rows, Sink, Tensor, Value, WriteError};
use alloc::vec;
use alloc::vec::Vec;
use bootllm_platform::ReadAt;
use bootllm_quant::{Encoding, PlaneBytes, Shape};
use core::ops::Range;

/// The version of ggml's quantized formats (`GGML_QNT_VERSION`).
const QUANTIZATION_VERSION: u32 = 2;

/// Writes a GGUF file of a new model: the metadata and the tensors of `model`, whose matrices get
/// the format `weights`, or F16 where its blocks do not divide their rows; vectors stay F32. `rows`
/// is asked for each tensor in the order of the description and gives its rows in `f32`.
///
/// # Errors
/// Weights that the format cannot say, and errors of `rows` and `sink`.
pub fn write_gguf(
    weights: Encoding,
    model: &ModelFile,
    tokens: Option<&dyn Tokens>,
    rows: &mut Rows<'_>,
    sink: &mut dyn Sink,
) -> Result<(), WriteError> {
    write_from(Source::Description, model, weights, tokens, sink)?.tensors(rows)
}

/// Where the metadata of a new file comes from.
pub(crate) enum Source<'a> {
    /// The description alone, which has no lists.
    Description,
    /// The GGUF file that was described: its metadata is copied byte for byte.
    File(&'a mut dyn ReadAt),
}

/// Writes the header and the metadata; the tensors are to follow.
pub(crate) fn write_from<'a>(
    source: Source<'_>,
    model: &'a ModelFile,
    weights: Encoding,
    tokens: Option<&dyn Tokens>,
    sink: &'a mut dyn Sink,
) -> Result<Writer<'a>, WriteError> {
    let mut writer = Writer { weights, model, sink, written: 0 };
    match source {
        Source::Description => {
            let mut values = Values::default();
            values.metadata(&model.metadata);
            writer.header(0, &mut values, tokens)?;
            writer.put(&values.bytes)?;
        }
        Source::File(file) => writer.metadata_of(file, tokens)?,
    }
    writer.tokens(tokens)?;
    Ok(writer)
}

/// A file that is being written.
pub(crate) struct Writer<'a> {
    weights: Encoding,
    model: &'a ModelFile,
    sink: &'a mut dyn Sink,
    /// Bytes so far.
    written: u64,
}

impl Writer<'_> {
    /// Writes the header and the metadata of another GGUF file, but for the keys that depend on the
    /// weights' format.
    fn metadata_of(
        &mut self,
        file: &mut dyn ReadAt,
        tokens: Option<&dyn Tokens>,
    ) -> Result<(), WriteError> {
        let mut kept: Vec<Range<u64>> = Vec::new();
        let mut count = 0;
        let mut cursor = Cursor::new(file, 0)?;
        let header = read_header(&mut cursor)?;
        ranges(&mut cursor, header.values, &mut |key, range| {
            if !is_own(key) {
                count += 1;
                match kept.last_mut().filter(|last| last.end == range.start) {
                    Some(last) => last.end = range.end,
                    None => kept.push(range),
                }
            }
        })?;
        let mut values = Values::default();
        self.header(count, &mut values, tokens)?;
        kept.into_iter().try_for_each(|range| self.copy(file, range))?;
        self.put(&values.bytes)
    }

    /// Writes the header of a file with `others` keys, those in `values`, those that every file has,
    /// which are added to `values`, and those of a vocabulary.
    fn header(
        &mut self,
        others: u64,
        values: &mut Values,
        tokens: Option<&dyn Tokens>,
    ) -> Result<(), WriteError> {
        let file_type = self.weights.gguf_type().map_or(0, |gguf_type| gguf_type.file);
        values.u32(keys::ALIGNMENT, ALIGNMENT as u32);
        values.u32(keys::FILE_TYPE, file_type);
        values.u32(keys::QUANTIZATION_VERSION, QUANTIZATION_VERSION);
        let mut lists = 0;
        if let Some(tokens) = tokens {
            values.tokenizer(tokens);
            lists = 3;
        }
        let count = others + values.count + lists;
        self.put(&MAGIC)?;
        self.put(&VERSIONS[0].to_le_bytes())?;
        self.put(&(self.model.tensors().len() as u64).to_le_bytes())?;
        self.put(&count.to_le_bytes())
    }

    /// Writes the lists of a vocabulary.
    fn tokens(&mut self, tokens: Option<&dyn Tokens>) -> Result<(), WriteError> {
        let Some(tokens) = tokens else {
            return Ok(());
        };
        let all = || (0..tokens.count()).map(|index| tokens.token(index));
        let list = |key, kind: u32| {
            let mut values = Values::default();
            values.begin(key, value_type::ARRAY);
            values.bytes.extend(kind.to_le_bytes());
            values.bytes.extend((tokens.count() as u64).to_le_bytes());
            values.bytes
        };
        self.put(&list(keys::TOKENS, value_type::STRING))?;
        let mut escaped = Vec::new();
        for token in all() {
            escape(token.piece, &mut escaped);
            self.put(&(escaped.len() as u64).to_le_bytes())?;
            self.put(&escaped)?;
        }
        self.put(&list(keys::SCORES, value_type::F32))?;
        all().try_for_each(|token| self.put(&token.score.to_le_bytes()))?;
        self.put(&list(keys::KINDS, value_type::I32))?;
        all().try_for_each(|token| self.put(&token.kind.number().to_le_bytes()))
    }

    /// Writes the descriptions of the tensors, and the tensors.
    pub(crate) fn tensors(&mut self, rows: &mut Rows<'_>) -> Result<(), WriteError> {
        let mut offset = 0u64;
        for tensor in self.model.tensors() {
            let shape = self.shape(tensor);
            let mut info = Values::default();
            info.string(&tensor.name);
            let used = tensor.dimensions.iter().rposition(|&size| size > 1).unwrap_or(0) + 1;
            info.bytes.extend((used as u32).to_le_bytes());
            let sizes = tensor.dimensions[..used].iter();
            info.bytes.extend(sizes.flat_map(|&size| (size as u64).to_le_bytes()));
            let gguf_type = shape.encoding.gguf_type();
            let number = gguf_type.map_or(0, |gguf_type| gguf_type.tensor);
            info.bytes.extend(number.to_le_bytes());
            info.bytes.extend(offset.to_le_bytes());
            self.put(&info.bytes)?;
            let bytes = plane_bytes(&shape)[0].saturating_mul(shape.rows as u64);
            let end = offset.saturating_add(bytes).checked_next_multiple_of(ALIGNMENT);
            offset = end.unwrap_or(u64::MAX);
        }
        self.align()?;
        for tensor in self.model.tensors() {
            self.tensor(tensor, rows)?;
            self.align()?;
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &Tensor, rows: &mut Rows<'_>) -> Result<(), WriteError> {
        let shape = self.shape(tensor);
        let encoder = shape.encoder().ok_or(WriteError::ReadOnly(shape.encoding.name()))?;
        let mut row = vec![0; plane_bytes(&shape)[0] as usize];
        rows(&tensor.name, &mut |values| {
            encoder.encode_row(values, [&mut row, &mut []]);
            shape.check_row([&row, &[]]).map_err(|_| WriteError::TooLarge {
                tensor: tensor.name.clone(),
                format: shape.encoding.name(),
            })?;
            self.put(&row)
        })
    }

    /// The shape and the new format of a tensor.
    fn shape(&self, tensor: &Tensor) -> Shape {
        let (rows, columns) = (tensor.rows(), tensor.columns());
        let encoding = match self.weights {
            _ if tensor.is_vector() => Encoding::F32,
            weights if !columns.is_multiple_of(weights.block_len()) => Encoding::F16,
            weights => weights,
        };
        Shape { rows, columns, encoding }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.written += bytes.len() as u64;
        self.sink.write(bytes).map_err(WriteError::Sink)
    }

    /// Writes zeros up to where a tensor may begin.
    fn align(&mut self) -> Result<(), WriteError> {
        let missing = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.put(&[0; ALIGNMENT as usize][..missing as usize])
    }

    fn copy(&mut self, file: &mut dyn ReadAt, range: Range<u64>) -> Result<(), WriteError> {
        let mut buffer = vec![0; (range.end - range.start).min(MOST as u64) as usize];
        let mut position = range.start;
        while position < range.end {
            let length = (range.end - position).min(MOST as u64) as usize;
            file.read_at(position, &mut buffer[..length]).map_err(ReadError::from)?;
            self.put(&buffer[..length])?;
            position += length as u64;
        }
        Ok(())
    }
}

/// Whether the writer gives this key a value of its own.
fn is_own(key: &[u8]) -> bool {
    const OWN: [&str; 3] = [keys::ALIGNMENT, keys::FILE_TYPE, keys::QUANTIZATION_VERSION];
    OWN.iter().any(|own| own.as_bytes() == key)
}

/// Bytes of a row. A row has less than 2^31 values, so the number fits.
fn plane_bytes(shape: &Shape) -> PlaneBytes {
    shape.plane_bytes().unwrap_or_default()
}

/// Keys with values that take little memory, as the file has them.
#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    count: u64,
}

impl Values {
    fn string(&mut self, text: &str) {
        self.bytes.extend((text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn begin(&mut self, key: &str, kind: u32) {
        self.count += 1;
        self.string(key);
        self.bytes.extend(kind.to_le_bytes());
    }

    fn text(&mut self, key: &str, text: &str) {
        self.begin(key, value_type::STRING);
        self.string(text);
    }

    fn u32(&mut self, key: &str, number: u32) {
        self.begin(key, value_type::U32);
        self.bytes.extend(number.to_le_bytes());
    }

    fn f32(&mut self, key: &str, number: f32) {
        self.begin(key, value_type::F32);
        self.bytes.extend(number.to_le_bytes());
    }

    fn bool(&mut self, key: &str, value: bool) {
        self.begin(key, value_type::BOOL);
        self.bytes.push(value.into());
    }

    /// A model's metadata, its integers as u32, as llama.cpp expects counts. Lists are not here: they
    /// stay in the file that they were read from.
    fn metadata(&mut self, metadata: &Metadata) {
        for (key, value) in metadata.iter().filter(|(key, _)| !is_own(key.as_bytes())) {
            match value {
                Value::Integer(number) => self.u32(key, *number as u32),
                Value::Float(number) => self.f32(key, *number as f32),
                Value::Bool(value) => self.bool(key, *value),
                Value::Text(text) => self.text(key, text),
                Value::Array(_) => {}
            }
        }
    }

    /// How a vocabulary is used.
    fn tokenizer(&mut self, tokens: &dyn Tokens) {
        let rules = tokens.rules();
        self.text(keys::TOKENIZER_MODEL, MODEL);
        self.u32(keys::UNKNOWN, rules.unknown);
        self.u32(keys::BOS, rules.bos);
        self.u32(keys::EOS, rules.eos);
        for (key, token) in [(keys::EOT, rules.eot), (keys::EOM, rules.eom)] {
            token.into_iter().for_each(|token| self.u32(key, token));
        }
        self.bool(keys::ADD_BOS, rules.add_bos);
        self.bool(keys::ADD_SPACE, rules.add_space);
    }
}
