//! Rotary position embedding of queries and keys.

use crate::pass::Pass;
use crate::planner::{Buffer, RopeId};
use bootllm_cores::split_rows;

impl Pass<'_> {
    /// Rotates the heads of `buffer`, each of `head_size` values, to their rows' positions.
    pub(crate) fn rope(&mut self, rope: RopeId, head_size: usize, buffer: Buffer) {
        let (width, rows) = (self.width(buffer), self.rows);
        let (table, pairing) = &self.ropes[rope.0];
        let mut heads = self.take(buffer);
        split_rows(self.cores, &mut heads[..rows.len() * width], width, |first, heads| {
            for (row, heads) in rows[first..].iter().zip(heads.chunks_exact_mut(width)) {
                self.kernels.rotate(*pairing, table.turns(row.position), heads, head_size);
            }
        });
        self.put(buffer, heads);
    }
}
