//! Projections: products with weight matrices, with and without bias; embeddings and logits.

use crate::pass::Pass;
use crate::plan::{Buffer, MatrixId, VectorId};
use crate::times::Stage;
use alloc::vec::Vec;
use bootllm_cores::split_rows;
use bootllm_quant::multiply;

/// A weight matrix, and what is added to its product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    pub(crate) matrix: MatrixId,
    pub(crate) bias: Option<VectorId>,
}

impl From<MatrixId> for Linear {
    fn from(matrix: MatrixId) -> Self {
        Linear { matrix, bias: None }
    }
}

impl Pass<'_> {
    /// `into` = each row's token, as its row of the embedding.
    pub(crate) fn embed(&mut self, embedding: MatrixId, into: Buffer) {
        let (embedding, width) = (self.weights.matrix(embedding), self.width(into));
        let mut x = self.take(into);
        for (x, row) in x.chunks_exact_mut(width).zip(self.rows) {
            embedding.row(row.token as usize, x);
        }
        self.put(into, x);
        self.done(Stage::Embedding);
    }

    /// Multiplies `from` with matrices that share it, each into a buffer of its own, and adds their
    /// biases.
    pub(crate) fn project<const N: usize>(
        &mut self,
        stage: Stage,
        from: Buffer,
        products: [(Linear, Buffer); N],
    ) {
        let rows = self.rows.len();
        let used = rows * self.width(from);
        let x = self.take(from);
        let mut outputs: [Vec<f32>; N] = products.map(|(_, to)| self.take(to));
        let mut index = 0;
        let pairs = outputs.each_mut().map(|output| {
            let (linear, to) = products[index];
            index += 1;
            let used = rows * self.width(to);
            (self.weights.matrix(linear.matrix), &mut output[..used])
        });
        multiply(self.cores, &mut self.scratch.input, (rows, &x[..used]), pairs);
        for ((linear, to), mut output) in products.into_iter().zip(outputs) {
            if let Some(bias) = linear.bias {
                self.add_bias(bias, &mut output[..rows * self.width(to)]);
            }
            self.put(to, output);
        }
        self.put(from, x);
        self.done(stage);
    }

    fn add_bias(&self, bias: VectorId, values: &mut [f32]) {
        let bias = self.weights.vector(bias);
        split_rows(self.cores, values, bias.len(), |_, values| {
            for row in values.chunks_exact_mut(bias.len()) {
                self.kernels.add(row, bias);
            }
        });
    }

    /// Writes the logits of the `wanted` rows of `x`: their RMS norm, multiplied with the output
    /// projection. `normed` is overwritten.
    pub(crate) fn norm_and_project(
        &mut self,
        (weight, epsilon): (VectorId, f32),
        (x, normed): (Buffer, Buffer),
        output: MatrixId,
        (wanted, logits): (&[usize], &mut [f32]),
    ) {
        let (weight, width) = (self.weights.vector(weight), self.width(x));
        let (values, mut packed) = (self.take(x), self.take(normed));
        for (&row, packed) in wanted.iter().zip(packed.chunks_exact_mut(width)) {
            self.kernels.rms_norm(packed, &values[row * width..][..width], weight, epsilon);
        }
        let input = (wanted.len(), &packed[..wanted.len() * width]);
        let product = [(self.weights.matrix(output), logits)];
        multiply(self.cores, &mut self.scratch.input, input, product);
        self.put(x, values);
        self.put(normed, packed);
        self.done(Stage::OutputLogits);
    }
}
