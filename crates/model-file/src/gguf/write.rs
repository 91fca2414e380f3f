//! Writing GGUF files.

use super::cursor::{Cursor, MOST};
use super::metadata::{ranges, value_type};
use super::vocabulary::{MODEL, escape};
use super::{ALIGNMENT, ARCHITECTURE, MAGIC, Tokens, VERSIONS, keys, read_header};
use crate::write::{Rows, Sink, WriteError};
use crate::{Config, Part, ReadError};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_platform::ReadAt;
use bootllm_quant::{Encoding, PlaneBytes, Shape};
use core::ops::Range;

/// The version of ggml's quantized formats (`GGML_QNT_VERSION`).
const QUANTIZATION_VERSION: u32 = 2;

/// Writes a GGUF file of a new model. The matrices get the format `weights`, or F16 where it does
/// not divide their rows; norms stay F32. `rows` is asked for each tensor in the order of the file
/// and calls back with every row of it, in `f32`.
pub fn write_gguf(
    weights: Encoding,
    config: &Config,
    tokens: Option<&dyn Tokens>,
    rows: &mut Rows<'_>,
    sink: &mut dyn Sink,
) -> Result<(), WriteError> {
    config.validate()?;
    let mut writer = Writer { weights, config, sink, written: 0 };
    writer.new_values(tokens)?;
    writer.tensors(rows)
}

/// A file that is being written.
pub(crate) struct Writer<'a> {
    pub(crate) weights: Encoding,
    pub(crate) config: &'a Config,
    pub(crate) sink: &'a mut dyn Sink,
    /// Bytes so far.
    pub(crate) written: u64,
}

impl Writer<'_> {
    /// Writes the header and the values of a new model.
    pub(crate) fn new_values(&mut self, tokens: Option<&dyn Tokens>) -> Result<(), WriteError> {
        let mut values = Values::default();
        values.text(keys::ARCHITECTURE, ARCHITECTURE);
        values.model(self.config);
        self.header(0, &mut values, tokens)?;
        self.put(&values.bytes)?;
        self.tokens(tokens)
    }

    /// Writes the header and the values of another GGUF file, but for those that depend on the
    /// weights' format.
    pub(crate) fn values_of(
        &mut self,
        file: &mut dyn ReadAt,
        tokens: Option<&dyn Tokens>,
    ) -> Result<(), WriteError> {
        const OWN: [&str; 3] = [keys::ALIGNMENT, keys::FILE_TYPE, keys::QUANTIZATION_VERSION];
        let mut kept: Vec<Range<u64>> = Vec::new();
        let mut count = 0;
        let mut cursor = Cursor::new(file, 0)?;
        let header = read_header(&mut cursor)?;
        ranges(&mut cursor, header.values, &mut |key, range| {
            if !OWN.iter().any(|own| own.as_bytes() == key) {
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
        self.put(&values.bytes)?;
        self.tokens(tokens)
    }

    /// Writes the header of a file with `others` values, `values`, those that every file has, which
    /// are put to them, and those of a vocabulary.
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
        self.put(&(self.places().count() as u64).to_le_bytes())?;
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
        for (part, layer) in self.places() {
            let shape = self.shape(part);
            let mut info = Values::default();
            info.string(&part.name_in(layer).to_string());
            let dimensions = [shape.columns as u64, shape.rows as u64];
            let dimensions = &dimensions[..if part.is_norm() { 1 } else { 2 }];
            info.bytes.extend((dimensions.len() as u32).to_le_bytes());
            info.bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_le_bytes()));
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
        for (part, layer) in self.places() {
            self.tensor(part, layer, rows)?;
            self.align()?;
        }
        Ok(())
    }

    fn tensor(&mut self, part: Part, layer: usize, rows: &mut Rows<'_>) -> Result<(), WriteError> {
        let shape = self.shape(part);
        let encoder = shape.encoder().ok_or(WriteError::ReadOnly(shape.encoding.name()))?;
        let mut row = vec![0; plane_bytes(&shape)[0] as usize];
        rows(part, layer, &mut |values| {
            encoder.encode_row(values, [&mut row, &mut []]);
            shape.check_row([&row, &[]]).map_err(|_| WriteError::TooLarge {
                tensor: part.name_in(layer).to_string(),
                format: shape.encoding.name(),
            })?;
            self.put(&row)
        })
    }

    /// The tensors in the order of the file.
    fn places(&self) -> impl Iterator<Item = (Part, usize)> + use<> {
        let (layers, shared) = (self.config.layers, self.config.shared_classifier);
        let of = |layer| move |part: Part| (part, layer);
        let in_layers = || Part::ALL.into_iter().filter(|part| part.in_layers());
        let after = [Part::OutputNorm, Part::Output].into_iter();
        [(Part::TokenEmbedding, 0)]
            .into_iter()
            .chain((0..layers).flat_map(move |layer| in_layers().map(of(layer))))
            .chain(after.take(if shared { 1 } else { 2 }).map(of(0)))
    }

    fn shape(&self, part: Part) -> Shape {
        let (rows, columns) = part.shape(self.config);
        let encoding = match self.weights {
            _ if part.is_norm() => Encoding::F32,
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

/// Bytes of a row. A row has less than 2^31 values, so the number fits.
fn plane_bytes(shape: &Shape) -> PlaneBytes {
    shape.plane_bytes().unwrap_or_default()
}

/// Values that take little memory, as the file has them.
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

    /// The shape of a model.
    fn model(&mut self, config: &Config) {
        // `Config::validate` has seen that all of them fit.
        for (key, number) in [
            (keys::LAYERS, config.layers),
            (keys::CONTEXT, config.context),
            (keys::DIM, config.dim),
            (keys::HIDDEN_DIM, config.hidden_dim),
            (keys::HEADS, config.heads),
            (keys::KV_HEADS, config.kv_heads),
            (keys::ROPE_DIMENSIONS, config.head_size()),
            (keys::VOCAB_SIZE, config.vocab_size),
        ] {
            self.u32(key, number as u32);
        }
        self.f32(keys::NORM_EPSILON, config.norm_epsilon);
        self.f32(keys::ROPE_BASE, config.rope_base);
    }

    /// How a vocabulary is used.
    fn tokenizer(&mut self, tokens: &dyn Tokens) {
        let rules = tokens.rules();
        self.text(keys::TOKENIZER_MODEL, MODEL);
        self.u32(keys::UNKNOWN, rules.unknown);
        self.u32(keys::BOS, rules.bos);
        self.u32(keys::EOS, rules.eos);
        self.bool(keys::ADD_BOS, rules.add_bos);
        self.bool(keys::ADD_SPACE, rules.add_space);
    }
}
