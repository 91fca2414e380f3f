//! The interface through which an architecture plans.

mod error;
mod handles;
mod rope;

pub use error::PlanError;
pub use handles::ModelShape;
pub(crate) use handles::{
    Buffer, KvId, MatrixId, Planned, PlannedTensor, RopeId, VectorId, Weight,
};
pub(crate) use rope::RopeConfig;

use crate::state::KvLayer;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bootllm_model_file::{ModelFile, Tensor, Value};
use core::ops::RangeBounds;

/// Keys of an architecture that do not affect the computation.
const HARMLESS: [&str; 2] = ["vocab_size", "tensor_data_layout"];

/// Reads metadata and tensors for an architecture, and notes what it asks for.
///
/// Keys are given without the architecture's name: `block_count` is `llama.block_count` in a file.
pub(crate) struct Planner<'f> {
    file: &'f ModelFile,
    architecture: &'f str,
    /// Keys that were asked for.
    read: Vec<String>,
    /// Per tensor of the file: whether it was asked for.
    used: Vec<bool>,
    planned: Planned,
    matrices: usize,
    vectors: usize,
}

impl<'f> Planner<'f> {
    pub(crate) fn new(file: &'f ModelFile) -> Result<Self, PlanError> {
        Ok(Planner {
            file,
            architecture: file.architecture().ok_or(PlanError::NoArchitecture)?,
            read: Vec::new(),
            used: vec![false; file.tensors().len()],
            planned: Planned {
                tensors: Vec::new(),
                buffers: Vec::new(),
                ropes: Vec::new(),
                kv_layers: Vec::new(),
                heads: 0,
            },
            matrices: 0,
            vectors: 0,
        })
    }

    /// The architecture that the file names.
    pub(crate) fn architecture(&self) -> &'f str {
        self.architecture
    }

    /// The whole key, and its value if the file has it.
    fn value(&mut self, key: &str) -> (String, Option<&'f Value>) {
        let key = format!("{}.{key}", self.architecture);
        let value = self.file.metadata.get(&key);
        self.read.push(key.clone());
        (key, value)
    }

    /// A count, which must be 1 to 2^31 − 1, if the key is there.
    pub(crate) fn optional_count(&mut self, key: &str) -> Result<Option<usize>, PlanError> {
        let (key, value) = self.value(key);
        let Some(value) = value else { return Ok(None) };
        let count = value.as_integer().filter(|count| (1..=i32::MAX as i128).contains(count));
        let expected = "a whole number from 1 to 2147483647";
        let count = count.ok_or_else(|| PlanError::Value { key, found: show(value), expected })?;
        Ok(Some(count as usize))
    }

    /// A count, which must be 1 to 2^31 − 1.
    pub(crate) fn count(&mut self, key: &str) -> Result<usize, PlanError> {
        let missing = PlanError::Missing { key: format!("{}.{key}", self.architecture) };
        self.optional_count(key)?.ok_or(missing)
    }

    /// A floating-point number within bounds, if the key is there.
    pub(crate) fn optional_float(
        &mut self,
        key: &str,
        bounds: impl RangeBounds<f32>,
        expected: &'static str,
    ) -> Result<Option<f32>, PlanError> {
        let (key, value) = self.value(key);
        let Some(value) = value else { return Ok(None) };
        let number = value.as_float().filter(|number| bounds.contains(number));
        number.map(Some).ok_or_else(|| PlanError::Value { key, found: show(value), expected })
    }

    /// A floating-point number within bounds.
    pub(crate) fn float(
        &mut self,
        key: &str,
        bounds: impl RangeBounds<f32>,
        expected: &'static str,
    ) -> Result<f32, PlanError> {
        let missing = PlanError::Missing { key: format!("{}.{key}", self.architecture) };
        self.optional_float(key, bounds, expected)?.ok_or(missing)
    }

    /// The epsilon of RMS norms.
    pub(crate) fn norm_epsilon(&mut self) -> Result<f32, PlanError> {
        self.float("attention.layer_norm_rms_epsilon", 0.0..1.0, "a number from 0 to 1")
    }

    /// The factor by which positions are divided, 1 or more, if the key is there; 0 means none.
    pub(crate) fn rope_factor(&mut self, key: &str) -> Result<Option<f32>, PlanError> {
        let expected = "1 or more, or 0 for none";
        let factor = self.optional_float(key, 0.0..f32::INFINITY, expected)?;
        match factor.filter(|&factor| factor != 0.0) {
            Some(factor) if factor < 1.0 => Err(self.bad(key, factor, expected)),
            factor => Ok(factor),
        }
    }

    /// A string, if the key is there.
    pub(crate) fn optional_text(&mut self, key: &str) -> Result<Option<&'f str>, PlanError> {
        let (key, value) = self.value(key);
        let Some(value) = value else { return Ok(None) };
        let text = value.as_text();
        text.map(Some).ok_or_else(|| PlanError::Value {
            key,
            found: show(value),
            expected: "a text",
        })
    }

    /// Refuses a file whose key has a value for which `same` returns false: the result would differ.
    pub(crate) fn refuse_unless(
        &mut self,
        key: &str,
        same: impl Fn(&Value) -> bool,
    ) -> Result<(), PlanError> {
        match self.value(key) {
            (key, Some(value)) if !same(value) => {
                Err(PlanError::Unsupported { key, found: show(value) })
            }
            _ => Ok(()),
        }
    }

    /// The error for a key whose value goes together with no others.
    pub(crate) fn bad(&self, key: &str, found: impl ToString, expected: &'static str) -> PlanError {
        let key = format!("{}.{key}", self.architecture);
        PlanError::Value { key, found: found.to_string(), expected }
    }

    /// Rows of a tensor, which say how many tokens there are.
    pub(crate) fn rows_of(&self, name: &str) -> Result<usize, PlanError> {
        let tensor = self.file.tensor(name).map(Tensor::rows);
        tensor.ok_or_else(|| PlanError::MissingTensor { tensor: name.into() })
    }

    fn tensor(
        &mut self,
        name: &str,
        expected: (usize, usize),
        weight: Weight,
        read_per_token: bool,
    ) -> Result<Option<Weight>, PlanError> {
        let Some(index) = self.file.index_of(name) else { return Ok(None) };
        let tensor = &self.file.tensors()[index];
        let found = (tensor.rows(), tensor.columns());
        if found != expected {
            return Err(PlanError::TensorShape { tensor: name.into(), found, expected });
        }
        if let Err(unknown) = tensor.encoding {
            return Err(PlanError::Encoding { tensor: name.into(), format: unknown.name });
        }
        self.used[index] = true;
        self.planned.tensors.push(PlannedTensor { index, weight, read_per_token });
        Ok(Some(weight))
    }

    /// A weight matrix of `rows` × `columns`, if the file has it.
    pub(crate) fn optional_matrix(
        &mut self,
        name: &str,
        (rows, columns): (usize, usize),
    ) -> Result<Option<MatrixId>, PlanError> {
        let id = MatrixId(self.matrices);
        let found = self.tensor(name, (rows, columns), Weight::Matrix(id), true)?;
        Ok(found.map(|_| {
            self.matrices += 1;
            id
        }))
    }

    /// A weight matrix of `rows` × `columns`.
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        shape: (usize, usize),
    ) -> Result<MatrixId, PlanError> {
        let found = self.optional_matrix(name, shape)?;
        found.ok_or_else(|| PlanError::MissingTensor { tensor: name.into() })
    }

    /// The token embedding, `rows` × `columns`, and the output projection: a tensor of its own if the
    /// file has it, the embedding otherwise.
    pub(crate) fn embeddings(
        &mut self,
        embedding: &str,
        output: &str,
        shape: (usize, usize),
    ) -> Result<(MatrixId, MatrixId), PlanError> {
        let own = self.matrix(embedding, shape)?;
        let output = self.optional_matrix(output, shape)?;
        if output.is_some() {
            let planned = self.planned.tensors.iter_mut();
            let embedding = planned.filter(|planned| planned.weight == Weight::Matrix(own));
            embedding.for_each(|planned| planned.read_per_token = false);
        }
        Ok((own, output.unwrap_or(own)))
    }

    /// A vector of `length` weights, if the file has it.
    pub(crate) fn optional_vector(
        &mut self,
        name: &str,
        length: usize,
    ) -> Result<Option<VectorId>, PlanError> {
        let id = VectorId(self.vectors);
        let found = self.tensor(name, (1, length), Weight::Vector(id), false)?;
        Ok(found.map(|_| {
            self.vectors += 1;
            id
        }))
    }

    /// A vector of `length` weights.
    pub(crate) fn vector(&mut self, name: &str, length: usize) -> Result<VectorId, PlanError> {
        let found = self.optional_vector(name, length)?;
        found.ok_or_else(|| PlanError::MissingTensor { tensor: name.into() })
    }

    /// Activations of `width` values per row.
    pub(crate) fn buffer(&mut self, width: usize) -> Buffer {
        self.planned.buffers.push(width);
        Buffer(self.planned.buffers.len() - 1)
    }

    /// A table of rotations for the whole context.
    pub(crate) fn rope(&mut self, config: RopeConfig) -> RopeId {
        self.planned.ropes.push(config);
        RopeId(self.planned.ropes.len() - 1)
    }

    /// A layer of the KV cache, whose keys and values `heads` query heads read.
    pub(crate) fn kv_layer(&mut self, heads: usize, layer: KvLayer) -> KvId {
        self.planned.heads = self.planned.heads.max(heads);
        self.planned.kv_layers.push(layer);
        KvId(self.planned.kv_layers.len() - 1)
    }

    /// What was asked for, unless the file has a key or a tensor that nobody asked for and that would
    /// change the result.
    pub(crate) fn finish(self) -> Result<Planned, PlanError> {
        let unused = self.used.iter().position(|used| !used);
        if let Some(index) = unused {
            let tensor = self.file.tensors()[index].name.clone();
            return Err(PlanError::UnknownTensor { tensor });
        }
        let own = |key: &str| {
            let rest = key.strip_prefix(self.architecture)?.strip_prefix('.')?;
            (!HARMLESS.contains(&rest)).then_some(())
        };
        let unread = |(key, _): &(&str, &Value)| {
            own(key).is_some() && !self.read.iter().any(|read| read == key)
        };
        match self.file.metadata.iter().find(unread) {
            Some((key, value)) => {
                Err(PlanError::Unsupported { key: key.into(), found: show(value) })
            }
            None => Ok(self.planned),
        }
    }
}

/// A value as a message shows it.
fn show(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        // As an `f32`, which files hold: 0.1 is not 0.10000000149011612.
        Value::Float(number) => (*number as f32).to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Text(text) => text.chars().take(48).collect(),
        Value::Array(array) => format!("a list of {}", array.count),
    }
}
