//! Matrix products, computed by the `gemm` crate.
//!
//! Cores divide rows, never a sum, so the result does not depend on the number of cores.

/// A matrix that is read: `rows` × `columns` values with the given strides.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// The rows of a slice.
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        Self::strided(values, values.len() / columns, columns, columns)
    }

    /// Rows that start `row_stride` values apart.
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Matrix { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transposed matrix, without copying.
    pub fn transposed(self) -> Self {
        Matrix {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// Whether every value of the matrix lies within the slice.
    fn fits(&self) -> bool {
        fits(self.values, (self.rows, self.row_stride), (self.columns, self.column_stride))
    }
}

fn fits(values: &[f32], rows: (usize, usize), columns: (usize, usize)) -> bool {
    if rows.0 == 0 || columns.0 == 0 {
        return true;
    }
    let last = |(count, stride): (usize, usize)| (count - 1).checked_mul(stride);
    let last = last(rows).zip(last(columns)).and_then(|(row, column)| row.checked_add(column));
    last.is_some_and(|last| last < values.len())
}

/// How a product is stored.
#[derive(Clone, Copy, PartialEq)]
pub enum Store {
    /// Overwrites the output.
    Set,
    /// Adds to the output.
    Add,
}

/// `out (a.rows, b.columns)`, whose rows start `row_stride` values apart, = or += `a · b`, on the
/// calling core.
///
/// # Panics
/// If the shapes do not fit together or a matrix exceeds its slice.
pub fn multiply(out: &mut [f32], row_stride: usize, a: Matrix, b: Matrix, store: Store) {
    gemm(out, row_stride, a, b, store, gemm::Parallelism::None);
}

/// [`multiply`] on all cores.
///
/// # Panics
/// Like [`multiply`].
pub fn multiply_parallel(out: &mut [f32], row_stride: usize, a: Matrix, b: Matrix, store: Store) {
    gemm(out, row_stride, a, b, store, gemm::Parallelism::Rayon(0));
}

fn gemm(
    out: &mut [f32],
    row_stride: usize,
    a: Matrix,
    b: Matrix,
    store: Store,
    threads: gemm::Parallelism,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "the shapes of the factors");
    assert!(a.fits() && b.fits(), "an input exceeds its slice");
    assert!(row_stride >= n && fits(out, (m, row_stride), (n, 1)), "the output exceeds its slice");
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: the assertions above keep every index of these sizes and strides within the three
    // slices. `out` is borrowed mutably, so nothing else reads or writes it, and its rows do not
    // overlap, so cores that divide them write different values.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            row_stride as isize,
            store == Store::Add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// A linear layer without a bias: `y (n, o) = x (n, i) · wᵀ`, with `w (o, i)`. All cores compute.
pub mod linear {
    use super::{Matrix, Store, multiply_parallel};

    /// `y = x · wᵀ`; `i` is the number of values in a row of `x`.
    pub fn forward(y: &mut [f32], x: &[f32], w: &[f32], i: usize) {
        let (x, w) = (Matrix::new(x, i), Matrix::new(w, i));
        multiply_parallel(y, w.rows, x, w.transposed(), Store::Set);
    }

    /// `dx = dy · w`, or `dx += dy · w`.
    pub fn backward_input(dx: &mut [f32], dy: &[f32], w: &[f32], i: usize, store: Store) {
        let w = Matrix::new(w, i);
        multiply_parallel(dx, i, Matrix::new(dy, w.rows), w, store);
    }

    /// `dw += dyᵀ · x`.
    pub fn backward_weights(dw: &mut [f32], dy: &[f32], x: &[f32], i: usize) {
        let dy = Matrix::new(dy, dw.len() / i);
        multiply_parallel(dw, i, dy.transposed(), Matrix::new(x, i), Store::Add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_equal_three_loops() {
        let (m, n, k) = (5, 7, 3);
        let a: Vec<f32> = (0..m * k).map(|i| i as f32 - 4.0).collect();
        let b: Vec<f32> = (0..n * k).map(|i| 3.0 - i as f32).collect();
        let mut out = vec![1.0; m * 9];
        let b_t = Matrix::new(&b, k).transposed();
        multiply(&mut out, 9, Matrix::new(&a, k), b_t, Store::Add);
        for i in 0..m {
            for j in 0..9 {
                let sum: f32 =
                    (0..k).map(|l| a[i * k + l] * b.get(j * k + l).unwrap_or(&0.0)).sum();
                assert_eq!(out[i * 9 + j], if j < n { 1.0 + sum } else { 1.0 });
            }
        }
    }

    #[test]
    #[should_panic(expected = "output")]
    fn an_output_beyond_its_slice_is_refused() {
        let values = [0.0; 4];
        let a = Matrix::new(&values, 2);
        multiply(&mut [0.0; 3], 2, a, a, Store::Set);
    }
}
