//! The weights of a model in memory.

use crate::error::{LoadError, out_of_memory};
use crate::planner::{MatrixId, VectorId};
use alloc::vec::Vec;
use bootllm_quant::Matrix;

/// The weights of a model, by the handles of its plan.
#[derive(Default)]
pub(crate) struct Weights {
    matrices: Vec<Option<Matrix>>,
    vectors: Vec<Vec<f32>>,
}

impl Weights {
    /// Room for this many matrices and vectors.
    pub(crate) fn new(matrices: usize, vectors: usize) -> Result<Self, LoadError> {
        let mut weights = Weights::default();
        let bytes = matrices * size_of::<Option<Matrix>>() + vectors * size_of::<Vec<f32>>();
        let failed = |_| out_of_memory("the tensors", bytes as u64);
        weights.matrices.try_reserve_exact(matrices).map_err(failed)?;
        weights.vectors.try_reserve_exact(vectors).map_err(failed)?;
        weights.matrices.resize_with(matrices, || None);
        weights.vectors.resize_with(vectors, Vec::new);
        Ok(weights)
    }

    pub(crate) fn set_matrix(&mut self, id: MatrixId, matrix: Matrix) {
        self.matrices[id.0] = Some(matrix);
    }

    pub(crate) fn set_vector(&mut self, id: VectorId, vector: Vec<f32>) {
        self.vectors[id.0] = vector;
    }

    /// A weight matrix, packed.
    pub(crate) fn matrix(&self, id: MatrixId) -> &Matrix {
        match &self.matrices[id.0] {
            Some(matrix) => matrix,
            None => unreachable!("a model is made when every tensor is loaded"),
        }
    }

    /// A vector of weights.
    pub(crate) fn vector(&self, id: VectorId) -> &[f32] {
        &self.vectors[id.0]
    }
}
