//! Outputs divided among the cores.

use crate::Cores;
use core::marker::PhantomData;
use core::ops::Range;

/// Divides `output` into units of `unit` elements (the last may be shorter) and calls
/// `job(first, units)` on the cores: `units` are the elements of one or more consecutive units, and
/// `first` is the number of the first of them. Every unit is handed out once.
///
/// # Panics
/// If `unit` is zero.
pub fn split_rows<T: Send>(
    cores: &dyn Cores,
    output: &mut [T],
    unit: usize,
    job: impl Fn(usize, &mut [T]) + Sync,
) {
    let columns = output.len();
    split_columns(cores, unit, [(output, columns)], |_, first, mut own| job(first, own.row(0)));
}

/// [`split_rows`], overlapped with the calling core's `own` work: see [`Cores::run_overlapped`].
///
/// # Panics
/// If `unit` is zero.
pub fn split_rows_overlapped<T: Send>(
    cores: &dyn Cores,
    output: &mut [T],
    unit: usize,
    job: impl Fn(usize, &mut [T]) + Sync,
    own: &mut dyn FnMut(),
) {
    let columns = output.len();
    let shared = SharedOutput::of(output, columns, unit);
    let job = |units: Range<usize>| {
        let (from, to) = (units.start * unit, units.end.saturating_mul(unit).min(columns));
        // SAFETY: `Cores::run_overlapped` hands out every unit once.
        job(units.start, unsafe { shared.columns(from, to) }.row(0));
    };
    cores.run_overlapped(shared.units, &job, own);
}

/// Divides the columns of several outputs among the cores, in one run.
///
/// Each of `outputs` is its values, row after row (one per token, say), and its number of columns.
/// The columns are divided into units of `unit` columns (the last of an output may be narrower), and
/// `job(output, first, columns)` is called on the cores: `output` is an index into `outputs`,
/// `columns` are one or more consecutive units of it in every row, and `first` is the number of the
/// first of them. Every unit is handed out once.
///
/// # Panics
/// If `unit` is zero, or an output is not whole rows.
pub fn split_columns<T: Send, const N: usize>(
    cores: &dyn Cores,
    unit: usize,
    outputs: [(&mut [T], usize); N],
    job: impl Fn(usize, usize, Columns<'_, T>) + Sync,
) {
    let outputs = outputs.map(|(values, columns)| SharedOutput::of(values, columns, unit));
    cores.run(outputs.iter().map(|shared| shared.units).sum(), &|units| {
        // The number of this output's first unit among those of all.
        let mut before = 0;
        for (output, shared) in outputs.iter().enumerate() {
            let first = units.start.clamp(before, before + shared.units) - before;
            let end = units.end.clamp(before, before + shared.units) - before;
            before += shared.units;
            if first < end {
                let (from, to) = (first * unit, end.saturating_mul(unit).min(shared.columns));
                // SAFETY: `Cores::run` hands out every unit once, and outputs are borrowed one by
                // one.
                job(output, first, unsafe { shared.columns(from, to) });
            }
        }
    });
}

/// Divides several outputs with the same number of units among the cores, in one run: a core gets
/// the same units of all of them.
///
/// Each of `outputs` is its values, its number of columns (see [`split_columns`]), and the columns
/// of a unit. `job(first, columns)` is called on the cores with one or more consecutive units of
/// each output, and the number of the first of them.
///
/// # Panics
/// If an output is not whole rows of whole units, or their units are not equally many.
pub fn split_together<T: Send, const N: usize>(
    cores: &dyn Cores,
    outputs: [(&mut [T], usize, usize); N],
    job: impl Fn(usize, [Columns<'_, T>; N]) + Sync,
) {
    let widths = outputs.each_ref().map(|&(.., width)| width);
    let outputs = outputs.map(|(values, columns, width)| {
        let shared = SharedOutput::of(values, columns, width);
        assert_eq!(shared.units * width, columns, "an output is not whole units");
        shared
    });
    let units = outputs.first().map_or(0, |shared| shared.units);
    assert!(outputs.iter().all(|shared| shared.units == units), "outputs have different units");
    cores.run(units, &|own| {
        let columns = core::array::from_fn(|output| {
            let width = widths[output];
            // SAFETY: `Cores::run` hands out every unit once, and outputs are borrowed one by one.
            unsafe { outputs[output].columns(own.start * width, own.end * width) }
        });
        job(own.start, columns);
    });
}

/// An output that the cores divide, and its size.
struct SharedOutput<T> {
    start: *mut T,
    rows: usize,
    columns: usize,
    units: usize,
}

impl<T> SharedOutput<T> {
    fn of(values: &mut [T], columns: usize, unit: usize) -> Self {
        let rows = values.len().checked_div(columns).unwrap_or(0);
        assert_eq!(rows * columns, values.len(), "an output is not whole rows");
        let units = if rows == 0 { 0 } else { columns.div_ceil(unit) };
        SharedOutput { start: values.as_mut_ptr(), rows, columns, units }
    }

    /// The columns `from..to`, at least one.
    ///
    /// # Safety
    /// The output is borrowed for `'a`, and no other `Columns` has any of these columns.
    unsafe fn columns<'a>(&self, from: usize, to: usize) -> Columns<'a, T> {
        assert!(from < to && to <= self.columns && self.rows > 0);
        // SAFETY: there is a row, and it has these columns.
        let start = unsafe { self.start.add(from) };
        let &SharedOutput { rows, columns: stride, .. } = self;
        Columns { start, rows, stride, width: to - from, borrowed: PhantomData }
    }
}

// SAFETY: this module makes only `Columns` that do not overlap from it, of elements that may be sent
// to another core.
unsafe impl<T: Send> Sync for SharedOutput<T> {}

/// Some columns of an output, in all of its rows, that one core has to itself.
pub struct Columns<'a, T> {
    /// The first column in the first row. Only this module makes it, and guarantees that `width`
    /// elements exist there and at every further `stride` below `rows`, and that nothing else
    /// refers to them during `'a`: `Cores::run` hands out every unit once and does not return
    /// before the job has, and the outputs stay borrowed until then.
    start: *mut T,
    rows: usize,
    stride: usize,
    width: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

impl<T> Columns<'_, T> {
    /// The number of rows of the output.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of these columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `width` of these columns, starting at `from`.
    ///
    /// # Panics
    /// If they are not all among these.
    pub fn slice(&mut self, from: usize, width: usize) -> Columns<'_, T> {
        assert!(
            from <= self.width && width <= self.width - from,
            "{from}, {width} of {}",
            self.width
        );
        // SAFETY: there are at least `from` more columns in the first row, and this value, which
        // has them to itself, stays borrowed while the slice lives.
        let start = unsafe { self.start.add(from) };
        Columns { start, rows: self.rows, stride: self.stride, width, borrowed: PhantomData }
    }

    /// These columns in row `row`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: these elements exist and this value has them to itself (see `start`); it stays
        // borrowed while the slice lives.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.width) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::team::tests::{CORES, with_team};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::vec;

    #[test]
    fn every_element_is_handed_out_once_with_its_own_number() {
        for cores in CORES {
            with_team(cores, |cores| {
                for length in [0, 1, 2, 31, 32, 33, 64, 95, 257] {
                    for unit in [1, 3, 32, usize::MAX] {
                        let mut output = vec![0usize; length];
                        split_rows(cores, &mut output, unit, |first, own| {
                            for (i, element) in own.iter_mut().enumerate() {
                                *element += first * unit + i + 1;
                            }
                        });
                        assert!(output.iter().enumerate().all(|(i, &value)| value == i + 1));
                    }
                }
            });
        }
    }

    #[test]
    fn columns_of_several_outputs_are_handed_out_once_in_every_row() {
        const SHAPES: [[(usize, usize); 3]; 5] = [
            [(1, 64), (1, 33), (1, 1)],
            [(5, 64), (3, 7), (2, 40)],
            [(0, 64), (4, 0), (4, 100)],
            [(2, 1), (1, 2), (7, 3)],
            [(0, 0), (0, 9), (0, 0)],
        ];
        for cores in CORES {
            with_team(cores, |cores| {
                for shapes in SHAPES {
                    for unit in [1, 4, 32] {
                        let mut values = shapes.map(|(rows, columns)| vec![0; rows * columns]);
                        let mut outputs = values.iter_mut().zip(shapes);
                        let outputs: [_; 3] = core::array::from_fn(|_| {
                            let (values, (_, columns)) = outputs.next().unwrap();
                            (values.as_mut_slice(), columns)
                        });
                        split_columns(cores, unit, outputs, |output, first, mut columns| {
                            assert_eq!(columns.rows(), shapes[output].0);
                            for row in 0..columns.rows() {
                                let width = columns.width();
                                let row_start = row * shapes[output].1 + first * unit;
                                let own = columns.row(row);
                                assert_eq!(own.len(), width);
                                for (column, value) in own.iter_mut().enumerate() {
                                    *value += 1000 * (output + 1) + row_start + column;
                                }
                            }
                        });
                        for (output, values) in values.iter().enumerate() {
                            let expected = |i| 1000 * (output + 1) + i;
                            assert!(values.iter().enumerate().all(|(i, &v)| v == expected(i)));
                        }
                    }
                }
            });
        }
    }

    #[test]
    fn outputs_that_go_together_are_handed_out_with_the_same_numbers() {
        for cores in CORES {
            with_team(cores, |cores| {
                for units in [0, 1, 2, 7, 40] {
                    // One row of five columns a unit, and three rows of two.
                    let (mut one, mut three) = (vec![0; 5 * units], vec![0; 3 * 2 * units]);
                    let outputs =
                        [(one.as_mut_slice(), 5 * units, 5), (three.as_mut_slice(), 2 * units, 2)];
                    split_together(cores, outputs, |first, [mut one, mut three]| {
                        assert_eq!(one.width() / 5, three.width() / 2);
                        for number in 0..one.width() / 5 {
                            one.slice(5 * number, 5).row(0).fill(first + number + 1);
                            let mut three = three.slice(2 * number, 2);
                            for row in 0..three.rows() {
                                three.row(row).fill(100 * (row + 1) + first + number);
                            }
                        }
                    });
                    assert!(one.iter().enumerate().all(|(i, &value)| value == i / 5 + 1));
                    let expected = |i: usize| 100 * (i / (2 * units) + 1) + i % (2 * units) / 2;
                    assert!(three.iter().enumerate().all(|(i, &value)| value == expected(i)));
                }
            });
        }
    }

    #[test]
    #[should_panic(expected = "different units")]
    fn outputs_that_do_not_go_together_are_refused() {
        let outputs = [(&mut [0; 8][..], 8, 4), (&mut [0; 9][..], 9, 3)];
        split_together(&crate::OneCore, outputs, |_, _| {});
    }

    #[test]
    fn nothing_to_do_is_no_call() {
        let calls = AtomicUsize::new(0);
        with_team(3, |cores| {
            split_rows(cores, &mut [0u8; 0], 4, |_, _| _ = calls.fetch_add(1, Relaxed));
            split_columns(cores, 4, [(&mut [0u8; 0][..], 8)], |_, _, _| {
                calls.fetch_add(1, Relaxed);
            });
        });
        assert_eq!(calls.into_inner(), 0);
    }

    #[test]
    #[should_panic(expected = "not whole rows")]
    fn rows_that_are_not_whole_are_refused() {
        split_columns(&crate::OneCore, 4, [(&mut [0; 10][..], 4)], |_, _, _| {});
    }

    #[test]
    #[should_panic(expected = "row 2 of 2")]
    fn a_row_that_is_not_there_is_refused() {
        split_columns(&crate::OneCore, 4, [(&mut [0; 8][..], 4)], |_, _, mut columns| {
            columns.row(2);
        });
    }
}
