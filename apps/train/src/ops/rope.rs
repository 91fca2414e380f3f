//! Rows of tokens to heads and back, turned by the rotary position embedding on the way
//! (RoFormer, Su et al., 2021; adjacent pairs, as in llama2.c).
//!
//! The products give a row a token, with the heads side by side; attention wants the rows of one
//! head of one sequence together. So everything around attention lies as
//! `[sequence][head][position][s]`: what belongs to a sequence, and in it to a head, is one slice.

use super::Sequences;
use super::vector::vectorized;
use bootllm_simd::RopeTable;
use rayon::prelude::*;

/// Whether vectors are turned by their position.
#[derive(Clone, Copy)]
pub enum Turn<'a> {
    /// They stay as they are.
    None,
    /// By the angles of the table.
    Forward(&'a RopeTable),
    /// Back again; the gradient of the turn.
    Back(&'a RopeTable),
}

impl Turn<'_> {
    /// `to = from`, turned as at a position.
    #[inline(always)]
    fn copy(self, to: &mut [f32], from: &[f32], position: usize) {
        let (table, sign) = match self {
            Turn::None => return to.copy_from_slice(from),
            Turn::Forward(table) => (table, 1.0),
            Turn::Back(table) => (table, -1.0),
        };
        let pairs = to.as_chunks_mut::<2>().0.iter_mut().zip(from.as_chunks::<2>().0);
        for ((to, &[a, b]), &(cos, sin)) in pairs.zip(table.turns(position)) {
            let sin = sin * sign;
            *to = [a * cos - b * sin, a * sin + b * cos];
        }
    }
}

/// `heads [sequence][head][position][s]` from `rows (n, heads · s)`.
pub fn split_heads(heads: &mut [f32], rows: &[f32], s: usize, sequences: &Sequences, turn: Turn) {
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
                        turn.copy(&mut heads[place..place + s], vector, position);
                    }
                }
            },
        );
    });
}

/// `rows (n, heads · s)` from `heads [sequence][head][position][s]`.
pub fn merge_heads(rows: &mut [f32], heads: &[f32], s: usize, sequences: &Sequences, turn: Turn) {
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
                        turn.copy(vector, &heads[place..place + s], position);
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
    fn heads_and_rows_are_each_others_inverse() {
        let (s, heads) = (4, 3);
        let sequences = Sequences::new([2, 1, 5]);
        let rows: Vec<f32> = (0..8 * heads * s).map(|i| i as f32).collect();
        let table = RopeTable::new(s, 5, 10_000.0).unwrap();
        let (mut split, mut back) = (vec![0.0; rows.len()], vec![0.0; rows.len()]);
        split_heads(&mut split, &rows, s, &sequences, Turn::None);
        // The second sequence has one token, so its heads lie as in its row.
        assert_eq!(split[24..36], rows[24..36]);
        // The first head of the first sequence: both its positions.
        assert_eq!(split[..8], [&rows[..4], &rows[12..16]].concat());
        merge_heads(&mut back, &split, s, &sequences, Turn::None);
        assert_eq!(back, rows);
        split_heads(&mut split, &rows, s, &sequences, Turn::Forward(&table));
        assert_ne!(split[4..8], rows[12..16]);
        merge_heads(&mut back, &split, s, &sequences, Turn::Back(&table));
        assert!(back.iter().zip(&rows).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}
