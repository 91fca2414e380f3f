//! Norms and residual connections.

use crate::pass::Pass;
use crate::plan::{Buffer, VectorId};
use crate::times::Stage;
use bootllm_cores::split_rows;

impl Pass<'_> {
    /// `to` = RMS norm of `from` with these weights, row by row.
    pub(crate) fn rms_norm(&mut self, weight: VectorId, epsilon: f32, from: Buffer, to: Buffer) {
        let (weight, width) = (self.weights.vector(weight), self.width(from));
        let rows = self.rows.len();
        let (x, mut normed) = (self.take(from), self.take(to));
        split_rows(self.cores, &mut normed[..rows * width], width, |first, normed| {
            self.kernels.rms_norm(normed, &x[first * width..][..normed.len()], weight, epsilon);
        });
        self.put(from, x);
        self.put(to, normed);
        self.done(Stage::Norms);
    }

    /// `x` += `branch`: the residual connection.
    pub(crate) fn residual(&mut self, branch: Buffer, x: Buffer) {
        let (width, rows) = (self.width(x), self.rows.len());
        let (branch_values, mut values) = (self.take(branch), self.take(x));
        split_rows(self.cores, &mut values[..rows * width], width, |first, values| {
            self.kernels.add(values, &branch_values[first * width..]);
        });
        self.put(branch, branch_values);
        self.put(x, values);
        self.done(Stage::Norms);
    }
}
