//! Muon (K. Jordan et al., 2024, <https://kellerjordan.github.io/posts/muon>): orthogonalizes the
//! momentum of a matrix, so that a step goes equally far in every direction of the gradient and not
//! only in the few that dominate it.

use crate::ops::product::{Matrix, Store, multiply};
use crate::ops::vector::{dot, vectorized};

/// Decay of the momentum.
pub const MOMENTUM: f32 = 0.95;
/// Iterations; five bring every singular value near 1.
pub const ROUNDS: usize = 5;
/// Coefficients of the iteration's polynomial. Jordan chose them to rise as steeply as possible at 0.
pub const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Scales steps to the size of AdamW's, so that both use the same learning rate and weight decay (Liu
/// et al., "Muon is scalable for LLM training", 2025).
pub const SIZE: f32 = 0.2;

/// Updates a matrix with rows of `columns` values by its gradients.
pub fn update(
    weights: &mut [f32],
    momentum: &mut [f32],
    gradients: &[f32],
    columns: usize,
    rate: f32,
    decay: f32,
) {
    let mut direction = vec![0.0; weights.len()];
    for ((direction, mean), gradient) in direction.iter_mut().zip(momentum).zip(gradients) {
        *mean = MOMENTUM * *mean + (1.0 - MOMENTUM) * gradient;
        // Nesterov momentum.
        *direction = MOMENTUM * *mean + (1.0 - MOMENTUM) * gradient;
    }
    let rows = weights.len() / columns;
    orthogonalize(&mut direction, columns);
    let scale = rate * SIZE * (rows.max(columns) as f32).sqrt();
    for (weight, direction) in weights.iter_mut().zip(&direction) {
        *weight -= scale * direction + rate * decay * *weight;
    }
}

/// Brings every singular value of a matrix near 1 (Newton-Schulz iteration).
fn orthogonalize(x: &mut Vec<f32>, columns: usize) {
    let (rows, [a, b, c]) = (x.len() / columns, COEFFICIENTS);
    let norm = vectorized(
        #[inline(always)]
        || dot(x, x),
    )
    .sqrt();
    if norm == 0.0 {
        return;
    }
    x.iter_mut().for_each(|value| *value /= norm);
    // The Gram matrix of the shorter side: x·xᵀ or xᵀ·x.
    let short = rows.min(columns);
    let mut gram = vec![0.0; short * short];
    let mut polynomial = gram.clone();
    let mut next = x.clone();
    for _ in 0..ROUNDS {
        let matrix = Matrix::new(x, columns);
        let (left, right) = (matrix, matrix.transposed());
        let (left, right) = if rows <= columns { (left, right) } else { (right, left) };
        multiply(&mut gram, short, left, right, Store::Set);
        let square = Matrix::new(&gram, short);
        multiply(&mut polynomial, short, square, square, Store::Set);
        for (value, gram) in polynomial.iter_mut().zip(&gram) {
            *value = b * gram + c * *value;
        }
        for diagonal in 0..short {
            polynomial[diagonal * (short + 1)] += a;
        }
        let polynomial = Matrix::new(&polynomial, short);
        let (left, right) =
            if rows <= columns { (polynomial, matrix) } else { (matrix, polynomial) };
        multiply(&mut next, columns, left, right, Store::Set);
        core::mem::swap(x, &mut next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Random;

    #[test]
    fn rows_or_columns_become_orthogonal() {
        let mut random = Random::new(4);
        for (rows, columns) in [(6, 20), (20, 6), (8, 8), (1, 5)] {
            let mut x: Vec<f32> =
                (0..rows * columns).map(|_| random.below(2001) as f32 - 1000.0).collect();
            orthogonalize(&mut x, columns);
            let short = rows.min(columns);
            let at = |row: usize, column: usize| x[row * columns + column];
            for i in 0..short {
                for j in 0..short {
                    let product: f32 = if rows <= columns {
                        (0..columns).map(|k| at(i, k) * at(j, k)).sum()
                    } else {
                        (0..rows).map(|k| at(k, i) * at(k, j)).sum()
                    };
                    // The coefficients leave singular values between 0.7 and 1.2; a square matrix may
                    // have some that are too small for five iterations.
                    let tolerance = if rows == columns { 1.1 } else { 0.55 };
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((product - expected).abs() < tolerance, "{rows}x{columns}: {product}");
                }
            }
        }
    }

    #[test]
    fn nothing_moves_without_a_gradient() {
        let mut weights = vec![1.0; 6];
        update(&mut weights, &mut [0.0; 6], &[0.0; 6], 3, 0.1, 0.5);
        assert!(weights.iter().all(|&weight| (weight - 0.95).abs() < 1e-6));
    }
}
