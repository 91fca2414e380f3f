//! Transposes rows of tokens to heads and back, and applies rotary position embeddings on the way
//! (RoFormer, Su et al., 2021; adjacent pairs, as in llama2.c).
//!
//! Matrix products have one row per token with its heads next to each other. Attention needs the
//! rows of one head of one sequence together, so its layout is `[sequence][head][position][s]`: a
//! sequence is one slice, and so is each head in it.

use super::Sequences;
use super::vector::vectorized;
use bootllm_simd::RopeTable;
use rayon::prelude::*;

/// The rotation of a vector by its position.
#[derive(Clone, Copy)]
pub enum Rotation<'a> {
    /// No rotation.
    None,
    /// The rotation by the angles of the table.
    Forward(&'a RopeTable),
    /// The inverse rotation, for gradients.
    Inverse(&'a RopeTable),
}

impl Rotation<'_> {
    /// `to = from`, rotated by `position`.
    #[inline(always)]
    fn copy(self, to: &mut [f32], from: &[f32], position: usize) {
        let (table, sign) = match self {
            Rotation::None => return to.copy_from_slice(from),
            Rotation::Forward(table) => (table, 1.0),
            Rotation::Inverse(table) => (table, -1.0),
        };
        let pairs = to.as_chunks_mut::<2>().0.iter_mut().zip(from.as_chunks::<2>().0);
        for ((to, &[a, b]), &(cos, sin)) in pairs.zip(table.turns(position)) {
            let sin = sin * sign;
            *to = [a * cos - b * sin, a * sin + b * cos];
        }
    }
}

/// `heads [sequence][head][position][s]` from `rows (n, heads · s)`.
pub fn split_heads(
    heads: &mut [f32],
    rows: &[f32],
    s: usize,
    sequences: &Sequences,
    rotation: Rotation,
) {
    let width = rows.len() / sequences.tokens();
    let pairs = sequences.split_mut(heads, width).into_par_iter().zip(sequences.split(rows, width));
    pairs.for_each(|(heads, rows)| {
        let length = rows.len() / width;
        vectorized(
            #[inline(always)]
            || {
                for (position, row) in rows.chunks_exact(width).enumerate() {
                    for (head, vector) in row.chunks_exact(s).enumerate() {
                        let place = (head * length + position) * s;
                        rotation.copy(&mut heads[place..place + s], vector, position);
                    }
                }
            },
        );
    });
}

/// `rows (n, heads · s)` from `heads [sequence][head][position][s]`.
pub fn merge_heads(
    rows: &mut [f32],
    heads: &[f32],
    s: usize,
    sequences: &Sequences,
    rotation: Rotation,
) {
    let width = rows.len() / sequences.tokens();
    let pairs = sequences.split_mut(rows, width).into_par_iter().zip(sequences.split(heads, width));
    pairs.for_each(|(rows, heads)| {
        let length = rows.len() / width;
        vectorized(
            #[inline(always)]
            || {
                for (position, row) in rows.chunks_exact_mut(width).enumerate() {
                    for (head, vector) in row.chunks_exact_mut(s).enumerate() {
                        let place = (head * length + position) * s;
                        rotation.copy(vector, &heads[place..place + s], position);
                    }
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_inverts_splitting() {
        let (s, heads) = (4, 3);
        let sequences = Sequences::new([2, 1, 5]);
        let rows: Vec<f32> = (0..8 * heads * s).map(|i| i as f32).collect();
        let table = RopeTable::new(s, 5, 10_000.0).unwrap();
        let (mut split, mut back) = (vec![0.0; rows.len()], vec![0.0; rows.len()]);
        split_heads(&mut split, &rows, s, &sequences, Rotation::None);
        // The second sequence has one token, so its heads lie as in its row.
        assert_eq!(split[24..36], rows[24..36]);
        // The first head of the first sequence: both its positions.
        assert_eq!(split[..8], [&rows[..4], &rows[12..16]].concat());
        merge_heads(&mut back, &split, s, &sequences, Rotation::None);
        assert_eq!(back, rows);
        split_heads(&mut split, &rows, s, &sequences, Rotation::Forward(&table));
        assert_ne!(split[4..8], rows[12..16]);
        merge_heads(&mut back, &split, s, &sequences, Rotation::Inverse(&table));
        assert!(back.iter().zip(&rows).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}
